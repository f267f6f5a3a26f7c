"""The scaling runs: a power law found in planted runs, and a ladder trained from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import towers_world as world
from click.testing import Result

from graphkit.config import load_config
from graphkit.config.encoder_scaling import EncoderScalingSection, Rung
from graphkit.errors import GraphkitError, InputError
from graphkit.power_law import fit_power_law
from towers.encoders.scaling import stage
from towers.encoders.scaling.runs import NOTHING, planned
from towers.encoders.sequences.record import pf_days


def rungs(count: int = 8) -> str:
    ladder = [
        {"dim": 8, "layers": 1, "max_behaviours": 1 + i, "batch_size": 8 + i, "user_share": 0.5 + i / 20}
        for i in range(count)
    ]
    return f"encoder_scaling.rungs={json.dumps(ladder)}"


SMALL = (
    "encoder_scaling.steps=4", "encoder_scaling.test_users=8", "encoder_scaling.validation_users=4",
    "encoder_scaling.contrast=8", "clue.vocabulary=300", "run.threads=1", rungs(),
)  # fmt: skip


def test_a_planted_power_law_is_found_and_its_interval_holds() -> None:
    rng, held = np.random.default_rng(0), []
    compute = np.geomspace(1e-9, 1e-6, 10)
    exact = fit_power_law(compute, 3 * compute**-0.05)
    assert exact.scale == pytest.approx(3)
    assert exact.exponent.value == pytest.approx(0.05)
    assert exact.r_squared == pytest.approx(1)
    inside = []
    for _ in range(300):
        loss = 3 * compute**-0.05 * np.exp(rng.normal(0, 0.03, 10))
        law = fit_power_law(compute[:-1], loss[:-1])
        inside.append(law.exponent.holds(0.05))
        held.append(law.predict(compute[-1]).holds(loss[-1]))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


def test_a_run_further_off_is_predicted_less_surely() -> None:
    compute = np.geomspace(1, 100, 8)
    law = fit_power_law(compute, compute**-0.1 * np.exp([0.01, -0.01] * 4))
    near, far = law.predict(100), law.predict(1e6)
    assert far.high / far.low > near.high / near.low > 1.0
    assert near.low < near.value < near.high


def test_pf_days_are_the_paper_s() -> None:
    assert pf_days(160_000_000, 256 * 100_000, 128) == pytest.approx(6 * 160e6 * 256 * 1e5 * 128 / 8.64e19)


def test_the_default_ladder_scales_all_factors_over_two_decades() -> None:
    plan = planned(EncoderScalingSection().rungs, bottlenecks=True)
    ladder = [rung for held_back, rung in plan if held_back == NOTHING]
    assert len(ladder) >= 8
    # A model has at least as many parameters as its width times the vocabulary.
    first, last = (rung.dim * rung.max_behaviours * rung.batch_size for rung in (ladder[0], ladder[-1]))
    assert last / first >= 100
    for name in Rung.model_fields:
        values = [getattr(rung, name) for rung in ladder]
        assert values == sorted(values)
        assert values[-1] > values[0]
    middle = ladder[6]
    for held_back, rung in plan[len(ladder) :]:
        changed = {name for name in Rung.model_fields if getattr(rung, name) != getattr(middle, name)}
        assert {
            "model size": {"dim", "layers"},
            "sequence length": {"max_behaviours"},
            "batch size": {"batch_size"},
            "data": {"user_share"},
        }[held_back] == changed


def test_a_ladder_is_trained_and_judged(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    workspace = world.make_world(tmp_path)
    words = [word for text in SMALL for word in ("--set", text)]
    done = graphkit("encoder-scaling", "-w", tmp_path, "--json", *words)
    assert done.exit_code == 0, done.output
    batch = workspace.current("encoder-scaling")
    found = json.loads(batch.path("scaling.json").read_text())
    ladder = [run for run in found["runs"] if run["held_back"] == NOTHING]
    assert len(ladder) == 8
    assert [run["held_back"] for run in found["runs"][8:]] == ["model size", "sequence length", "batch size", "data"]
    assert all(run["steps"] >= 4 and np.isfinite(run["test_loss"]) for run in found["runs"])
    law = fit_power_law([run["pf_days"] for run in ladder[:-1]], [run["test_loss"] for run in ladder[:-1]])
    assert found["exponent"]["value"] == pytest.approx(law.exponent.value)
    assert found["largest_within"] == law.predict(ladder[-1]["pf_days"]).holds(ladder[-1]["test_loss"])
    assert batch.path("scaling.svg").read_text().startswith("<?xml")
    assert "up to date" in graphkit("encoder-scaling", "-w", tmp_path, *words).output


def test_finished_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, config = world.make_world(tmp_path), load_config("default", SMALL)
    real, calls = stage.run_rung, []

    def counted(*args: object) -> object:
        if len(calls) == 3:
            raise GraphkitError("stopped here")
        calls.append(args)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "run_rung", counted)
    with pytest.raises(GraphkitError, match="stopped here"):
        stage.scale_encoder(workspace, config)
    kept = sorted(tmp_path.glob("encoder-scaling/.partial-*/checkpoint/*/run.json"))
    seconds = [json.loads(path.read_text())["seconds"] for path in kept]
    assert len(seconds) == 3
    monkeypatch.setattr(stage, "run_rung", real)
    runs = json.loads(stage.scale_encoder(workspace, config).path("scaling.json").read_text())["runs"]
    assert [run["seconds"] for run in runs[:3]] == seconds  # not trained again
    assert len(runs) == 12


def test_too_few_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test_users"):
        stage.scale_encoder(world.make_world(tmp_path), load_config("default", ["run.threads=1", rungs()]))
