"""The report's training curves, from what the HGNN logs of each epoch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.report.training_section import training_section


def logged(root: Path, **lines: list) -> Batch:
    """A batch with a log of two epochs."""
    both = {"loss": [2.0, 1.0], "val_mrr": [0.1, 0.2], "edges": [{"a-p": 30}] * 2} | lines
    epochs = [{"epoch": i + 1} | {key: values[i] for key, values in both.items()} for i in range(2)]
    with Workspace(root).begin(StageSpec.of("hgnn", load_config("default"), [])) as work:
        work.path("training.json").write_text(json.dumps({"epochs": epochs, "best_epoch": 2}))
        return work.commit()


def chart_of(batch: Batch) -> str:
    (curves,) = training_section(batch, None)
    return str(curves.chart)


def test_coverage_is_drawn_for_each_relation(tmp_path: Path) -> None:
    seen = [{"a-p": 0.5, "p-p": 0.01}, {"a-p": 1.0, "p-p": 0.02}]
    chart = chart_of(logged(tmp_path, coverage=seen))
    assert "Links seen so far" in chart
    assert "p-p" in chart  # nowhere but in that panel
    assert chart.count("<svg") == 2  # three panels in a row
    assert "Links seen so far" not in chart_of(logged(tmp_path / "old"))


@pytest.mark.parametrize(("rates", "drawn"), [([0.01, 0.01], False), ([0.01, 0.001], True)])
def test_the_learning_rate_is_drawn_where_it_changes(tmp_path: Path, rates: list[float], drawn: bool) -> None:
    chart = chart_of(logged(tmp_path, learning_rate=rates))
    assert ("Learning rate" in chart) == drawn
