"""Import: a source's files, read by a dataset card, become the dataset artefact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace, sha256_file
from graphkit.config import Config
from graphkit.config.sections import DatasetSection
from graphkit.datasets.assign import Sides, SplitRule, assign_split
from graphkit.datasets.cards import Card, check_roles, find_card, read_card
from graphkit.datasets.catalogue import derive_catalogue, read_catalogue, with_items
from graphkit.datasets.days import write_days
from graphkit.datasets.files import SourceFile, find_files
from graphkit.datasets.interactions import Log, read_log, without_duplicates
from graphkit.datasets.people import describe_users, number_users, read_profiles, unknown_choices
from graphkit.datasets.references import read_links, read_playlists
from graphkit.datasets.store import DatasetMeta, write_meta
from graphkit.datasets.summary import count_groups, count_types
from graphkit.datasets.tables import Source
from graphkit.errors import ConfigError, DataError

_ROWS_A_PART: Final = 5_000_000
_COLUMNS: Final = (
    schemas.USER,
    schemas.ITEM_TYPE,
    schemas.ITEM,
    schemas.SIGNAL,
    schemas.TIMESTAMP,
    schemas.SECONDS,
    schemas.SPLIT,
)

Files = dict[str, list[SourceFile]]


def import_dataset(
    workspace: Workspace, card: str | Path, source: Path, config: Config, strict: bool = False
) -> Batch:
    """Import the files under ``source`` by ``card`` (a path, or the name of a bundled card) as the dataset.

    Rows that break the data contract are counted (``metrics["rejected"]``) and kept in ``rejected.parquet``;
    ``strict`` refuses them. Raises ConfigError for a card, DataError for a source that cannot be used.
    """
    path = find_card(card)
    as_written = read_card(path)
    found = _with_overrides(as_written, config.dataset, path)
    signals = tuple(dict.fromkeys((*as_written.strong, *as_written.weak, *found.strong, *found.weak)))
    files = find_files(found, Path(source))
    hashes = {file.name: sha256_file(file.path) for table in files.values() for file in table}
    inputs = {"card": sha256_file(path), "strict": str(strict), **{f"source/{k}": v for k, v in hashes.items()}}
    spec = StageSpec.of("dataset", config, inputs=inputs)
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        _write(work, found, _make(found, signals, files, config, strict))
        return work.commit()


@dataclass(frozen=True)
class _Made:
    """Everything that is written."""

    source: Source
    sides: Sides
    catalogue: pl.DataFrame
    users: pl.DataFrame
    playlists: pl.DataFrame | None
    links: pl.DataFrame | None
    duplicates: int
    notes: list[str]


def _with_overrides(card: Card, settings: DatasetSection, path: Path) -> Card:
    roles = {name: getattr(settings, name) or getattr(card, name) for name in ("targets", "strong", "weak")}
    if settings.weak is not None:
        roles["weak"] = settings.weak
    try:
        check_roles(card.types, **roles)
    except ValueError as error:
        raise ConfigError(f"dataset.targets, dataset.strong, dataset.weak: {error}", where=str(path)) from None
    return card.model_copy(update=roles)


def _make(card: Card, signals: tuple[str, ...], files: Files, config: Config, strict: bool) -> _Made:
    now = datetime.now(UTC)
    source, notes = Source(card.tables(), files), []
    catalogue = read_catalogue(source, card.types) if card.items else None
    log = read_log(source, card, signals, now)
    profiles = read_profiles(source, now)
    if catalogue is None:
        catalogue = derive_catalogue(log.rows)
        notes.append("no items table: the catalogue is what the interactions name, without texts")
    known = with_items(source, log.rows, catalogue)
    playlists = read_playlists(source, catalogue, card.types)
    links = read_links(source, catalogue, card.types)
    source.rejects.refuse(strict, config.dataset.max_rejected_share)
    numbering = number_users(known[schemas.USER_ID], profiles)
    rows = known.join(numbering, on=schemas.USER_ID)
    unique = without_duplicates(rows.select(_COLUMNS))
    if card.interactions:
        _require_users_and_targets(unique, card, source)
        sides = assign_split(unique, _split_rule(card, config, log))
    else:
        sides = Sides(unique, "none")
    year = (sides.cutoff or unique[schemas.TIMESTAMP].max()) if log.timed else None
    age_in = year.year if isinstance(year, datetime) else None
    users = describe_users(numbering, profiles, age_in, card.user_categorical)
    if year is None and profiles is not None and profiles[schemas.BIRTH_YEAR].null_count() < profiles.height:
        notes.append("birth_year is not used: without timestamps there is no year to take an age in")
    if unknown := unknown_choices(users, catalogue):
        notes.append(f"{unknown:,} onboarding items are in no catalogue: they are no input of the towers")
    return _Made(source, sides, catalogue, users, playlists, links, rows.height - unique.height, notes)


def _split_rule(card: Card, config: Config, log: Log) -> SplitRule:
    return SplitRule(
        card=card.split,
        settings=config.split,
        timed=log.timed,
        shipped=log.shipped_split,
        targets=card.targets,
        strong=card.strong,
        seed=config.run.seed,
    )


def _require_users_and_targets(rows: pl.DataFrame, card: Card, source: Source) -> None:
    where = ", ".join(
        dict.fromkeys(str(f.path) for label, _ in source.of_kind("interactions") for f in source.files[label])
    )
    num_users = rows[schemas.USER].n_unique()
    if num_users < 2:
        raise DataError(
            "co-listening needs at least two users",
            where=where,
            expected="2 users or more",
            found=f"{num_users} user in {rows.height:,} interactions",
            fix="check that columns.user_id in the card names the user, and that the log is whole",
        )
    counts = dict(
        rows.filter(pl.col(schemas.SIGNAL).is_in(list(card.strong)))[schemas.ITEM_TYPE].value_counts().rows()
    )
    for target in card.targets:
        if not counts.get(target):
            raise DataError(
                f"the target type {target!r} has no interactions with a strong signal",
                where=where,
                expected=f"rows of {target} with {' or '.join(card.strong)}",
                found=", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items())) or "none of any type",
                fix="check `targets`, `strong` and the item types in the card",
            )


def _write(work: StageWork, card: Card, made: _Made) -> None:
    rows, folder = made.sides.rows, work.path(f"{schemas.INTERACTIONS_DIR}/part-00000.parquet").parent
    for number, start in enumerate(range(0, max(rows.height, 1), _ROWS_A_PART)):
        rows.slice(start, _ROWS_A_PART).write_parquet(folder / f"part-{number:05d}.parquet")
    rejected = made.source.rejects.table()
    tables = {
        schemas.ITEMS_FILE: made.catalogue,
        schemas.USERS_FILE: made.users,
        schemas.PLAYLISTS_FILE: made.playlists,
        schemas.LINKS_FILE: made.links,
        schemas.REJECTED_FILE: rejected if rejected.height else None,
    }
    for name, table in tables.items():
        if table is not None:
            table.write_parquet(work.path(name))
    counts = {name.removesuffix(".parquet"): table.height for name, table in tables.items() if table is not None}
    work.row_counts = {"interactions": rows.height, **counts, "rejected": rejected.height}
    num_items = dict(made.catalogue[schemas.ITEM_TYPE].value_counts().rows())
    meta = DatasetMeta(
        name=card.name,
        types=card.types,
        targets=card.targets,
        strong=card.strong,
        weak=card.weak,
        split=made.sides.kind,
        cutoff=made.sides.cutoff,
        label_start=made.sides.label_start,
        user_categorical=card.user_categorical,
        num_users=made.users.height,
        num_items={name: num_items.get(name, 0) for name in card.types},
        config=card.config,
    )
    write_meta(work.folder, meta)
    write_days(work.folder)
    work.data_window = _window(made.sides)
    work.metrics = _metrics(card, made)


def _window(sides: Sides) -> dict[str, str | None]:
    time = sides.rows[schemas.TIMESTAMP]
    moments = {
        "first": time.min(),
        "last": time.max(),
        "cutoff": sides.cutoff,
        "label_start": sides.label_start,
    }
    return {name: moment.isoformat() if isinstance(moment, datetime) else None for name, moment in moments.items()}


def _metrics(card: Card, made: _Made) -> dict[str, Any]:
    rows = made.sides.rows
    metrics: dict[str, Any] = {
        "dataset": card.name,
        "users": made.users.height,
        "split": {"kind": made.sides.kind, **dict(rows[schemas.SPLIT].value_counts(sort=True).rows())},
        "types": count_types(rows, made.catalogue, card.types),
        "rejected": made.source.rejects.counts(),
        "duplicates_dropped": made.duplicates,
        "filtered_by_keep": {label: count for label, count in made.source.filtered.items() if count},
    }
    if card.interactions:
        metrics["test_users"] = count_groups(rows, card.targets, card.strong)
    if made.notes:
        metrics["notes"] = "; ".join(made.notes)
    return metrics
