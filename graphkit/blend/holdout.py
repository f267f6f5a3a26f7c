"""The current chain once more, on a hold-out cut from train: where what cannot be told from train rows is chosen.

The hold-out lies in ``<workspace>/holdout``, a workspace of its own: the dataset without its test rows, the end of
train (or a seeded draw per user) called test, as the tuned peers cut it; then the chain under the settings of the
current batches.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import Final

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.config.load import overlaid
from graphkit.datasets.days import write_days
from graphkit.datasets.store import Dataset, write_meta
from graphkit.evaluation.validation import validation_parts
from graphkit.pipeline import BLENDED, command_words, finished, spawn
from graphkit.progress import say
from graphkit.stages import ENCODERS, with_encoders
from graphkit.variants.train import settings_words, share_text_cache

HOLDOUT_DIR: Final = "holdout"


def holdout_of(workspace: Workspace) -> Workspace:
    """The workspace of the hold-out, there or not."""
    return Workspace(workspace.root / HOLDOUT_DIR)


def train_on_holdout(workspace: Workspace, config: Config) -> Workspace:
    """Make the hold-out of the current dataset and train what is not there; the workspace it is in.

    ``config`` holds for every stage, but that the towers read no imported user vectors: as of the hold-out's earlier
    moments there are none. Raises GraphkitError where a stage fails.
    """
    dataset, holdout = Dataset.current(workspace), holdout_of(workspace)
    hold_out(dataset, holdout, config)
    share_text_cache(workspace, holdout)
    config = without_imports(config)
    words = settings_words(config, dataset)
    for stage in with_encoders(BLENDED, config.towers.user_vectors):
        if finished(holdout, stage, config) is None:
            say(f"hold-out: {' '.join(command_words(stage))} …")
            spawn([*command_words(stage), "-w", str(holdout.root), "--quiet", *words])
    return holdout


def without_imports(config: Config) -> Config:
    """``config`` with no user vectors for the towers but the encoders'."""
    imported = [name for name in config.towers.user_vectors if name not in ENCODERS]
    if not imported:
        return config
    say(f"hold-out: the towers are trained without the imported user vectors {', '.join(imported)}")
    left = tuple(name for name in config.towers.user_vectors if name in ENCODERS)
    return overlaid(config, {"towers": {"user_vectors": left}}, "the hold-out, without imported user vectors")


def hold_out(dataset: Dataset, holdout: Workspace, config: Config) -> Batch:
    """The dataset batch of the hold-out."""
    spec = StageSpec.of("dataset", config, inputs={"holdout_of": dataset.batch.id})
    if (done := holdout.finished(spec)) is not None:
        return done
    with holdout.begin(spec) as work:
        parts = validation_parts(dataset, config.run.seed)
        sides = {schemas.TRAIN: parts.train, schemas.TEST: parts.held_out}
        rows = pl.concat([side.with_columns(pl.lit(name).alias(schemas.SPLIT)) for name, side in sides.items()])
        frame = rows.sort(schemas.USER, schemas.TIMESTAMP, schemas.ITEM_TYPE, schemas.ITEM, schemas.SIGNAL).collect()
        frame.write_parquet(work.path(f"{schemas.INTERACTIONS_DIR}/part-00000.parquet"))
        for name in (schemas.ITEMS_FILE, schemas.USERS_FILE, schemas.PLAYLISTS_FILE, schemas.LINKS_FILE):
            if name in dataset.batch.manifest.files:
                shutil.copyfile(dataset.batch.path(name), work.path(name))
        moments = {"cutoff": parts.cutoff, "label_start": _label_start(dataset, parts.train, parts.cutoff)}
        write_meta(work.folder, dataset.meta.model_copy(update=moments))
        write_days(work.folder)
        work.row_counts = {"interactions": frame.height}
        work.data_window = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
        return work.commit()


def _label_start(dataset: Dataset, train: pl.LazyFrame, cutoff: datetime | None) -> datetime | None:
    """The start of the towers' label period: as long as the dataset's own, but a third of train at most."""
    if cutoff is None or dataset.meta.cutoff is None or dataset.meta.label_start is None:
        return None
    period = dataset.meta.cutoff - dataset.meta.label_start
    first: datetime = train.select(pl.col(schemas.TIMESTAMP).min()).collect().item()
    return cutoff - min(period, (cutoff - first) / 3)
