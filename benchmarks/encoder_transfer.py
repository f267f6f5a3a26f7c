"""What a contrastive encoder is worth on a dataset that it has never seen, by the items' texts alone (CLUE, 4.4).

    python benchmarks/encoder_transfer.py WORKSPACE OTHER/clue/ID --encoder clue

WORKSPACE has a dataset, a graph and a trained graph network; the folder is a batch of the same encoder, trained on
another dataset. Contestants are that model carried over (``clue.pretrained``), the encoder trained on WORKSPACE
itself, one with the same sizes that has learned nothing, and the mean of the graph network's item vectors. All are
measured in one table of the downstream laboratory; differences are paired over users and held against the model that
has learned nothing. Workspaces of the contestants are kept below WORKSPACE/encoder-transfer; a second run goes on
from them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from record import record

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.downstream.figures import Figure
from graphkit.downstream.representations import encoder_vectors, mean_embeddings
from graphkit.downstream.table import task_cells
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.tasks import ALL_TASKS
from graphkit.downstream.vector_rival import VectorRival
from graphkit.downstream.world import World
from graphkit.pipeline import spawn

CARRIED, HERE, NOTHING, MEAN = "carried over", "trained here", "not trained", "mean embeddings"
TASKS = ("future-listening", "next-item", "cluster-creators", "cluster-language", "profile-country")
SHOWN = ("model", "value", "low", "high", "difference", "difference_low", "difference_high", "relative")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("pretrained", type=Path, help="the folder of a batch of the encoder")
    parser.add_argument("--encoder", choices=["clue", "simclr"], default="clue")
    parser.add_argument("--tasks", nargs="*", choices=[task.name for task in ALL_TASKS], default=TASKS)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="SECTION.KEY=VALUE")
    options = parser.parse_args()
    base, name = Workspace(options.workspace), options.encoder
    contestants = {
        CARRIED: [f"{name}.pretrained={options.pretrained.resolve()}"],
        HERE: [],
        NOTHING: [f"{name}.learning_rate=1e-12", f"{name}.epochs=1"],
    }
    batches = {
        contestant: train(base, name, contestant, [*options.sets, *own]) for contestant, own in contestants.items()
    }
    rows = list(measure(base, name, batches, options.tasks, options.sets))
    source = json.loads((options.pretrained / "manifest.json").read_text())
    record(
        "encoder_transfer",
        rows,
        workspace=options.workspace.name,
        encoder=name,
        pretrained={key: source[key] for key in ("batch_id", "data_window", "row_counts", "device")},
    )


def train(base: Workspace, name: str, contestant: str, sets: list[str]) -> Batch:
    """The encoder of one contestant; what is there already is kept."""
    own = Workspace(base.root / "encoder-transfer" / name / contestant.replace(" ", "-"))
    for stage in ("dataset", "graph", "hgnn"):
        own.adopt(base.current(stage))
    settings = [word for text in sets for word in ("--set", text)]
    spawn(["train-encoder", name, "-w", str(own.root), "--quiet", *settings])
    return own.current(name)


def measure(
    base: Workspace, name: str, batches: dict[str, Batch], tasks: tuple[str, ...], sets: list[str]
) -> Iterator[dict[str, object]]:
    """The rows of all users, one a task, metric and contestant."""
    config = load_config("default", sets)
    world = World.of({stage: base.current(stage) for stage in ("dataset", "hgnn")}, config)
    rivals = {
        contestant: VectorRival(world, encoder_vectors(world, name, batch)) for contestant, batch in batches.items()
    } | {MEAN: VectorRival(world, mean_embeddings(world))}
    for task in (task for task in ALL_TASKS if task.name in tasks):
        prepared = task.prepare(world)
        if isinstance(prepared, NotApplicable):
            print(f"{task.name}: {prepared.reason}")
            continue
        figures: dict[str, dict[str, Figure]] = {who: dict(prepared.measure(rival)) for who, rival in rivals.items()}
        groups = {"all": world.panel.groups(prepared.users)["all"]}
        cells = task_cells(task.name, figures, groups, config.downstream.bootstrap, world.seed)
        for row in (row for cell in cells for row in cell.rows(NOTHING)):
            kept = {key: round(v, 4) if isinstance(v := row.get(key), float) else v for key in SHOWN}
            yield {"task": row["task"], "metric": row["metric"], **kept}


if __name__ == "__main__":
    main()
