"""Dataset cards: a TOML file that maps any source's files and columns to the canonical tables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from graphkit import schemas
from graphkit.config.base import Section
from graphkit.config.load import check_known
from graphkit.errors import ConfigError, did_you_mean
from graphkit.resources import folder

Format = Literal["auto", "parquet", "csv", "tsv", "jsonl", "recbole"]
TimestampUnit = Literal["auto", "s", "ms", "us", "iso"]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Keep(Section):
    """Which values of a source column to keep; both bounds are inclusive."""

    min: float | None = None
    max: float | None = None
    one_of: tuple[str | int | float, ...] | None = None


class TableCard(Section):
    """One source table: where its files are and what their columns mean.

    ``columns`` maps a canonical column to the source's name for it; a canonical column that is not mentioned
    is looked up under its own name. ``constants`` fill a column for every row, ``separators`` say how several
    values share one text field, ``keep`` filters rows by a source column.
    """

    canonical: ClassVar[Mapping[str, schemas.Column]] = {}

    files: Names = Field(min_length=1)
    format: Format = "auto"
    quote: str = Field(default='"', max_length=1, description="CSV and TSV; empty: quotes mean nothing")
    columns: dict[str, str] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    separators: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    keep: dict[str, Keep] = Field(default_factory=dict)
    timestamp_unit: TimestampUnit = "auto"
    seconds_unit: Literal["s", "ms"] = "s"

    @property
    def read_columns(self) -> Mapping[str, schemas.Column]:
        """The columns that are read: the canonical ones, and those that the card adds."""
        return self.canonical

    @field_validator("columns", "constants", "separators")
    @classmethod
    def _known(cls, mapping: dict[str, str]) -> dict[str, str]:
        for name in mapping:
            if name not in cls.canonical:
                raise ValueError(f"no canonical column {name!r}: {did_you_mean(name, cls.canonical)}")
        return mapping

    @field_validator("files")
    @classmethod
    def _relative(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        if any(Path(name).is_absolute() for name in files):
            raise ValueError("paths in a card are relative to the source folder")
        return files


class InteractionsCard(TableCard):
    canonical = schemas.INTERACTIONS


class ItemsCard(TableCard):
    canonical = schemas.ITEMS


class UsersCard(TableCard):
    """``categorical`` names further columns of the source, each a feature of the user tower."""

    canonical = schemas.USERS
    categorical: Names = ()

    @property
    def read_columns(self) -> Mapping[str, schemas.Column]:
        return {**self.canonical, **dict.fromkeys(self.categorical, schemas.Column("str", required=True))}

    @field_validator("categorical")
    @classmethod
    def _further(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in cls.canonical or name == schemas.USER:
                raise ValueError(f"{name!r} is read anyway: leave it out")
            if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
                raise ValueError(f"{name!r} is more than letters, digits, '_', '-' and '.': rename the column")
        return names


class PlaylistsCard(TableCard):
    canonical = schemas.PLAYLISTS


class LinksCard(TableCard):
    canonical = schemas.LINKS


class NewEdgesCard(TableCard):
    canonical = schemas.NEW_EDGES


class UserVectorsCard(TableCard):
    canonical = schemas.USER_VECTORS


class SplitValues(Section):
    """What a shipped split column calls its sides."""

    train: Names = (schemas.TRAIN,)
    test: Names = (schemas.TEST,)


class SplitCard(Section):
    """How the source's rows are told apart; a shipped split column is honoured row by row."""

    kind: Literal["auto", "time", "fixed", "random"] = "auto"
    cutoff: datetime | None = None
    values: SplitValues = SplitValues()


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


class Card(Section):
    """A dataset card, checked: every name it uses is a canonical one."""

    name: str
    about: str = ""
    types: Names = Field(min_length=1)
    targets: Names = Field(min_length=1)
    strong: Names = ()
    weak: Names = ()
    interactions: Annotated[tuple[InteractionsCard, ...], BeforeValidator(_as_list)] = ()
    items: Annotated[tuple[ItemsCard, ...], BeforeValidator(_as_list)] = ()
    users: Annotated[tuple[UsersCard, ...], BeforeValidator(_as_list)] = ()
    playlists: Annotated[tuple[PlaylistsCard, ...], BeforeValidator(_as_list)] = ()
    links: Annotated[tuple[LinksCard, ...], BeforeValidator(_as_list)] = ()
    split: SplitCard = SplitCard()
    config: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _coherent(self) -> Card:
        check_roles(self.types, self.targets, self.strong, self.weak)
        if self.interactions and not self.strong:
            raise ValueError("strong is empty: name at least one signal that makes graph edges and training labels")
        if not (self.interactions or self.items):
            raise ValueError("a card needs [interactions] or [items]")
        allowed = {
            schemas.ITEM_TYPE: self.types,
            schemas.SRC_TYPE: self.types,
            schemas.DST_TYPE: self.types,
            schemas.SIGNAL: self.strong + self.weak,
            schemas.SPLIT: self.split.values.train + self.split.values.test,
        }
        for _, table in self.tables():
            for column, value in table.constants.items():
                if column in allowed and value not in allowed[column]:
                    raise ValueError(f"constant {column} = {value!r}: {did_you_mean(value, allowed[column])}")
        return self

    @property
    def user_categorical(self) -> tuple[str, ...]:
        """The further columns of the users tables, each once."""
        return tuple(dict.fromkeys(name for table in self.users for name in table.categorical))

    def tables(self) -> list[tuple[str, TableCard]]:
        """Every source table with its label: ``items``, or ``items[2]`` where there are several."""
        kinds: dict[str, tuple[TableCard, ...]] = {
            "items": self.items,
            "users": self.users,
            "interactions": self.interactions,
            "playlists": self.playlists,
            "links": self.links,
        }
        return [
            (kind if len(cards) == 1 else f"{kind}[{number}]", table)
            for kind, cards in kinds.items()
            for number, table in enumerate(cards, start=1)
        ]


_MODELS: Final[dict[str, type[Section]]] = {
    "interactions": InteractionsCard,
    "items": ItemsCard,
    "users": UsersCard,
    "playlists": PlaylistsCard,
    "links": LinksCard,
    "keep": Keep,
    "split": SplitCard,
    "values": SplitValues,
}


def check_roles(
    types: tuple[str, ...], targets: tuple[str, ...], strong: tuple[str, ...], weak: tuple[str, ...]
) -> None:
    """Raise ValueError for a target that is no type, or a signal that is both strong and weak."""
    for target in targets:
        if target not in types:
            raise ValueError(f"target {target!r} is no item type: {did_you_mean(target, types)}")
    if both := sorted(set(strong) & set(weak)):
        raise ValueError(f"signal {both[0]!r} is both strong and weak")


def card_names() -> list[str]:
    """The bundled cards, sorted."""
    return sorted(path.stem for path in folder("data").glob("*.toml"))


def find_card(card: str | Path) -> Path:
    """The card's file: a path, or the name of a bundled card (``eswc2015``, ``data/eswc2015.toml``).

    Raises ConfigError, with a did-you-mean, where there is none.
    """
    given = Path(card)
    if given.is_file():
        return given
    bundled = folder("data") / f"{given.stem if given.suffix == '.toml' else given.name}.toml"
    if bundled.is_file() and given.parent in {Path(), Path("data")}:
        return bundled
    raise ConfigError(
        f"no dataset card {str(card)!r}",
        where=str(given.absolute()),
        expected=f"the path of a TOML file or a bundled card; {did_you_mean(given.stem, card_names())}",
        fix="start from the bundled card example_logs",
    )


def read_card(card: str | Path) -> Card:
    """Read and check a card. Raises ConfigError naming the file, the key, and what was expected."""
    path = find_card(card)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("the card is not valid TOML", where=str(path), found=str(error)) from None
    try:
        found = Card.model_validate(tables)
    except ValidationError as error:
        raise _explain(error, path) from None
    for section, values in found.config.items():
        check_known(section, values, f"{path} [config]")
    return found


def _explain(error: ValidationError, path: Path) -> ConfigError:
    # A misspelt key is often a required one too: the misspelling tells more than the lack.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location = first["loc"]
    key = ".".join(str(part) for part in location) or "the card"
    if first["type"] == "extra_forbidden":
        model = next((_MODELS[p] for p in reversed(location[:-1]) if isinstance(p, str) and p in _MODELS), Card)
        return ConfigError(
            f"unknown key '{key}' in the dataset card",
            where=str(path),
            expected=did_you_mean(str(location[-1]), model.model_fields),
        )
    missing = first["type"] == "missing"
    return ConfigError(
        f"'{key}' in the dataset card: {first['msg'].removeprefix('Value error, ')}",
        where=str(path),
        found=None if missing or not location else repr(first["input"])[:200],
        fix="see the bundled card example_logs, where every key is explained",
    )
