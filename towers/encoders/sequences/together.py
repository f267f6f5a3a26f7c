"""Several processes that train one PyTorch encoder: ``python -m torch.distributed.run … train-encoder clue``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphkit.artefacts import Batch
from graphkit.config import Config
from graphkit.training.device import choose_device
from graphkit.training.distributed import joined, team_of_environment
from towers.encoders.source import Source


def train_together(module: Any, source: Source, config: Config, name: str, lead: Callable[[], Batch]) -> Batch:
    """The batch that ``lead`` makes in the first process, in every process; the others train with it.

    ``module.fit``, where ``lead`` comes to call it, shares where the checkpoints are; ``module.follow(source, config,
    checkpoint_dir)`` trains with it and writes nothing.
    """
    team = team_of_environment()
    device: str = getattr(config, name).device
    with joined(team, choose_device(device, team.local_rank, f"{name}.device")):
        if team.leads:
            batch = lead()
            team.share(lambda: {"done": str(batch.folder)})
            return batch
        word: dict[str, str] = team.share(dict)
        if "done" not in word:
            module.follow(source, config, Path(word["checkpoint_dir"]))
            word = team.share(dict)
        return Batch.open(Path(word["done"]))
