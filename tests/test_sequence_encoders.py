"""CLUE, SimCLR and ShopperBERT on the towers' tiny world: what is learned, services, widths, precision, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import towers_world as world
from click.testing import Result
from conftest import graphkit_process

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.errors import ConfigError, GraphkitError, InputError
from graphkit.vectors import load_vectors
from towers import train_encoder
from towers.encoders.sequences import fit

NAMES = ("clue", "simclr", "shopperbert")
QUICK = ("dim=16", "heads=2", "layers=1", "batch_size=16", "epochs=2", "dropout=0")


def train(workspace: Workspace, name: str, *settings: str) -> Batch:
    chosen = [f"{name}.{setting}" for setting in (*QUICK, *settings)]
    return train_encoder(workspace, load_config("default", ["run.threads=1", *chosen]), name)


def vectors(batch: Batch, moment: str = "serve") -> np.ndarray:
    return load_vectors(batch.path("user_vectors.safetensors"))[f"{batch.manifest.stage}/{moment}"]


@pytest.mark.parametrize("name", NAMES)
def test_training_finds_the_planted_tastes(name: str, tmp_path: Path) -> None:
    """Users of even number like even items: five held-out users are told apart far better than before."""
    workspace = world.make_world(tmp_path)
    before = train(workspace, name, "epochs=1", "learning_rate=1e-12").manifest.metrics["val_loss"]
    after = train(workspace, name, "epochs=20", "patience=20", "learning_rate=0.01").manifest.metrics["val_loss"]
    assert after < 0.85 * before


def test_the_vectors_of_services_stand_side_by_side(tmp_path: Path) -> None:
    workspace = world.make_world(tmp_path)
    batch = train(workspace, "clue")
    fit = vectors(batch, "fit").reshape(world.NUM_USERS, len(world.ITEMS), 16)
    there = fit.any(axis=2)
    rows = world.interactions().filter(pl.col("timestamp") < world.LABEL_START)
    for place, item_type in enumerate(world.ITEMS):
        known = rows.filter(item_type=item_type)["user"].unique().sort().to_list()
        assert np.flatnonzero(there[:, place]).tolist() == known
    assert len(set(np.flatnonzero(there[:, 1])) - set(np.flatnonzero(there[:, 0]))) > 0  # new to audiobooks
    narrow = train(workspace, "clue", "service_dim=5")
    assert vectors(narrow).shape == (world.NUM_USERS, 2 * 5)


@pytest.mark.parametrize(
    ("setting", "names"),
    [("service=signal", ["stream", "follow"]), ("service=genre", ["crime", "poetry", "other"])],
)
def test_services_may_be_any_column(setting: str, names: list[str], tmp_path: Path) -> None:
    batch = train(world.make_world(tmp_path), "clue", setting)
    assert list(batch.manifest.metrics["services"]) == names
    assert vectors(batch).shape[1] == 16 * len(names)


def test_rare_services_are_one(tmp_path: Path) -> None:
    batch = train(world.make_world(tmp_path), "clue", "service=creator", "max_services=2")
    services = batch.manifest.metrics["services"]
    assert list(services)[-1] == "other"
    assert len(services) == 3
    rows = world.interactions().filter((pl.col("timestamp") < world.LABEL_START) & (pl.col("split") == "train"))
    assert sum(services.values()) == rows.height


def test_one_service_alone_is_refused_with_a_way_out(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    workspace = Workspace(tmp_path)
    world.write_dataset(workspace, world.interactions().filter(item_type="podcast"))
    done = graphkit("train-encoder", "clue", "-w", tmp_path)
    assert done.exit_code == 2
    assert "all of one service" in done.output
    assert "podcast" in done.output
    assert "simclr" in done.output
    assert np.isfinite(vectors(train(workspace, "simclr"))).all()


def test_items_without_a_text_are_counted(tmp_path: Path) -> None:
    batch = train(world.make_world(tmp_path), "clue", "texts=[description]")
    assert batch.manifest.metrics["items_without_text"] == sum(world.ITEMS.values())


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_comes_to_the_same_but_for_rounding(name: str, tmp_path: Path) -> None:
    workspace = world.make_world(tmp_path)
    full, half = train(workspace, name), train(workspace, name, "precision=bfloat16")
    assert half.manifest.metrics["precision"] == "bfloat16"
    losses = [json.loads(b.path("training.json").read_text())["epochs"][-1]["loss"] for b in (full, half)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_cls_is_a_vector_of_its_own(tmp_path: Path) -> None:
    workspace = world.make_world(tmp_path)
    mean, cls = train(workspace, "shopperbert"), train(workspace, "shopperbert", "variant=cls")
    assert vectors(mean).shape == vectors(cls).shape
    assert not np.allclose(vectors(mean), vectors(cls), atol=0.1)


def test_shopperbert_predicts_what_the_data_has(tmp_path: Path) -> None:
    dates = ["year", "month", "day of month", "day of week", "hour"]
    timed = train(world.make_world(tmp_path / "timed"), "shopperbert")
    assert timed.manifest.metrics["predicts"] == [
        "item_type",
        "genre",
        "creator",
        *dates[1:],
    ]  # one year, no language
    untimed = train(world.make_world(tmp_path / "untimed", timed=False), "shopperbert", "categories=[genre]")
    assert untimed.manifest.metrics["predicts"] == ["genre"]
    with pytest.raises(InputError, match="nothing for ShopperBERT to predict"):
        train(world.make_world(tmp_path / "nothing", timed=False), "shopperbert", "categories=[language]")


def test_a_training_that_comes_to_no_number_stops(tmp_path: Path) -> None:
    with pytest.raises(GraphkitError, match=r"came to no number[\s\S]*lower clue.learning_rate"):
        train(world.make_world(tmp_path), "clue", "learning_rate=1e30", "warm_up_share=0")
    assert not Workspace(tmp_path).has("clue")


def test_the_towers_take_the_vectors_of_several_encoders(tmp_path: Path) -> None:
    """As a user chains them: a process each, PyTorch in some and TensorFlow in the last."""
    workspace, names = world.make_world(tmp_path), ["clue", "shopperbert"]
    for name in names:
        words = [word for setting in QUICK for word in ("--set", f"{name}.{setting}")]
        made = graphkit_process("train-encoder", name, "-w", tmp_path, "--set", "run.threads=1", *words)
        assert made.returncode == 0, made.stderr
    words = [word for setting in (*world.QUICK, f"towers.user_vectors={names}") for word in ("--set", setting)]
    done = graphkit_process("train-towers", "-w", tmp_path, "--json", *words)
    assert done.returncode == 0, done.stderr
    upstream = json.loads(done.stdout)["upstream"]
    assert {name: upstream[name] for name in names} == {name: workspace.current(name).id for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_stops_within_an_epoch_goes_on_to_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(world.make_world(tmp_path / "whole"), name, "dropout=0.1")
    workspace, real, taken = world.make_world(tmp_path / "broken"), fit.Fit._step, []

    def step(self: fit.Fit, *args: Any) -> tuple[float, float]:
        if len(taken) == 5:
            raise GraphkitError("stopped here")
        taken.append(args[-1])
        return real(self, *args)

    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(fit.Fit, "_step", step)
    with pytest.raises(GraphkitError, match="stopped here"):
        train(workspace, name, "dropout=0.1")
    assert taken[-1] == "epoch 2, batch 2"
    monkeypatch.setattr(fit.Fit, "_step", lambda self, *args: taken.append(args[-1]) or real(self, *args))
    resumed = train(workspace, name, "dropout=0.1")
    assert taken[5] == "epoch 2, batch 3"
    assert resumed.content_hash == whole.content_hash


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="multiple of heads"):
        load_config("default", ["clue.dim=10"])


def test_the_vocabulary_grows_with_the_setting(tmp_path: Path) -> None:
    batch = train(world.make_world(tmp_path), "clue", "vocabulary=300")
    tokenizer = json.loads(batch.path("tokenizer.json").read_text())
    assert 256 < len(tokenizer["model"]["vocab"]) <= 300
