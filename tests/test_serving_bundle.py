"""Recommendations from the bundle alone, against exact rankings of the evaluation's model."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from safetensors.numpy import load_file, save_file
from served import table_model
from tiny_towers import LOCAL, NOBODY, NUM_USERS, TYPES, exported_workspace

from graphkit import Bundle
from graphkit.artefacts import Workspace, sha256_file
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.stage import read_edges
from graphkit.errors import ArtefactError, InputError
from graphkit.graph.store import Relation, read_graph
from graphkit.vectors import load_vectors


@pytest.fixture(scope="module")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported_workspace(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def bundle(tiny_workspace: Workspace) -> Bundle:
    return Bundle.open(tiny_workspace.current("bundle").folder)


def seen_by(workspace: Workspace, user: int, item_type: str) -> set[int]:
    rows = Dataset.open(workspace.current("dataset")).interactions("train", ["stream"]).collect()
    mine = rows.filter((rows["user"] == user) & (rows["item_type"] == item_type))
    return set(mine["item"].to_list())


def item_ids(workspace: Workspace, item_type: str) -> list[str]:
    return Dataset.open(workspace.current("dataset")).items(item_type)["item_id"].to_list()


@pytest.mark.parametrize("item_type", ["audiobook", "podcast"])
def test_ranking_is_that_of_the_tables_model(bundle: Bundle, tiny_workspace: Workspace, item_type: str) -> None:
    users = np.array([LOCAL, 2, 17, NUM_USERS - 1])
    exact = table_model(tiny_workspace).scores(users, item_type)
    ids = item_ids(tiny_workspace, item_type)
    for user, scores in zip(users, exact, strict=True):
        scores[list(seen_by(tiny_workspace, user, item_type))] = -np.inf
        best = np.argsort(-scores)[:12]
        got = bundle.recommend(f"u{user}", item_type, k=12)
        assert got.source == ("towers" if user == LOCAL else "towers and edges")
        assert [row["item_id"] for row in got.rows] == [ids[item] for item in best]
        # The table centres each user's scores: only what lies between two of them is comparable.
        shown = np.array([row["score"] for row in got.rows])
        np.testing.assert_allclose(shown - shown[0], scores[best] - scores[best[0]], atol=1e-3)
        assert [row["rank"] for row in got.rows] == list(range(1, 13))
        assert set(got.rows[0]) == {"rank", "item_id", "title", "genre", "score"}
        assert got.note == ""


@pytest.mark.parametrize("sets", [(), ('blend.popularity_weight={"cold": 0.8}', "blend.popularity_days=20")])
def test_a_user_new_to_a_type_is_ranked_by_the_weights_for_cold_users(tmp_path: Path, sets: tuple[str, ...]) -> None:
    """Who met audiobooks and tracks alone, and what the cold weights make of edges, towers and what is popular."""
    newcomers = [5, 8]
    workspace = exported_workspace(tmp_path, newcomers, sets)
    bundle = Bundle.open(workspace.current("bundle").folder)
    assert [bundle.edges.group(user, "podcast") for user in (4, *newcomers)] == ["warm", "cold", "cold"]
    exact = table_model(workspace, *sets).scores(np.array(newcomers), "podcast")
    ids = item_ids(workspace, "podcast")
    for user, scores in zip(newcomers, exact, strict=True):
        got = bundle.recommend(f"u{user}", "podcast", k=100, why=True)
        assert got.source == "towers and edges"
        assert [row["item_id"] for row in got.rows] == [ids[item] for item in np.argsort(-scores)]
        shown = np.array([row["score"] for row in got.rows])
        np.testing.assert_allclose(shown - shown[0], np.sort(scores)[::-1] - scores.max(), atol=1e-3)
        reasons = {reason["item_type"] for row in got.rows for reason in row["why"]}
        assert reasons == {"audiobook", "track"}
    plain = table_model(workspace).scores(np.array(newcomers), "podcast")
    assert np.array_equal(plain, exact) == (not sets)


@pytest.mark.parametrize("item_type", ["audiobook", "podcast"])
def test_reasons_are_the_users_own_items_by_the_weight_of_their_edges(
    bundle: Bundle, tiny_workspace: Workspace, item_type: str
) -> None:
    dataset = Dataset.open(tiny_workspace.current("dataset"))
    weights = read_edges(tiny_workspace.current("edges"), dataset).weights[item_type, "warm"].toarray()
    offset = dict(zip(TYPES, np.cumsum([0, *TYPES.values()]), strict=False))
    item = {name: item_ids(tiny_workspace, name) for name in TYPES}
    title = {name: dataset.items(name)["title"].to_list() for name in TYPES}
    several = 0
    for user in (2, 17, NUM_USERS - 1):
        for row in bundle.recommend(f"u{user}", item_type, k=100, why=True).rows:
            target = item[item_type].index(row["item_id"])
            met = [
                (weights[offset[name] + own, target], name, own)
                for name in TYPES
                for own in seen_by(tiny_workspace, user, name)
            ]
            heaviest = sorted((edge for edge in met if edge[0] > 0), reverse=True)[:3]
            several += len(heaviest) > 1
            learned = [reason for reason in row["why"] if reason["source"] == "learned edge"]
            assert [(reason["item_type"], reason["item_id"], reason["title"]) for reason in learned] == [
                (name, item[name][own], title[name][own]) for _, name, own in heaviest
            ]
            np.testing.assert_allclose(
                [reason["weight"] for reason in learned], [edge[0] for edge in heaviest], atol=1e-6
            )
            assert all(reason["through"] is None for reason in learned)
            assert len(learned) == len(row["why"]) or not learned
    assert several > 10


def test_what_no_learned_edge_supports_is_explained_by_the_graph(tiny_workspace: Workspace, tmp_path: Path) -> None:
    """Without any learned edge to audiobooks each reason is a path of the graph; tracks are two edges off."""
    bundle = Bundle.open(without_edges(tiny_workspace, tmp_path))
    graph = read_graph(tiny_workspace.current("graph"), "serve").relations
    item = {name: item_ids(tiny_workspace, name) for name in TYPES}

    def weight(one: tuple[str, int], other: tuple[str, int]) -> float:
        csc = graph[Relation(other[0], "co-listening", one[0])]
        edges = slice(*csc.indptr[one[1] : one[1] + 2])
        return dict(zip(csc.indices[edges].tolist(), csc.weight[edges].tolist(), strict=True)).get(other[1], 0)

    kinds = set()
    for user in (2, 17, NUM_USERS - 1):
        found = bundle.recommend(f"u{user}", "audiobook", k=100, why=True)
        assert found.source == "towers"
        unreached = sum(not row["why"] for row in found.rows)
        assert unreached < 6
        assert (f"no co-listening path to {unreached} of them" in found.note) == (unreached > 0)
        for row in found.rows:
            if not row["why"]:
                continue
            (reason,) = row["why"]
            target = ("audiobook", item["audiobook"].index(row["item_id"]))
            start = (reason["item_type"], item[reason["item_type"]].index(reason["item_id"]))
            assert start[1] in seen_by(tiny_workspace, user, start[0])
            assert reason["source"] == "co-listening"
            kinds.add(reason["through"] is None)
            if reason["through"] is None:
                assert reason["weight"] == weight(target, start) > 0
            else:
                middle = reason["through"]
                at = (middle["item_type"], item[middle["item_type"]].index(middle["item_id"]))
                assert reason["weight"] == weight(start, at) * weight(at, target) > 0
    assert kinds == {True, False}


def test_what_no_path_reaches_says_what_the_towers_went_by(tiny_workspace: Workspace, tmp_path: Path) -> None:
    bundle = Bundle.open(without_edges(tiny_workspace, tmp_path))
    bundle.adjacency.tensors.clear()
    found = bundle.recommend("u2", "audiobook", k=3, why=True)
    assert [row["why"] for row in found.rows] == [[], [], []]
    assert found.note == (
        "no co-listening path to 3 of them: there the towers went by the user's audiobook history, podcast history, "
        "track history, country"
    )
    assert bundle.recommend("u2", "audiobook", k=3).note == ""
    bundle.meta.popularity_weight["audiobook/warm"] = 100.0  # what the most met lists alone
    popular = bundle.recommend("u2", "audiobook", k=3, why=True)
    assert popular.note == found.note + "; 3 of these are popular lately"
    counts = dict(zip(item_ids(tiny_workspace, "audiobook"), bundle.popularity["audiobook"].tolist(), strict=True))
    most = sorted(counts[name] for name in set(counts) - {row["item_id"] for row in popular.rows})[-1]
    seen = [counts[item_ids(tiny_workspace, "audiobook")[item]] for item in seen_by(tiny_workspace, 2, "audiobook")]
    assert min(counts[row["item_id"]] for row in popular.rows) >= most or most in seen


def without_edges(workspace: Workspace, root: Path) -> Path:
    """The bundle with learned edges into podcasts alone."""
    folder = shutil.copytree(workspace.current("bundle").folder, root / "bundle")
    path = folder / "edges.safetensors"
    tensors = load_file(path)
    for name in ("audiobook/warm", "audiobook/cold"):
        tensors[f"{name}/weights"] = np.zeros_like(tensors[f"{name}/weights"])
    save_file(tensors, path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][path.name] = sha256_file(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_way_is_printed_end_to_end() -> None:
    from graphkit.console import _ways

    ends = [{"title": "Sea", "item_id": "p1"}, {"title": None, "item_id": "p2"}, {"title": "Ice", "item_id": "a3"}]
    why = [{**ends[0], "through": ends[1], "weight": 0.25}, {**ends[1], "through": None, "weight": 1 / 3}]
    assert _ways({**ends[2], "why": why}) == ["Sea → p2 → Ice (0.25)", "p2 → Ice (0.33)"]


@pytest.mark.parametrize("user_id", ["stranger", f"u{NOBODY}", f"u{LOCAL}"])
def test_without_history_there_is_no_reason(bundle: Bundle, user_id: str) -> None:
    found = bundle.recommend(user_id, "podcast", k=3, why=True)
    assert [row["why"] for row in found.rows] == [[], [], []]
    assert ("the towers went by the user's country" in found.note) == (user_id == f"u{LOCAL}")


def test_why_changes_nothing_else(bundle: Bundle) -> None:
    plain, reasoned = (bundle.recommend("u9", "podcast", why=why) for why in (False, True))
    assert [{key: row[key] for key in row if key != "why"} for row in reasoned.rows] == plain.rows


def test_reasons_are_printed(bundle: Bundle, graphkit: Callable[..., Result]) -> None:
    words = ("recommend", "--user", "u9", "--type", "podcast", "-k", "2", "--bundle", bundle.folder, "--why")
    rows = bundle.recommend("u9", "podcast", k=2, why=True).rows
    assert json.loads(graphkit(*words, "--json").output)["rows"] == rows
    printed = graphkit(*words)
    assert printed.exit_code == 0, printed.output
    assert f"({rows[0]['why'][0]['weight']:.2g})" in printed.output


def test_seen_items_come_back_only_when_asked_for(bundle: Bundle, tiny_workspace: Workspace) -> None:
    ids = item_ids(tiny_workspace, "podcast")
    seen = {ids[item] for item in seen_by(tiny_workspace, 9, "podcast")}
    unseen = bundle.recommend("u9", "podcast", k=500)
    everything = bundle.recommend("u9", "podcast", k=500, exclude_seen=False)
    assert len(seen) == 6
    assert {row["item_id"] for row in unseen.rows} == set(ids) - seen
    assert {row["item_id"] for row in everything.rows} == set(ids)
    assert "all 30 items, without the 6 seen ones" in unseen.note
    assert "all 30 items" in everything.note


@pytest.mark.parametrize(
    ("user_id", "why"), [("stranger", "unknown user"), (f"u{NOBODY}", "without history or features")]
)
def test_users_of_whom_nothing_is_known_get_what_is_popular(
    bundle: Bundle, tiny_workspace: Workspace, user_id: str, why: str
) -> None:
    got = bundle.recommend(user_id, "audiobook", k=5)
    users = load_vectors(tiny_workspace.current("bundle").path("popularity.safetensors"))["audiobook"]
    assert got.source == "popularity"
    assert why in got.note
    assert [row["score"] for row in got.rows] == sorted(users.tolist(), reverse=True)[:5]
    assert len(bundle.recommend(user_id, "audiobook", k=10_000).rows) == TYPES["audiobook"]


def test_a_feature_alone_is_enough_for_the_towers(bundle: Bundle) -> None:
    assert bundle.recommend(f"u{LOCAL}", "podcast").source == "towers"


def test_unknown_type_and_k_are_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match=r"did you mean 'audiobook'\? known: audiobook, podcast"):
        bundle.recommend("u3", "audiobok")
    with pytest.raises(InputError, match="does not recommend 'track'"):
        bundle.recommend("u3", "track")
    for call in (lambda: bundle.recommend("u3", "podcast", k=0), lambda: bundle.similar("p05", k=0)):
        with pytest.raises(InputError, match="at least 1"):
            call()


@pytest.mark.parametrize("within", [None, "audiobook", "track"])
def test_similar_ranks_by_cosine_of_embeddings(bundle: Bundle, tiny_workspace: Workspace, within: str | None) -> None:
    stored = load_vectors(tiny_workspace.current("hgnn").path("embeddings.safetensors"))
    vectors = stored[f"serve/{within or 'podcast'}"]
    cosine = vectors @ stored["serve/podcast"][5]
    if within is None:
        cosine[5] = -2
    ids = item_ids(tiny_workspace, within or "podcast")
    got = bundle.similar("p05", within=within, k=4)
    assert (got.item_type, got.within, got.source) == ("podcast", within or "podcast", "hgnn")
    assert [row["item_id"] for row in got.rows] == [ids[i] for i in np.argsort(-cosine)[:4]]
    np.testing.assert_allclose([row["score"] for row in got.rows], np.sort(cosine)[::-1][:4], atol=1e-5)


def test_similar_lists_all_others_when_k_is_larger(bundle: Bundle) -> None:
    got = bundle.similar("p05", k=100)
    assert len(got.rows) == TYPES["podcast"] - 1
    assert "p05" not in {row["item_id"] for row in got.rows}
    assert "all 29 items" in got.note


def test_similar_asks_back(bundle: Bundle) -> None:
    with pytest.raises(InputError, match=r"(?s)several items.*audiobook, podcast.*--type"):
        bundle.similar("a00")
    assert bundle.similar("a00", item_type="podcast").rows[0]["title"].startswith("The podcast")
    with pytest.raises(InputError, match=r"no item 'p5' .*\n.*such as p[0-9]"):
        bundle.similar("p5")
    with pytest.raises(InputError, match=r"no item 'number 29'.*\n.*a29, p29"):
        bundle.similar("number 29")
    with pytest.raises(InputError, match=r"no item 'a05' of type podcast"):
        bundle.similar("a05", item_type="podcast")
    with pytest.raises(InputError, match=r"no item type 'tracks'.*\n.*\n.*did you mean 'track'"):
        bundle.similar("p05", within="tracks")


def test_a_copied_bundle_works_alone(tiny_workspace: Workspace, bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "elsewhere")
    copied = Bundle.open(str(tmp_path / "elsewhere"))
    assert copied.recommend("u7", "audiobook") == bundle.recommend("u7", "audiobook")
    assert copied.similar("p07") == bundle.similar("p07")


@pytest.mark.parametrize("name", ["index/podcast.ann", "user_tower.onnx", "bundle.json", "edges.safetensors"])
def test_a_flipped_byte_is_noticed_on_opening(bundle: Bundle, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.folder, folder)
    damaged = bytearray((folder / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / name).write_bytes(damaged)
    with pytest.raises(ArtefactError, match=rf"(?s)damaged.*{name}"):
        Bundle.open(folder)


def test_what_is_no_bundle_is_refused(tiny_workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"(?s)not a serving bundle.*stage towers"):
        Bundle.open(tiny_workspace.current("towers"))
    with pytest.raises(ArtefactError, match="no manifest"):
        Bundle.open(tmp_path)


def test_an_index_of_another_size_is_refused(bundle: Bundle) -> None:
    about = bundle.meta.indexes["podcast"].model_copy(update={"file": "index/audiobook.ann"})
    crossed = dataclasses.replace(bundle, meta=bundle.meta.model_copy(update={"indexes": {"podcast": about}}))
    with pytest.raises(ArtefactError, match="the index does not belong to the item vectors"):
        crossed.recommend("u7", "podcast")


def test_a_narrow_index_still_fills_k(bundle: Bundle) -> None:
    """An index that looks at one node finds too few, until it has looked everywhere."""
    about = bundle.meta.indexes["podcast"].model_copy(update={"effort": 1})
    narrow = dataclasses.replace(bundle, meta=bundle.meta.model_copy(update={"indexes": {"podcast": about}}))
    assert narrow.recommend("u7", "podcast", k=24).rows == bundle.recommend("u7", "podcast", k=24).rows


def test_serving_imports_no_training_framework(bundle: Bundle) -> None:
    script = (
        "import sys, json; from graphkit import Bundle; b = Bundle.open(sys.argv[1]);"
        "b.recommend('u7', 'audiobook'); b.recommend('stranger', 'podcast'); b.similar('p07', within='track');"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle.folder)], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert loaded.isdisjoint({"torch", "dgl", "tensorflow", "keras", "sklearn", "scipy", "pandera", "towers"})
    assert done.stderr == ""
