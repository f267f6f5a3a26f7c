"""A graph of new days made from the last one: which occurrences can be taken over, and the proof that they can.

Under ``graph.incremental`` a batch keeps ``state/<snapshot>.parquet``, the occurrences of its window. A later build
reads them, drops what left the window, and reads only the new days of the log. It starts from nothing, and says why,
where the two datasets' digests of a day differ: the graph is in any case exactly that of a full build.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.datasets.days import DAY
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError
from graphkit.graph.occurrences import TYPE_CODE, type_code
from graphkit.graph.signals import signal_weights
from graphkit.graph.store import SNAPSHOTS
from graphkit.graph.windows import Window, snapshot_windows
from graphkit.parquet import GrowingTable
from graphkit.progress import say


def occurrences_file(snapshot: str) -> str:
    return f"state/{snapshot}.parquet"


@dataclass(frozen=True)
class Base:
    """The last graph, whose occurrences the new one starts from."""

    batch: Batch
    windows: dict[str, Window]
    users: pl.DataFrame  # user, new_user
    items: pl.DataFrame  # type_code, item, new_item
    renumbered: bool

    def occurrences(self, snapshot: str, window: Window) -> tuple[pl.LazyFrame, Window]:
        """Its occurrences inside ``window`` under the new numbers, and the window they were made for.

        Users and items that are gone have none there: both logs agree on every day that both windows touch.
        """
        rows = pl.scan_parquet(self.batch.path(occurrences_file(snapshot))).filter(window.filter())
        if self.renumbered:
            order = rows.collect_schema().names()
            rows = (
                rows.join(self.users.lazy(), on=schemas.USER)
                .join(self.items.lazy(), on=[TYPE_CODE, schemas.ITEM])
                .drop(schemas.USER, schemas.ITEM)
                .rename({"new_user": schemas.USER, "new_item": schemas.ITEM})
                .select(order)
            )
        return rows, self.windows[snapshot]


class StateWriter:
    """Keeps the occurrences of a window as they are read, for each snapshot that has it."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._tables = [GrowingTable(folder / occurrences_file(name)) for name in names]

    def __enter__(self) -> StateWriter:
        self._stack = ExitStack()
        for table in self._tables:
            self._stack.enter_context(table)
        return self

    def append(self, chunk: pl.DataFrame) -> None:
        for table in self._tables:
            table.append(chunk)

    def __exit__(self, *_: Any) -> None:
        self._stack.close()


def find_base(workspace: Workspace, dataset: Dataset, spec: StageSpec, config: Config) -> Base | None:
    """The current graph as a start for the one of ``spec``; None, and the reason is said, where it cannot be."""
    if not workspace.has("graph"):
        return None
    try:
        found = _base(workspace, dataset, spec, config)
    except ArtefactError as error:
        found = error.problem
    if isinstance(found, Base):
        say(f"starting from the graph {found.batch.id}: only the log's new days are read")
        return found
    say(f"building from the whole log: {found}")
    return None


def _base(workspace: Workspace, dataset: Dataset, spec: StageSpec, config: Config) -> Base | str:
    """The base, or why there is none."""
    batch = workspace.current("graph")
    if batch.manifest.settings != spec.settings:
        return "the last graph was made with other settings"
    former = workspace.stage_dir("dataset") / batch.manifest.upstream["dataset"]
    if not former.is_dir():
        return "the dataset of the last graph is gone"
    old = Dataset.open(Batch.open(former))
    new_windows = snapshot_windows(dataset, config.graph.window_days)
    old_windows = snapshot_windows(old, config.graph.window_days)
    for name in SNAPSHOTS:
        if not _advances(old_windows[name], new_windows[name]):
            return f"the {name} window did not move forward within itself"
    if old.meta.types != dataset.meta.types:
        return "the item types differ"
    given = config.graph.signal_weights
    if signal_weights(old.meta, given) != signal_weights(dataset.meta, given):
        return "other signals count"
    for name in SNAPSHOTS:
        if not _same_days(old, dataset, Window(new_windows[name].start, old_windows[name].end)):
            return f"the log of the {name} window has changed since"
    return Base(batch, old_windows, *_numbers(old, dataset))


def _advances(old: Window, new: Window) -> bool:
    if old.end is None or new.end is None or new.end < old.end:
        return False
    if old.start is None or new.start is None:
        return old.start is new.start
    return old.start <= new.start <= old.end


def _same_days(old: Dataset, new: Dataset, overlap: Window) -> bool:
    """Whether both logs agree on every day that the overlap touches."""
    assert overlap.end is not None  # narrows: windows that moved have an end
    inside = pl.col(DAY) <= (overlap.end - timedelta(milliseconds=1)).date()
    if overlap.start is not None:
        inside = inside & (pl.col(DAY) >= overlap.start.date())
    one, other = (pl.read_parquet(dataset.batch.path(schemas.DAYS_FILE)).filter(inside) for dataset in (old, new))
    return one.equals(other)


def _numbers(old: Dataset, new: Dataset) -> tuple[pl.DataFrame, pl.DataFrame, bool]:
    """The new number of each old user and item that is still there, and whether any differs."""
    theirs = new.users().select(schemas.USER_ID, new_user=schemas.USER)
    users = old.users().join(theirs, on=schemas.USER_ID).select(schemas.USER, "new_user")
    key = [schemas.ITEM_TYPE, schemas.ITEM_ID]
    found = old.items().join(new.items().select(*key, new_item=schemas.ITEM), on=key)
    items = found.select(type_code(new.meta.types), schemas.ITEM, "new_item")
    moved = users.filter(pl.col(schemas.USER) != pl.col("new_user")).height
    moved += items.filter(pl.col(schemas.ITEM) != pl.col("new_item")).height
    return users, items, moved > 0
