"""What each group of the autoencoder's input features is worth (KDD '24, 5.2.4).

    python benchmarks/encoder_ablation.py WORKSPACE --seeds 3

The autoencoder is trained with all features and without each group, in workspaces of their own below
WORKSPACE/encoder-ablation, which are kept; a second run goes on from them. All are measured in one table of the
downstream laboratory: figures are means over the training seeds, differences are paired over users, and `relative` is
held against the autoencoder with all features. The paper's: without onboarding -13.8 % on cluster-onboarding; without
item embeddings -4.2 % AUC on future-listening and -37.1 % on the cluster of favourite artists; without country and
other static features -12.1 % on the cluster of the country of the most listened artists.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from encoder_common import laboratory_rows, train_beside
from record import record

from graphkit.artefacts import Batch, Workspace

NAME, FULL = "autoencoder", "all features"
VARIANTS = {
    FULL: (),
    "w/o onboarding": ("onboarding",),
    "w/o item vectors of what was met": ("histories",),
    "w/o country and age": ("static",),
}
#: Those of the paper, and the clusters that stand in the place of the country of artists.
CLUSTERS = ("cluster-creators", "cluster-country", "cluster-language", "cluster-onboarding")
TASKS = ("future-listening", "sign-up", *CLUSTERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, help="with a dataset, a graph and a trained graph network")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=TASKS)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="SECTION.KEY=VALUE")
    options = parser.parse_args()
    base = Workspace(options.workspace)
    trained = {
        variant: [train(base, variant, without, seed, options.sets) for seed in range(options.seeds)]
        for variant, without in VARIANTS.items()
    }
    rows = list(laboratory_rows(base, NAME, trained, options.tasks, FULL, options.sets))
    record("encoder_ablation", rows, workspace=options.workspace.name, seeds=options.seeds)


def train(base: Workspace, variant: str, without: tuple[str, ...], seed: int, sets: list[str]) -> Batch:
    """The autoencoder of one variant and seed."""
    folder = "all" if variant == FULL else f"without-{'-'.join(without)}"
    own = [*sets, f"autoencoder.without=[{','.join(without)}]"]
    return train_beside(base, NAME, f"encoder-ablation/{folder}/seed-{seed}", own, seed)


if __name__ == "__main__":
    main()
