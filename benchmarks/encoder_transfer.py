"""User vectors on a task they were not trained for: an MLP on frozen vectors, disjoint users (CLUE, 3.2 and 4.1).

python benchmarks/encoder_transfer.py WORKSPACE --encoders autoencoder clue simclr shopperbert --seeds 3

Task, per target type: which item does a user take up in the label period? Vectors are as of its start (`fit`), item
features are the graph's text vectors. Users are split 80/10/10, none in two parts. Two MLPs (input-512-256-128-64,
ReLU), dot product, binary cross-entropy against drawn negatives; the epoch is chosen on validation. As in the paper a
test item is ranked among 100 drawn ones: sampled negatives, for this table alone. Peers: the mean text vector of the
user's items, and popularity. Needs a workspace with timestamps, a graph, and the encoders.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from record import record
from torch import Tensor, nn
from torch.nn import functional

from graphkit.artefacts import Workspace
from graphkit.datasets.histories import read_histories
from graphkit.datasets.store import Dataset
from graphkit.user_features import STRONG, Pool, mean_pool
from graphkit.user_vectors import load_user_vectors
from graphkit.vectors import USER_VECTORS_FILE, load_vectors
from towers.labels import read_labels

NEGATIVES = 100
HIDDEN = (512, 256, 128, 64)
EPOCHS, PATIENCE, BATCH, RATE = 30, 4, 256, 0.001


@dataclass(frozen=True)
class Task:
    """One target type: who took up what, item features, and which part each user is in."""

    users: np.ndarray  # [pairs]
    items: np.ndarray  # [pairs]
    features: Tensor  # [num_items, dim]
    part: np.ndarray  # [num_users], 0 train, 1 validation, 2 test
    known: np.ndarray  # bool [num_users, num_items], never a negative

    def of(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.part[self.users] == part
        return self.users[chosen], self.items[chosen]

    def negatives(self, users: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Items the users do not know: int64 [len(users), count]."""
        drawn = rng.integers(0, len(self.features), (len(users), count))
        while (again := self.known[users[:, None], drawn]).any():
            drawn[again] = rng.integers(0, len(self.features), int(again.sum()))
        return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--encoders", nargs="+", default=["autoencoder", "clue", "simclr", "shopperbert"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    workspace = Workspace(options.workspace)
    dataset = Dataset.current(workspace)
    text = load_vectors(workspace.current("graph").path("features.safetensors"))
    inputs = {name: encoded(workspace, name, dataset) for name in options.encoders}
    inputs["mean text"] = mean_text(dataset, text)
    rows = []
    for target in dataset.meta.targets:
        for name, vectors in (*inputs.items(), ("popularity", None)):
            found = np.array(
                [run(read_task(dataset, target, text, seed), vectors, seed) for seed in range(options.seeds)]
            )
            mean, spread = found.mean(0), found.std(0, ddof=1) if options.seeds > 1 else np.zeros(3)
            figures = {
                m: f"{a:.4f} ± {s:.4f}" for m, a, s in zip(("HR@1", "NDCG@10", "MRR"), mean, spread, strict=True)
            }
            width = 0 if vectors is None else vectors.shape[1]
            rows.append({"type": target, "vectors": name, "width": width, **figures})
            print(rows[-1], flush=True)
    made = {name: workspace.current(name).manifest.settings for name in options.encoders}
    record("encoder_transfer", rows, dataset=dataset.meta.name, seeds=options.seeds, encoders=made)


def encoded(workspace: Workspace, name: str, dataset: Dataset) -> np.ndarray:
    path = workspace.current(name).path(USER_VECTORS_FILE)
    return load_user_vectors(path, name, dataset.meta.num_users, timed=True).fit[0]


def mean_text(dataset: Dataset, text: dict[str, np.ndarray]) -> np.ndarray:
    """Per type the mean text vector of the user's strong items before the label period."""
    histories, users = read_histories(dataset, dataset.meta.label_start), np.arange(dataset.meta.num_users)
    pools = [(histories[Pool(t, STRONG)].pairs(users), text[t]) for t in dataset.meta.types]
    return np.concatenate([mean_pool(row, item, vectors, len(users)) for (row, item), vectors in pools], axis=1)


def read_task(dataset: Dataset, target: str, text: dict[str, np.ndarray], seed: int) -> Task:
    labels = read_labels(dataset, target)
    part = np.random.default_rng([seed, 0]).choice(3, dataset.meta.num_users, p=(0.8, 0.1, 0.1))
    known = np.zeros((dataset.meta.num_users, len(text[target])), dtype=bool)
    row, item = labels.known.pairs(np.arange(dataset.meta.num_users))
    known[row, item] = True
    return Task(labels.users, labels.items, torch.from_numpy(text[target]), part, known)


def run(task: Task, vectors: np.ndarray | None, seed: int) -> np.ndarray:
    """HR@1, NDCG@10 and MRR of the test users' items; without vectors by popularity among the training users."""
    if vectors is None:
        count = np.bincount(task.of(0)[1], minlength=len(task.features)).astype(np.float32)
        return ranked(task, 2, lambda users, items: torch.from_numpy(count)[items], seed)
    torch.manual_seed(seed)
    inputs = torch.from_numpy((vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6))
    towers = nn.ModuleList([mlp(inputs.shape[1]), mlp(task.features.shape[1])])
    optimiser, rng = torch.optim.Adam(towers.parameters(), lr=RATE), np.random.default_rng([seed, 1])
    users, items = task.of(0)
    best, best_state, since = -1.0, towers.state_dict(), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(users))
        for piece in np.array_split(order, max(len(order) // BATCH, 1)):
            pool = np.concatenate([items[piece, None], task.negatives(users[piece], 4, rng)], axis=1)
            scores = score(towers, inputs, task, users[piece], torch.from_numpy(pool))
            wanted = torch.zeros_like(scores)
            wanted[:, 0] = 1
            optimiser.zero_grad()
            functional.binary_cross_entropy_with_logits(scores, wanted).backward()
            optimiser.step()
        found = float(ranked(task, 1, lambda u, i: score(towers, inputs, task, u, i), seed)[1])
        since += 1
        if found > best:
            best, since = found, 0
            best_state = {name: tensor.clone() for name, tensor in towers.state_dict().items()}
        if since == PATIENCE:
            break
    towers.load_state_dict(best_state)
    return ranked(task, 2, lambda u, i: score(towers, inputs, task, u, i), seed)


def mlp(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in HIDDEN:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, width))


def score(towers: nn.ModuleList, inputs: Tensor, task: Task, users: np.ndarray, items: Tensor) -> Tensor:
    """Dot products, float [n, candidates]."""
    user, item = towers[0](inputs[users]), towers[1](task.features[items])
    return (user[:, None] * item).sum(-1)


@torch.no_grad()
def ranked(task: Task, part: int, scores: object, seed: int) -> np.ndarray:
    """The mean figures over a part's pairs, each item among NEGATIVES drawn ones; ties count half."""
    users, items = task.of(part)
    rng = np.random.default_rng([seed, 2, part])
    pool = np.concatenate([items[:, None], task.negatives(users, NEGATIVES, rng)], axis=1)
    found = [
        scores(users[at], torch.from_numpy(pool[at]))
        for at in np.array_split(np.arange(len(users)), 1 + len(users) // 512)
    ]
    values = torch.cat(found)
    rank = 1 + (values[:, 1:] > values[:, :1]).sum(1) + 0.5 * (values[:, 1:] == values[:, :1]).sum(1)
    place = rank.numpy()
    return np.array([(place < 2).mean(), np.where(place < 11, 1 / np.log2(place + 1), 0).mean(), (1 / place).mean()])


if __name__ == "__main__":
    main()
