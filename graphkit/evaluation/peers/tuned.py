"""The tuned peers for the result table: fitted on all of train with the settings that validation chose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from graphkit.artefacts import Batch
from graphkit.config.sections import PeersSection
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import final_parts
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.registry import chosen_peers
from graphkit.evaluation.peers.train_data import TrainData, read_train
from graphkit.evaluation.peers.tune import PEERS_FILE
from graphkit.evaluation.recommender import Recommender

#: (target type, ``warm`` or ``cold``).
Cell = tuple[str, str]


@dataclass(frozen=True)
class TunedPeer:
    """A peer with its winning settings: ``fits`` are the distinct ones, each with the cells it serves."""

    peer: Peer
    what: str
    fits: tuple[tuple[Setting, tuple[Cell, ...]], ...]
    train: Any  # () -> TrainData
    seed: int
    threads: int

    @property
    def name(self) -> str:
        """The row's name in the table."""
        return self.peer.name

    def fit(self, setting: Setting) -> Recommender:
        """Fit one of the winning settings on all of train."""
        return self.peer.fit(self.train(), setting, self.seed, self.threads)


def tuned_peers(dataset: Dataset, peers_batch: Batch, seed: int, threads: int) -> list[TunedPeer]:
    """The peers that ``peers_batch`` tuned, in the order of ``peers.models``; train is read when one is fitted."""
    body = _read(peers_batch)
    settings = PeersSection.model_validate(peers_batch.manifest.settings["peers"])

    @cache
    def train() -> TrainData:
        return read_train(dataset, final_parts(dataset))

    return [
        TunedPeer(peer, _what(peer, body["winners"][peer.name], body["budget"]), fits, train, seed, threads)
        for peer in chosen_peers(settings)
        if peer.name in body["winners"]
        for fits in [_fits(body["winners"][peer.name])]
    ]


def left_out_peers(peers_batch: Batch) -> dict[str, str]:
    """Why a chosen peer is not in the table, by its name."""
    found: dict[str, str] = _read(peers_batch)["left_out"]
    return found


def _read(peers_batch: Batch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(peers_batch.path(PEERS_FILE).read_text(encoding="utf-8"))
    return found


def _fits(winners: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[Setting, tuple[Cell, ...]], ...]:
    cells: dict[str, list[Cell]] = {}
    for target, groups in winners.items():
        for group, winner in groups.items():
            cells.setdefault(json.dumps(winner["setting"]), []).append((target, group))
    return tuple((json.loads(setting), tuple(served)) for setting, served in cells.items())


def _what(peer: Peer, winners: Mapping[str, Mapping[str, Any]], budget: Mapping[str, Any]) -> str:
    """What the peer does, what it was given, and what validation chose, in one line."""
    tried = min(budget["trials"], len(peer.settings))
    if tried == 1 and not peer.settings[0]:
        return f"{peer.what}; nothing to tune"
    chosen = "; ".join(f"{_readable(setting)} for {_cells(cells)}" for setting, cells in _fits(winners))
    text = f"{peer.what}; best of {tried} settings by validation NDCG@10: {chosen}"
    if peer.name in budget["epochs"]:
        text += f"; up to {budget['epochs'][peer.name]} epochs"
        rising = [(t, g) for t, groups in winners.items() for g, won in groups.items() if won.get("unconverged")]
        text += f", unconverged (still rising at the last) for {_cells(rising)}" if rising else ""
    return text


def _readable(setting: Setting) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in setting.items())


def _cells(cells: Any) -> str:
    return ", ".join(f"{target}/{group}" for target, group in cells)
