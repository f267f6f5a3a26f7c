"""The trials of tuning: each peer's settings fitted on the shorter train and ranked on validation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphkit.artefacts.disk import write_synced
from graphkit.errors import GraphkitError
from graphkit.evaluation.groups import COLD, WARM, TargetTask
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.recommender import Recommender
from graphkit.evaluation.validation import validation_ndcg

#: Figures keep this many decimals, far below what a user more or less makes.
DECIMALS = 9


class Score(NamedTuple):
    """Mean NDCG@10 of one cell's validation users under one setting."""

    setting: Setting
    target_type: str
    group: str
    ndcg: float
    num_users: int


@dataclass(frozen=True)
class Trials:
    """Fits settings and keeps each trial's scores in ``folder``, so that a kill loses one trial at most."""

    train: TrainData
    tasks: Mapping[str, TargetTask]
    folder: Path
    seed: int
    threads: int

    def run(self, peer: Peer, number: int) -> tuple[list[Score], float]:
        """The scores of the peer's setting ``number`` at each of its stopping points, and the seconds it took."""
        path = self.folder / f"{peer.name}-{number}.json"
        kept = _read(path)
        if kept is None:
            started = time.perf_counter()
            scores = list(self._scores(peer, peer.settings[number]))
            kept = {"scores": scores, "seconds": time.perf_counter() - started}
            self.folder.mkdir(parents=True, exist_ok=True)
            write_synced(path.with_suffix(".new"), json.dumps(kept))
            path.with_suffix(".new").rename(path)
        return [Score(*score) for score in kept["scores"]], kept["seconds"]

    def _scores(self, peer: Peer, setting: Setting) -> Iterator[Score]:
        for reached, model in peer.path(self.train, setting, self.seed, self.threads):
            for name, task in self.tasks.items():
                values = _checked(model, validation_ndcg(model, task, self.seed), reached)
                for group in (WARM, COLD):
                    rows = task.members(group)
                    if len(rows):
                        ndcg = round(float(values[rows].mean()), DECIMALS)
                        yield Score(dict(reached), name, group, ndcg, len(rows))


def _checked(model: Recommender, values: Any, setting: Setting) -> Any:
    if np.isfinite(values).all():
        return values
    raise GraphkitError(f"{model.name} gives scores that are no numbers", found=f"under {dict(setting)}")


def _read(path: Path) -> dict[str, Any] | None:
    """A trial kept by an earlier run; None where there is none or it cannot be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.keys() == {"scores", "seconds"} else None
