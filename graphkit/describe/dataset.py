"""What a dataset looks like: the paper's figure 2 A to D, observations 1 to 4, and its weak signals."""

from __future__ import annotations

from dataclasses import dataclass

from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.describe.concentration import TOP_USERS, Concentration, concentration, read_listening
from graphkit.describe.figures import NotMeasurable
from graphkit.describe.observations import Observation, observe
from graphkit.describe.sample import MAX_USERS, train_window
from graphkit.describe.target import TargetDescription, describe_target
from graphkit.progress import track


@dataclass(frozen=True)
class DatasetDescription:
    """Everything ``graphkit describe dataset`` measures, on train rows alone.

    ``everyone`` is the concentration over users of all target types together, where there are several.
    """

    name: str
    planted: bool
    window: str
    listening_note: str
    everyone: Concentration | NotMeasurable | None
    targets: list[TargetDescription]
    observations: list[Observation]


def describe_dataset(workspace: Workspace, config: Config) -> DatasetDescription:
    """Describe the current dataset, its texts by the current graph's vectors where they belong to it.

    Writes nothing. Raises ArtefactError where there is no dataset.
    """
    dataset = Dataset.current(workspace)
    graph = workspace.current("graph") if workspace.has("graph") else None
    return measure_dataset(dataset, graph, config)


def measure_dataset(
    dataset: Dataset, graph: Batch | None, config: Config, max_users: int = MAX_USERS
) -> DatasetDescription:
    """``describe_dataset`` of a dataset and, if any, a graph; pairs are drawn among ``max_users`` at most."""
    meta, seed = dataset.meta, config.run.seed
    window = train_window(dataset, config.graph.window_days)
    together = read_listening(dataset, window, meta.targets)
    targets = [
        describe_target(dataset, graph, window, target, seed, max_users)
        for target in track(meta.targets, "describe", len(meta.targets))
    ]
    several = len(meta.targets) > 1
    return DatasetDescription(
        meta.name,
        meta.planted,
        window.name,
        together.note,
        concentration(together.by_user, "users", together.amount, TOP_USERS, seed) if several else None,
        targets,
        sorted((o for target in targets for o in observe(target, meta.planted)), key=lambda o: o.number),
    )
