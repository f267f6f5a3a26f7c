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
from pathlib import Path

from encoder_common import laboratory_rows, train_beside
from record import record

from graphkit.artefacts import Workspace
from graphkit.downstream.tasks import ALL_TASKS

CARRIED, HERE, NOTHING = "carried over", "trained here", "not trained"
TASKS = ("future-listening", "next-item", "cluster-creators", "cluster-language", "profile-country")


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
    trained = {
        who: [train_beside(base, name, f"encoder-transfer/{name}/{who.replace(' ', '-')}", [*options.sets, *own])]
        for who, own in contestants.items()
    }
    rows = list(laboratory_rows(base, name, trained, options.tasks, NOTHING, options.sets, mean=True))
    source = json.loads((options.pretrained / "manifest.json").read_text())
    record(
        "encoder_transfer",
        rows,
        workspace=options.workspace.name,
        encoder=name,
        pretrained={key: source[key] for key in ("batch_id", "data_window", "row_counts", "device")},
    )


if __name__ == "__main__":
    main()
