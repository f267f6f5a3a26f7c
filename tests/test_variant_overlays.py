"""The overlays in ``configs/variants``: known keys, each a difference, and a first line that names it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from graph_logs import Row, meta_of, workspace_of

from graphkit.artefacts import Workspace
from graphkit.config import Config, load_config, preset_names
from graphkit.errors import ConfigError
from graphkit.graph.build import build_graph
from graphkit.graph.store import SERVE, read_graph
from graphkit.hgnn.train import train_hgnn
from graphkit.resources import folder
from graphkit.variants.overlays import read_variants
from graphkit.vectors import load_vectors

OVERLAYS = sorted((folder("configs") / "variants").glob("*.toml"), key=lambda path: path.name)
LABELS = {
    "2t": "2T",
    "hgnn-w-users": "HGNN-w-users",
    "a-unbalanced": "A) w/o balanced sampler",
    "b-no-weak-signals": "B) w/o weak signals",
    "c-no-established-established": "C) w/o established-established",
    "d-no-sparse-sparse": "D) w/o sparse-sparse",
    "e-sparse-only": "E) sparse-sparse only",
    "f-established-only": "F) established-established only",
    "no-text": "w/o text",
    "no-debiasing": "w/o debiasing",
    "no-history": "w/o history",
    "no-demographics": "w/o demographics",
    "no-counts": "w/o counts",
    "no-genre": "w/o genre",
    "no-language": "w/o language",
    "no-creator": "w/o creator",
    "no-item-text": "w/o item text",
    "no-item-hgnn": "w/o item HGNN",
    "with-autoencoder": "with autoencoder",
    "with-clue": "with CLUE",
    "with-simclr": "with SimCLR",
    "with-shopperbert": "with ShopperBERT",
    "with-all-encoders": "with all encoders",
}


def overlay(name: str, *sets: str) -> Config:
    return load_config(str(folder("configs") / "variants" / f"{name}.toml"), sets)


def test_every_overlay_is_there_and_none_is_a_preset() -> None:
    assert {path.stem for path in OVERLAYS} == set(LABELS)
    assert preset_names() == ["default", "demo", "laboratory", "paper"]
    with pytest.raises(ConfigError, match="no preset '2t'"):
        load_config("2t")


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_says_what_it_is_and_changes_something(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    label = re.fullmatch(r"# (.+?): .+\.", first)
    assert label is not None
    assert label[1] == LABELS[path.stem]
    tables = tomllib.loads(path.read_text())
    assert all(isinstance(table, dict) for table in tables.values())
    changed, default = load_config(str(path)), load_config("default")  # refuses unknown keys
    sections = {name for name in Config.model_fields if getattr(changed, name) != getattr(default, name)}
    assert sections == set(tables)


def test_what_the_ablations_without_an_input_leave() -> None:
    user, item = load_config("default").towers.user_inputs, load_config("default").towers.item_inputs
    left_out = {"b-no-weak-signals": "weak"} | {f"no-{name}": name for name in ("history", "demographics", "counts")}
    for name, missing in left_out.items():
        assert overlay(name).towers.user_inputs == tuple(one for one in user if one != missing)
        assert overlay(name).towers.item_inputs == item
    left_out = {f"no-{name}": name for name in ("genre", "language", "creator", "text")}
    for name, missing in (left_out | {"no-item-text": "text", "no-item-hgnn": "hgnn", "2t": "hgnn"}).items():
        assert overlay(name).towers.item_inputs == tuple(one for one in item if one != missing)
        assert overlay(name).towers.user_inputs == user
    assert [name for name in LABELS if overlay(name).towers.pooled == "text"] == ["2t"]
    assert [name for name in LABELS if overlay(name).hgnn.shared_weights] == ["e-sparse-only", "f-established-only"]


def test_a_variant_with_an_encoder_trains_it_before_its_towers() -> None:
    every, base = read_variants(), load_config("default")
    for name in ("autoencoder", "clue", "simclr", "shopperbert"):
        variant = every[f"with-{name}"]
        assert variant.config(base, 3).towers.user_vectors == (name,)
        assert variant.stages(base) == ("graph", "hgnn", name, "towers")
    everything = ("autoencoder", "clue", "simclr", "shopperbert")
    assert every["with-all-encoders"].stages(base) == ("graph", "hgnn", *everything, "towers")


#: Pairs of every two types; audiobooks, the only target, are the sparse type.
ROWS = [Row(user, t, item) for user in range(4) for t in ("audiobook", "podcast", "track") for item in (0, 1)]

BETWEEN = ("audiobook-podcast", "audiobook-track")


def graph_of(root: Path, name: str) -> tuple[Workspace, set[str]]:
    workspace = workspace_of(root, ROWS, meta_of(), titles="Number")
    batch = build_graph(workspace, overlay(name, "text.model=none"))
    return workspace, {relation.name for relation in read_graph(batch, SERVE).relations}


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("c-no-established-established", {"audiobook-audiobook", *BETWEEN}),
        ("d-no-sparse-sparse", {"podcast-podcast", "podcast-track", "track-track", *BETWEEN}),
        ("e-sparse-only", {"audiobook-audiobook"}),
        ("f-established-only", {"podcast-podcast", "podcast-track", "track-track"}),
    ],
)  # fmt: skip
def test_the_relations_of_the_paper_s_ablations(tmp_path: Path, name: str, there: set[str]) -> None:
    workspace, found = graph_of(tmp_path, name)
    assert found == there | {"-".join(reversed(relation.split("-"))) for relation in there}
    quick = ("hgnn.epochs=1", "hgnn.hidden_dim=8", "hgnn.out_dim=4", "run.threads=1", "text.model=none")
    vectors = load_vectors(train_hgnn(workspace, overlay(name, *quick)).path("embeddings.safetensors"))
    assert {key: z.shape for key, z in vectors.items() if key.startswith("serve")} == {
        "serve/audiobook": (4, 4), "serve/podcast": (5, 4), "serve/track": (3, 4)
    }  # fmt: skip
