"""``graphkit sample``: a listening platform that never was, written as a dataset.

Everything follows from the seed. The catalogue has one random stream, each block of users another
(``numpy.random.SeedSequence`` with the block as spawn key), so any block can be made again on its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.datasets.days import write_days
from graphkit.datasets.split import time_split
from graphkit.datasets.statistics import measure_tables
from graphkit.datasets.store import DatasetMeta, write_meta
from graphkit.errors import ConfigError, did_you_mean
from graphkit.parquet import GrowingTable
from graphkit.progress import track
from graphkit.synthetic.events import STREAM, draw_log, interactions_frame
from graphkit.synthetic.items import Items, items_frame, make_items
from graphkit.synthetic.playlists import playlists_frame
from graphkit.synthetic.signals import WEAK
from graphkit.synthetic.sizes import SIZES, TARGETS, TYPES, WINDOW_END, WINDOW_START, WorldSize
from graphkit.synthetic.users import draw_users, users_frame

_CATALOGUE_KEY, _BLOCK_KEY = 0, 1
_LAST: Final = WINDOW_END - timedelta(milliseconds=1)


@dataclass(frozen=True)
class Block:
    """The tables of a block of users; ``interactions`` without a split."""

    interactions: pl.DataFrame
    users: pl.DataFrame
    playlists: pl.DataFrame


def sample_world(workspace: Workspace, config: Config) -> Batch:
    """Generate the world of ``sample.size`` and ``run.seed`` as the workspace's dataset.

    Raises ConfigError unless it is split by time.
    """
    if config.split.kind not in ("auto", "time"):
        raise ConfigError(
            "the sample world can only be split by time",
            expected="split.kind auto or time",
            found=config.split.kind,
        )
    spec = StageSpec.of("dataset", config)
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        _write(work, config)
        return work.commit()


def make_catalogue(size: WorldSize, seed: int) -> tuple[tuple[Items, ...], pl.DataFrame]:
    """The items of every type, and the rows of ``items.parquet``."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_CATALOGUE_KEY,)))
    catalogue = tuple(make_items(rng, size, item_type) for item_type in range(len(TYPES)))
    return catalogue, pl.concat([items_frame(rng, size, items) for items in catalogue])


def make_block(size: WorldSize, catalogue: tuple[Items, ...], seed: int, block: int) -> Block:
    """The users of a block with their log and playlists."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_BLOCK_KEY, block)))
    users = draw_users(rng, size, size.users_of(block))
    logs = draw_log(rng, users, catalogue, size.interactions_of(block))
    return Block(
        interactions_frame(logs, users.first),
        users_frame(rng, users, catalogue),
        playlists_frame(rng, users, catalogue),
    )


def _write(work: StageWork, config: Config) -> None:
    size, seed = SIZES[config.sample.size], config.run.seed
    cutoff, label_start = time_split(WINDOW_START, _LAST, config.split)
    until = cutoff + timedelta(days=config.split.horizon_days) if config.split.holdout == "validation" else None
    catalogue, items = make_catalogue(size, seed)
    items.write_parquet(work.path(schemas.ITEMS_FILE))
    work.row_counts = {"items": items.height, **_write_blocks(work, size, catalogue, seed, cutoff, until)}
    meta = _meta(config, cutoff, label_start)
    rows = pl.scan_parquet(work.path(schemas.INTERACTIONS_DIR) / "*.parquet")
    write_meta(work.folder, meta.model_copy(update={"statistics": measure_tables(rows, items, meta)}))
    write_days(work.folder)
    work.data_window = {
        "first": WINDOW_START.isoformat(),
        "last": _LAST.isoformat(),
        "cutoff": cutoff.isoformat(),
        "label_start": label_start.isoformat(),
    }


def _meta(config: Config, cutoff: datetime, label_start: datetime) -> DatasetMeta:
    size, chosen = SIZES[config.sample.size], config.dataset
    return DatasetMeta(
        name=f"sample-{config.sample.size}",
        types=TYPES,
        targets=_known("dataset.targets", chosen.targets, TARGETS, TYPES),
        strong=_known("dataset.strong", chosen.strong, (STREAM,), (STREAM, *WEAK)),
        weak=_known("dataset.weak", chosen.weak, WEAK, (STREAM, *WEAK)),
        split="time",
        cutoff=cutoff,
        label_start=label_start,
        num_users=size.users,
        num_items=dict(zip(TYPES, size.items, strict=True)),
        planted=True,
    )


def _known(
    key: str, given: tuple[str, ...] | None, default: tuple[str, ...], known: tuple[str, ...]
) -> tuple[str, ...]:
    """What the configuration gives for ``key``, or the default; raises ConfigError for what the world lacks."""
    for name in given or ():
        if name not in known:
            raise ConfigError(f"the sample world has no {name!r}", where=key, expected=did_you_mean(name, known))
    return default if given is None else given


def _write_blocks(
    work: StageWork,
    size: WorldSize,
    catalogue: tuple[Items, ...],
    seed: int,
    cutoff: datetime,
    until: datetime | None,
) -> dict[str, int]:
    """Write every block's tables, one block in memory at a time; the rows of each."""
    counts = {"interactions": 0, "users": 0, "playlists": 0}
    split = pl.when(pl.col(schemas.TIMESTAMP) < cutoff).then(pl.lit(schemas.TRAIN)).otherwise(pl.lit(schemas.TEST))
    with ExitStack() as stack:
        users = stack.enter_context(GrowingTable(work.path(schemas.USERS_FILE)))
        playlists = stack.enter_context(GrowingTable(work.path(schemas.PLAYLISTS_FILE)))
        for number in track(range(size.num_blocks), "sample world", size.num_blocks):
            block = make_block(size, catalogue, seed, number)
            rows = block.interactions.with_columns(split.alias(schemas.SPLIT))
            rows = rows if until is None else rows.filter(pl.col(schemas.TIMESTAMP) < until)
            rows.write_parquet(work.path(f"{schemas.INTERACTIONS_DIR}/part-{number:05d}.parquet"))
            users.append(block.users)
            playlists.append(block.playlists)
            for name, frame in (("interactions", rows), ("users", block.users), ("playlists", block.playlists)):
                counts[name] += frame.height
    return counts
