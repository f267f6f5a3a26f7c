"""User vectors from files: what is read, what is rejected, and what the command says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from towers_world import CUTOFF, LABEL_START, NUM_USERS, interactions, make_world, write_dataset

from graphkit import import_user_vectors
from graphkit.artefacts import Workspace
from graphkit.errors import ArtefactError, DataError, InputError
from graphkit.pipeline import batch_rows
from graphkit.user_vectors import FOLDS, load_user_vectors
from graphkit.vector_import.spec import read_pairs

Cli = Callable[..., Result]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        frame.with_columns(pl.col("vector").cast(pl.List(pl.String)).list.join("|")).write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def rows_of(*users: int, **more: Any) -> list[dict[str, Any]]:
    return [{"user_id": f"u{user}", "vector": [float(user), -0.5, 2.25]} | more for user in users]


@pytest.mark.parametrize("name", ["v.parquet", "v.jsonl", "v.csv"])
def test_a_vector_without_a_moment_is_of_both(tmp_path: Path, name: str) -> None:
    workspace = make_world(tmp_path / "ws")
    batch = import_user_vectors(workspace, {"music": write(tmp_path / name, rows_of(3, 1))})
    found = load_user_vectors(batch.path("user_vectors.safetensors"), "music", NUM_USERS, timed=True)
    for matrix in (*found.fit, found.serve):
        assert np.flatnonzero(matrix.any(axis=1)).tolist() == [1, 3]
        assert matrix[[1, 3]].tolist() == [[1, -0.5, 2.25], [3, -0.5, 2.25]]
    assert f"must be older than {LABEL_START.isoformat()}" in batch.manifest.metrics["warnings"]
    assert batch.manifest.metrics["vectors"] == [{"name": "music", "width": 3, "users, fit": 2, "users, serve": 2}]
    assert not batch.path("rejected.parquet").exists()


def test_vectors_of_two_moments_and_of_arrays(tmp_path: Path) -> None:
    rows = (
        rows_of(1, as_of="fit") + rows_of(2, as_of="serve") + [{**rows_of(7)[0], "user_id": "u1", "as_of": "serve"}]
    )
    path = tmp_path / "v.parquet"
    pl.DataFrame(rows).with_columns(pl.col("vector").list.to_array(3)).write_parquet(path)
    batch = import_user_vectors(make_world(tmp_path / "ws"), {"music": path})
    found = load_user_vectors(batch.path("user_vectors.safetensors"), "music", NUM_USERS, timed=True)
    assert (found.fit[0][:3, 0].tolist(), found.serve[:3, 0].tolist()) == ([0, 1, 0], [0, 7, 2])
    assert batch.manifest.metrics["warnings"] == ""


def test_without_timestamps_every_fold_has_the_vector(tmp_path: Path) -> None:
    workspace = make_world(tmp_path / "ws", timed=False)
    files = {"music": write(tmp_path / "a.parquet", rows_of(1)), "film": write(tmp_path / "b.parquet", rows_of(2, 4))}
    batch = import_user_vectors(workspace, files)
    assert batch.manifest.metrics["warnings"].count("must know nothing of this dataset's interactions") == 2
    for name, users in (("music", [1]), ("film", [2, 4])):
        found = load_user_vectors(batch.path("user_vectors.safetensors"), name, NUM_USERS, timed=False)
        assert len(found.fit) == FOLDS
        assert all(np.flatnonzero(matrix.any(axis=1)).tolist() == users for matrix in (*found.fit, found.serve))


def test_rows_that_cannot_be_used_are_counted_and_kept(tmp_path: Path) -> None:
    rows = [
        *rows_of(1, 2, as_of=None),
        *rows_of(NUM_USERS + 5, as_of=None),
        {"user_id": "u4", "vector": [1.0, float("nan"), 2.0], "as_of": None},
        {"user_id": "u5", "vector": [1.0, float("inf"), 2.0], "as_of": None},
        {"user_id": "u6", "vector": [1.0, None, 2.0], "as_of": None},
        {"user_id": "u7", "vector": None, "as_of": None},
        {"user_id": None, "vector": [1.0, 1.0, 1.0], "as_of": None},
        *rows_of(8, as_of="later"),
        *rows_of(2, as_of=None),
        *rows_of(1, as_of="fit"),
    ]
    path = write(tmp_path / "v.parquet", rows)
    workspace = make_world(tmp_path / "ws")
    batch = import_user_vectors(workspace, {"music": path})
    assert batch.manifest.metrics["rejected"] == {
        "value that is no finite number": 3, "null key": 2, "second vector of a user": 2,
        "as_of is neither fit nor serve": 1, "unknown user": 1,
    }  # fmt: skip
    rejected = pl.read_parquet(batch.path("rejected.parquet"))
    assert rejected["row"].sort().to_list() == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert rejected.filter(pl.col("row") == 4)["value"].item() == "1.0|NaN|2.0"
    found = load_user_vectors(batch.path("user_vectors.safetensors"), "music", NUM_USERS, timed=True)
    assert np.flatnonzero(found.serve.any(axis=1)).tolist() == [1, 2]
    with pytest.raises(DataError, match="9 row"):
        import_user_vectors(workspace, {"music": path}, strict=True)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*rows_of(1), {"user_id": "u2", "vector": [1.0]}], "not of one width(.|\n)*1 values for the user 'u2'"),
        ([{"user_id": "u2", "vector": []}], "without a value"),
        (rows_of(NUM_USERS, NUM_USERS + 1), "no row(.|\n)*unknown user: 2"),
        ([{"user_id": "u1"}], r"missing column 'vector'(.|\n)*user_id \(text\), vector \(lists of numbers\), and if"),
        ([{"user_id": "u1", "vector": 1.5}], "column 'vector' has the wrong type"),
        ([{"user_id": "u1", "vector": ["a"]}], "column 'vector' has the wrong type"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    path = tmp_path / "v.parquet"
    frame = pl.DataFrame(rows)
    empty = [name for name, dtype in frame.schema.items() if dtype == pl.List(pl.Null)]
    frame.with_columns(pl.col(empty).cast(pl.List(pl.Float64))).write_parquet(path)
    with pytest.raises(DataError, match=says):
        import_user_vectors(make_world(tmp_path / "ws"), {"music": path})


@pytest.mark.parametrize("words", [["music"], ["=a.parquet"], ["Mu sic=a"], ["a/b=a"], ["m=a", "m=b"]])
def test_words_that_name_no_file(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"cannot read|is given twice"):
        read_pairs(words)


def test_the_command_tells_what_it_read_and_is_up_to_date_after(tmp_path: Path, graphkit: Cli) -> None:
    workspace, path = make_world(tmp_path / "ws"), write(tmp_path / "v.parquet", rows_of(1, 2, 99))
    words = ("import-user-vectors", f"music={path}", "-w", workspace.root)
    planned = graphkit(*words, "--dry-run", "--json")
    assert json.loads(planned.output)["users"] == {"music, fit": 2, "music, serve": 2}
    assert not workspace.has("user-vectors")
    first, second = (json.loads(graphkit(*words, "--quiet", "--json").stdout) for _ in range(2))
    assert (first["fresh"], second["fresh"]) == (True, False)
    assert first["metrics"]["rejected"] == {"unknown user": 1}
    assert "unknown user" in graphkit(*words, "--strict").output
    assert graphkit("import-user-vectors", "music=nowhere.parquet", "-w", workspace.root).exit_code == 2


def test_vectors_of_an_earlier_dataset_are_stale_and_refused(tmp_path: Path) -> None:
    workspace = make_world(tmp_path / "ws")
    import_user_vectors(workspace, {"music": write(tmp_path / "v.parquet", rows_of(1))})
    write_dataset(workspace, interactions(), cutoff=CUTOFF, name="another")
    (row,) = (row for row in batch_rows(workspace) if row["stage"] == "user-vectors")
    assert row["stale"].startswith("dataset is ")
    with pytest.raises(ArtefactError, match="no dataset"):
        import_user_vectors(Workspace(tmp_path / "empty"), {"music": tmp_path / "v.parquet"})
