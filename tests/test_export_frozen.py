"""The user tower's two files: the same bytes whatever the process did before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FILES = ("user_tower.onnx", "user_tower/saved_model.pb")


def build_tower() -> Any:
    """A tower whose layers have no names of their own: Keras counts them."""
    from towers.backend import keras

    pooled = keras.Input((6,), name="pooled", dtype="float32")
    categorical = keras.Input((2,), name="categorical", dtype="int32")
    embedded = [keras.layers.Embedding(4, 3)(categorical[:, column]) for column in range(2)]
    hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()([pooled, *embedded]))
    vector = keras.layers.UnitNormalization()(keras.layers.Dense(5)(hidden))
    tower = keras.Model({"pooled": pooled, "categorical": categorical}, vector)
    rng = np.random.default_rng(0)
    for weight in tower.weights:
        weight.assign(rng.normal(size=weight.shape).astype(np.float32))
    return tower


def save_tower(folder: Path) -> Any:
    from towers.frozen import save_onnx, save_saved_model

    tower = build_tower()
    folder.mkdir(parents=True, exist_ok=True)
    save_onnx(tower, folder / "user_tower.onnx")
    save_saved_model(tower, folder / "user_tower")
    return tower


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tower")
    save_tower(folder)
    return folder


def test_a_second_export_in_one_process_has_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_tower(tmp_path)
    for name in FILES:
        assert (saved / name).read_bytes() == (tmp_path / name).read_bytes()


def test_another_process_with_other_hashes_writes_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    script = "import sys, pathlib, test_export_frozen as t; t.save_tower(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        check=True,
        capture_output=True,
    )
    for name in FILES:
        assert (saved / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_both_files_compute_what_the_tower_computes(saved: Path, size: int) -> None:
    import onnxruntime
    import tensorflow as tf

    rng = np.random.default_rng(size)
    pooled = rng.normal(size=(size, 6)).astype(np.float32)
    categorical = rng.integers(0, 4, (size, 2)).astype(np.int32)
    expected = np.asarray(build_tower()({"pooled": pooled, "categorical": categorical}))
    session = onnxruntime.InferenceSession(str(saved / "user_tower.onnx"))
    (by_onnx,) = session.run(["user_vector"], {"pooled": pooled, "categorical": categorical})
    served = tf.saved_model.load(str(saved / "user_tower")).signatures["serving_default"]
    by_tensorflow = served(pooled=tf.constant(pooled), categorical=tf.constant(categorical))["user_vector"]
    np.testing.assert_allclose(by_onnx, expected, atol=1e-6)
    np.testing.assert_allclose(by_tensorflow.numpy(), expected, atol=1e-6)


def test_the_signature_is_named_and_takes_any_batch(saved: Path) -> None:
    import onnx

    graph = onnx.load(str(saved / "user_tower.onnx")).graph
    shapes = {
        end.name: [dim.dim_param or dim.dim_value for dim in end.type.tensor_type.shape.dim]
        for end in (*graph.input, *graph.output)
    }
    assert shapes == {"categorical": ["batch", 2], "pooled": ["batch", 6], "user_vector": ["batch", 5]}
