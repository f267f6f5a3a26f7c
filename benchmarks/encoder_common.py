"""What the benchmarks of encoders share: one encoder trained several ways, all in one table of the laboratory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.downstream.figures import Averaged, Figure
from graphkit.downstream.representations import encoder_vectors, mean_embeddings
from graphkit.downstream.table import task_cells
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.tasks import ALL_TASKS
from graphkit.downstream.vector_rival import VectorRival
from graphkit.downstream.world import World
from graphkit.pipeline import spawn

MEAN = "mean embeddings"
SHOWN = (
    "task",
    "metric",
    "model",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "relative",
)


def train_beside(base: Workspace, name: str, folder: str, sets: Sequence[str], seed: int = 0) -> Batch:
    """The encoder ``name`` of ``base`` with settings of its own, in a workspace below it; what is there is kept."""
    own = Workspace(base.root / folder)
    for stage in ("dataset", "graph", "hgnn"):
        own.adopt(base.current(stage))
    settings = [word for text in sets for word in ("--set", text)]
    spawn(["train-encoder", name, "-w", str(own.root), "--seed", str(seed), "--quiet", *settings])
    return own.current(name)


def laboratory_rows(
    base: Workspace,
    name: str,
    trained: Mapping[str, Sequence[Batch]],
    tasks: Sequence[str],
    against: str,
    sets: Sequence[str],
    mean: bool = False,
) -> Iterator[dict[str, object]]:
    """The rows of all users, one a task, metric and contestant: means over each one's batches of the encoder.

    Differences are paired over users and held ``against`` one contestant; ``mean``: the mean embeddings are one, too.
    """
    config = load_config("default", sets)
    world = World.of({stage: base.current(stage) for stage in ("dataset", "hgnn")}, config)
    rivals = {
        who: [VectorRival(world, encoder_vectors(world, name, batch)) for batch in batches]
        for who, batches in trained.items()
    }
    if mean:
        rivals[MEAN] = [VectorRival(world, mean_embeddings(world))]
    for task in (task for task in ALL_TASKS if task.name in tasks):
        prepared = task.prepare(world)
        if isinstance(prepared, NotApplicable):
            print(f"{task.name}: {prepared.reason}")
            continue
        figures: dict[str, dict[str, Figure]] = {}
        for who, its_own in rivals.items():
            runs = [prepared.measure(rival) for rival in its_own]
            figures[who] = {metric: Averaged([run[metric] for run in runs]) for metric in runs[0]}
        groups = {"all": world.panel.groups(prepared.users)["all"]}
        cells = task_cells(task.name, figures, groups, config.downstream.bootstrap, world.seed)
        for row in (row for cell in cells for row in cell.rows(against)):
            yield {key: round(v, 4) if isinstance(v := row.get(key), float) else v for key in SHOWN}
