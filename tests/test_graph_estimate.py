"""The dry run's estimate: within a factor of two of the build, from a part of the users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphkit import import_dataset
from graphkit.artefacts import Workspace
from graphkit.config import Config, load_config
from graphkit.datasets.store import Dataset
from graphkit.graph import estimate
from graphkit.graph.estimate import estimate_build, neighbours
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.relations import kept_relations
from graphkit.graph.snapshots import SnapshotWriter
from graphkit.graph.windows import snapshot_windows
from graphkit.synthetic.world import sample_world


def built(dataset: Dataset, config: Config, folder: Path) -> dict[tuple[str, str], int]:
    """The edges of each snapshot and relation of a full build."""
    limit, relations = MemoryLimit.of("8GiB"), kept_relations(dataset.meta.types, ())
    windows = snapshot_windows(dataset, config.graph.window_days)
    found = {}
    for window in dict.fromkeys(windows.values()):
        names = [name for name, other in windows.items() if other == window]
        written = SnapshotWriter(folder, dataset, config, limit, names, window).write(relations)
        found |= {("+".join(names), relation.name): count for relation, count in written.edges.items()}
        found["+".join(names), "pairs"] = written.pairs_counted
    return found


@pytest.mark.parametrize("settings", [[], ["graph.top_k=none"], ["graph.weight=pmi", "graph.prune=both"]])
@pytest.mark.parametrize("source", ["sample", "eswc2015", "amazon2014_dev"])
def test_the_estimate_is_within_a_factor_of_two(
    source: str, settings: list[str], tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(overrides=["sample.size=small", *settings])
    workspace = Workspace(tmp_path / "workspace")
    if source == "sample":
        sample_world(workspace, config)
    else:
        import_dataset(workspace, source, request.getfixturevalue("data_packs") / source, config)
    dataset = Dataset.current(workspace)
    monkeypatch.setattr(estimate, "_ENOUGH_PAIRS", 1_000_000)
    monkeypatch.setattr(estimate, "_FIRST_USERS", 500)
    expected = estimate_build(dataset, config, tmp_path / "cache")
    assert expected.users_sampled < expected.users / 2 or expected.users < 5_000
    found = built(dataset, config, tmp_path / "graph")
    for row in expected.relations:
        assert 0.5 <= row["edges"] / found[row["snapshot"], row["relation"]] <= 2, row
    pairs = sum(count for (_, what), count in found.items() if what == "pairs")
    assert 0.5 <= expected.pairs / pairs <= 2


def test_neighbours_are_read_off_the_curve_and_beyond_it() -> None:
    """Four neighbours a listener, up to eight listeners; twice the listeners, twice the neighbours after that."""
    listeners = np.array([1, 2, 4, 8, 0])
    found = neighbours(np.array([0.0, 2.0, 4.0, 16.0]), listeners, 4 * listeners)
    assert found.tolist() == pytest.approx([0, 8, 16, 64])
