"""What ShopperBERT learns from and encodes with: categories and text vectors of items, date parts, sequences."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file

from graphkit.config.sequence_encoders import ShopperbertSection
from graphkit.errors import InputError
from graphkit.graph.store import FEATURES_FILE
from graphkit.progress import say
from graphkit.vectors import load_vectors
from towers.encoders.sequences.layout import MAX_HELD_OUT, Layout, first_rows, hold_out, put_together, sampled
from towers.encoders.sequences.sequences import Ints, Sequences
from towers.encoders.sequences.services import first_values
from towers.encoders.shopperbert.dates import DAYS_OF_MONTH, DAYS_OF_WEEK, HOURS, MONTHS, PARTS, date_parts
from towers.encoders.source import Source

ITEMS_FILE: Final = "item_categories.safetensors"
TASKS_FILE: Final = "tasks.json"


@dataclass(frozen=True)
class Products:
    """The items as the encoder reads them, and what it knows of the calendar.

    ``tasks`` maps a sub-task to its number of values, unknown (0) among them: category levels, then date parts,
    which are none without timestamps. ``first_year`` is the year of value 1.
    """

    categories: npt.NDArray[np.int32]  # [num_items, levels], 0 unknown
    text: npt.NDArray[np.float32]  # [num_items, text_dim], zeros where there is none
    tasks: dict[str, int]
    first_year: int

    @property
    def levels(self) -> int:
        return int(self.categories.shape[1])

    def values(self, rows: Sequences) -> Ints:
        """The values of the sub-tasks of each behaviour: int64 [num_behaviours, tasks]."""
        categories = self.categories[rows.items].astype(np.int64)
        names = list(self.tasks)[self.levels :]
        if not names:
            return categories
        parts = date_parts(rows.times)
        parts[:, 0] -= self.first_year
        dates = [parts[:, PARTS.index(name)] + 1 for name in names]
        if names[0] == PARTS[0]:  # a year that training did not know is unknown
            known = (dates[0] > 0) & (dates[0] < self.tasks[PARTS[0]])
            dates[0] = np.where(known, dates[0], 0)
        return np.concatenate([categories, np.stack(dates, axis=1)], axis=1)

    def save(self, folder: Path) -> None:
        save_file({"categories": self.categories, "text": self.text}, folder / ITEMS_FILE)
        about = {"tasks": self.tasks, "first_year": self.first_year}
        (folder / TASKS_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Products:
        tensors, about = load_file(folder / ITEMS_FILE), json.loads((folder / TASKS_FILE).read_bytes())
        return cls(tensors["categories"], tensors["text"], about["tasks"], about["first_year"])


@dataclass(frozen=True)
class TrainingData:
    """Sequences of every user, and which users are which: disjoint, ascending."""

    products: Products
    layout: Layout
    rows: Sequences
    train: Ints
    held_out: Ints
    timed: bool


def read_training_data(source: Source, settings: ShopperbertSection, seed: int) -> TrainingData:
    """Everything from before the label period; a user must have two behaviours.

    Raises InputError where fewer than two users do, and where there is nothing to predict.
    """
    meta, items = source.dataset.meta, source.dataset.items()
    timed = meta.label_start is not None
    layout = Layout(
        first_rows=first_rows(items),
        signals=(*meta.strong, *meta.weak) if settings.signals == "all" else meta.strong,
        max_behaviours=settings.max_behaviours,
        daily=True,
    )
    rows = put_together((layout.sequences(users, None), users.count) for users in source.blocks(source.training))
    products = _products(source, items, settings, rows, timed)
    able = rows.users[rows.lengths > 1]
    if len(able) < 2:
        raise InputError(
            "too few users to learn from",
            expected="at least 2 users with two behaviours before the label period",
            found=f"{len(able)}",
            fix="give more interactions, or a shorter label period (split.label_days)",
        )
    train, held = hold_out(sampled(able, settings.max_users, seed), settings.validation_share, MAX_HELD_OUT, seed)
    return TrainingData(products, layout, rows, train, held, timed)


def _products(
    source: Source, items: pl.DataFrame, settings: ShopperbertSection, rows: Sequences, timed: bool
) -> Products:
    levels: dict[str, npt.NDArray[np.int32]] = {
        column: _codes(first_values(items, column), settings.max_values) for column in settings.categories
    }
    kept = {column: codes for column, codes in levels.items() if codes.max(initial=0) > 1}
    if left := [column for column in levels if column not in kept]:
        say(f"the catalogue tells no two items apart by {' or '.join(left)}: not predicted")
    if not kept and not timed:
        raise InputError(
            "there is nothing for ShopperBERT to predict",
            where=f"the catalogue's {', '.join(settings.categories)}",
            expected="a category with two values or more, or timestamps",
            found="neither",
            fix="give items a genre or a creator, or train the encoder simclr",
        )
    columns = np.stack(list(kept.values()), axis=1) if kept else np.zeros((len(items), 0), np.int32)
    text = load_vectors(source.upstream["graph"].path(FEATURES_FILE))
    vectors = np.concatenate([text[item_type] for item_type in first_rows(items)])
    tasks, first_year = {column: int(codes.max()) + 1 for column, codes in kept.items()}, 0
    if timed:
        years = date_parts(rows.times)[:, 0]
        first_year = int(years.min(initial=9999))
        counts = (int(years.max(initial=0)) - first_year + 1, MONTHS, DAYS_OF_MONTH, DAYS_OF_WEEK, HOURS)
        tasks |= {part: count + 1 for part, count in zip(PARTS, counts, strict=True) if count > 1}
    return Products(columns, vectors, tasks, first_year)


def _codes(values: pl.Series, most: int) -> npt.NDArray[np.int32]:
    """1 for the commonest value, 2 for the next, up to ``most``; 0 for all others and none: int32 [n]."""
    counts = values.drop_nulls().value_counts(name="count")
    order = counts.sort(["count", values.name], descending=[True, False])[values.name].to_list()[:most]
    codes = {value: code for code, value in enumerate(order, start=1)}
    if not codes:
        return np.zeros(len(values), np.int32)
    return values.replace_strict(codes, default=0, return_dtype=pl.Int32).fill_null(0).to_numpy()
