"""The dataset artefact: validated tables with integer ids, and what is true of the whole.

Files: ``interactions/part-*.parquet`` (sorted by user, then time), ``items.parquet``, ``users.parquet``,
``days.parquet``, ``dataset.json``, and where there are any ``playlists.parquet``, ``links.parquet``,
``rejected.parquet``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from graphkit import schemas
from graphkit.artefacts import Batch, Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence


class DatasetMeta(BaseModel):
    """``dataset.json``: what later stages must know and cannot read off a table.

    ``cutoff`` starts the test period and ``label_start`` the towers' label period before it; both are None
    without timestamps. ``user_categorical`` are columns of ``users.parquet`` beside the canonical ones. ``config`` is
    what the card recommends. ``planted`` says the data were generated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    types: tuple[str, ...]
    targets: tuple[str, ...]
    strong: tuple[str, ...]
    weak: tuple[str, ...] = ()
    split: Literal["time", "fixed", "random", "none"]
    cutoff: datetime | None = None
    label_start: datetime | None = None
    user_categorical: tuple[str, ...] = ()
    num_users: int
    num_items: dict[str, int]
    config: dict[str, dict[str, Any]] = {}
    planted: bool = False
    statistics: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Dataset:
    """A dataset batch, opened."""

    batch: Batch
    meta: DatasetMeta

    @classmethod
    def open(cls, batch: Batch) -> Dataset:
        text = batch.path(schemas.DATASET_FILE).read_text(encoding="utf-8")
        return cls(batch, DatasetMeta.model_validate_json(text))

    @classmethod
    def current(cls, workspace: Workspace) -> Dataset:
        """The workspace's current dataset; raises ArtefactError if there is none."""
        return cls.open(workspace.current("dataset"))

    def interactions(self, split: str | None = None, signals: Sequence[str] | None = None) -> pl.LazyFrame:
        """Rows ``user`` u32, ``item_type`` str, ``item`` u32 (row within its type), ``signal`` str,
        ``timestamp`` datetime[ms, UTC] or null, ``seconds`` f32 or null, ``split`` str; of one split or
        of some signals if named."""
        rows = pl.scan_parquet(self.batch.path(schemas.INTERACTIONS_DIR) / "*.parquet")
        if split is not None:
            rows = rows.filter(pl.col(schemas.SPLIT) == split)
        return rows if signals is None else rows.filter(pl.col(schemas.SIGNAL).is_in(list(signals)))

    def items(self, item_type: str | None = None) -> pl.DataFrame:
        """The catalogue, sorted by type then ``item`` (u32, 0..n-1 within the type), with its texts."""
        frame = pl.read_parquet(self.batch.path(schemas.ITEMS_FILE))
        return frame if item_type is None else frame.filter(pl.col(schemas.ITEM_TYPE) == item_type)

    def users(self) -> pl.DataFrame:
        """One row a user, sorted by ``user`` (u32, 0..n-1)."""
        return pl.read_parquet(self.batch.path(schemas.USERS_FILE))


def write_meta(folder: Path, meta: DatasetMeta) -> None:
    """Write ``dataset.json``."""
    (folder / schemas.DATASET_FILE).write_text(meta.model_dump_json(indent=1), encoding="utf-8")
