"""Relations named by role: the sparsest target type, and the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from graph_logs import Row, dataset_of, meta_of, workspace_of

from graphkit.config import Config, load_config
from graphkit.errors import ConfigError
from graphkit.graph import relations as relations_module
from graphkit.graph.build import build_graph
from graphkit.graph.estimate import estimate_build
from graphkit.graph.relations import graph_relations, kept_relations
from graphkit.graph.roles import type_roles
from graphkit.graph.store import SERVE, read_graph

TYPES = ("podcast", "audiobook", "track")
#: Distinct strong train pairs: podcasts 2 (heard three times), audiobooks 3, tracks 1; and what does not count.
ROWS = [
    Row(0, "podcast", 0, 0), Row(0, "podcast", 0, 1), Row(0, "podcast", 0, 2), Row(1, "podcast", 0, 3),
    Row(0, "audiobook", 0, 4), Row(1, "audiobook", 0, 5), Row(1, "audiobook", 1, 6), Row(0, "track", 0, 7),
    *(Row(2, "podcast", i, 8, split="test") for i in range(3)),
    *(Row(2, "podcast", i, 9, signal="follow") for i in (3, 4)),
]  # fmt: skip


def roles() -> dict[str, tuple[str, ...]]:
    return {"sparse": ("audiobook",), "established": ("podcast", "track")}


def kept(*exclude: str, kinds: tuple[str, ...] = ("co-listening",)) -> set[str]:
    return {relation.name for relation in kept_relations(TYPES, exclude, kinds, roles)}


def unasked() -> dict[str, tuple[str, ...]]:
    pytest.fail("no role is named")


def test_a_role_stands_for_each_of_its_types() -> None:
    within = {"podcast-podcast", "podcast-track", "track-track"}
    between = {"podcast-audiobook", "audiobook-track"}
    assert kept("established-established") == {"audiobook-audiobook"} | between
    assert kept("sparse-sparse") == within | between
    assert kept("sparse-established") == kept("established-sparse") == within | {"audiobook-audiobook"}
    assert kept("sparse-track", "podcast-established") == {"audiobook-audiobook", "podcast-audiobook", "track-track"}
    assert kept("sparse-established", "sparse-sparse") == within


def test_roles_go_with_kinds() -> None:
    kinds = ("playlist", "listening")
    assert kept("playlist:established-established", "listening:user-sparse", kinds=kinds) == {
        "playlist:podcast-audiobook", "playlist:audiobook-audiobook", "playlist:audiobook-track",
        "listening:user-podcast", "listening:user-track",
    }  # fmt: skip


def test_a_type_of_that_name_goes_first() -> None:
    types = ("sparse", "podcast")
    named = kept_relations(types, ["sparse-sparse"], roles=unasked)
    assert [relation.name for relation in named] == ["sparse-podcast", "podcast-podcast"]
    one_role = kept_relations(
        types, ["sparse-established"], roles=lambda: {"sparse": ("podcast",), "established": ("podcast",)}
    )
    assert [relation.name for relation in one_role] == ["sparse-sparse", "podcast-podcast"]


def test_roles_are_asked_only_where_one_is_named() -> None:
    assert len(kept_relations(TYPES, ["podcast-track"], roles=unasked)) == 5
    with pytest.raises(ConfigError, match="unknown relation 'podcats-track'"):
        kept_relations(TYPES, ["podcats-track"], roles=unasked)


def test_a_role_without_a_type_and_a_misspelt_one() -> None:
    with pytest.raises(ConfigError, match="established: no type"):
        kept_relations(
            ("movie",), ["established-established"], roles=lambda: {"sparse": ("movie",), "established": ()}
        )
    with pytest.raises(ConfigError, match="unknown relation 'sparse-establishd'"):
        kept("sparse-establishd")
    with pytest.raises(ConfigError, match="leaves no relation"):
        kept("sparse-sparse", "sparse-established", "established-established")


@pytest.mark.parametrize(
    ("targets", "sparse"),
    [
        (("audiobook", "podcast"), "podcast"),  # three strong train pairs against two
        (("audiobook",), "audiobook"),  # tracks have fewer pairs, and are no target
        (("podcast", "track", "audiobook"), "track"),
    ],
)
def test_the_sparse_type_is_the_target_with_the_fewest_strong_train_pairs(
    tmp_path: Path, targets: tuple[str, ...], sparse: str
) -> None:
    meta = meta_of().model_copy(update={"targets": targets})
    found = type_roles(dataset_of(tmp_path, ROWS, meta))
    assert found["sparse"] == (sparse,)
    assert found["established"] == tuple(t for t in meta.types if t != sparse)


def test_of_equally_sparse_targets_the_card_names_the_first(tmp_path: Path) -> None:
    rows = [Row(0, "podcast", 0), Row(0, "audiobook", 0), Row(1, "track", 1)]
    for targets in (("podcast", "audiobook"), ("audiobook", "podcast")):
        meta = meta_of().model_copy(update={"targets": targets})
        assert type_roles(dataset_of(tmp_path, rows, meta))["sparse"] == targets[:1]


def test_without_a_target_there_are_no_roles(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, ROWS, meta_of().model_copy(update={"targets": ()}))
    with pytest.raises(ConfigError, match="no target type") as error:
        build_graph(workspace, settings("graph.exclude_relations=[sparse-sparse]"))
    assert "dataset.targets" in str(error.value)


def settings(*more: str) -> Config:
    return load_config(overrides=["graph.empty_relations=keep", "graph.window_days=none", "text.model=none", *more])


def test_the_graph_and_its_estimate_leave_the_same_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audiobooks are the only target: podcasts and tracks are left, and every audiobook is on its own."""
    config = settings("graph.exclude_relations=[sparse-sparse,established-sparse]")
    workspace = workspace_of(tmp_path, ROWS, meta_of())
    batch = build_graph(workspace, config)
    graph = read_graph(batch, SERVE)
    assert {relation.name for relation in graph.relations} == {
        "podcast-podcast", "podcast-track", "track-podcast", "track-track"
    }  # fmt: skip
    assert "audiobook" in graph.types
    assert batch.manifest.metrics["isolated_nodes"]["serve"]["audiobook"] == 4
    dataset = relations_module.Dataset.current(workspace)
    rows = estimate_build(dataset, config, tmp_path / "cache").relations
    assert {row["relation"]: row["edges"] for row in rows} == batch.manifest.metrics["edges"]["serve"]
    monkeypatch.setattr(relations_module, "type_roles", None)
    assert len(graph_relations(dataset, settings().graph)) == 6
