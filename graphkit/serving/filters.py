"""Which items of a type may be listed: by language, by what is available, and less what is excluded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from graphkit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from graphkit.serving.catalogue import Catalogue

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Filters:
    """Only items in these languages, only these item ids, none of those ids; None asks for nothing.

    A bundle keeps what the last few allow: one value for many calls is looked up once.
    """

    languages: frozenset[str] | None = None
    available: frozenset[str] | None = None
    exclude: frozenset[str] | None = None

    @classmethod
    def of(
        cls,
        languages: Iterable[str] | None = None,
        available: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
    ) -> Filters:
        """From any iterables; one that is a frozenset already costs nothing."""
        return cls(*(None if given is None else frozenset(given) for given in (languages, available, exclude)))


#: Every item may be listed.
NO_FILTERS: Final = Filters()


@dataclass(frozen=True)
class Allowed:
    """The items of one type that may be listed, bool [num_items], and what there is to say about it."""

    items: Flags
    note: str = ""

    @classmethod
    def of(cls, catalogue: Catalogue, item_type: str, num_items: int, filters: Filters) -> Allowed:
        """Ids that are no items of the type are counted in the note. Raises InputError for a language of no item."""
        items, notes = np.ones(num_items, dtype=bool), []
        if filters.languages is not None:
            items &= _in_languages(catalogue, item_type, filters.languages)
        for name, ids in (("available", filters.available), ("excluded", filters.exclude)):
            if ids is None:
                continue
            found = catalogue.among(item_type, ids)
            items &= found if name == "available" else ~found
            if (unknown := len(ids) - int(found.sum())) > 0:
                notes.append(f"{unknown} of {len(ids)} {name} ids are of no {item_type}")
        return cls(items, "; ".join(notes))


def read_ids(path: Path) -> frozenset[str]:
    """The item ids of a text file, one a line; empty lines count for nothing. Raises InputError if it is no text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "the list of item ids cannot be read", where=str(path), expected="text, one id a line", found=str(error)
        ) from None
    return frozenset(line.strip() for line in lines) - {""}


def _in_languages(catalogue: Catalogue, item_type: str, languages: frozenset[str]) -> Flags:
    known = catalogue.languages(item_type)
    for language in sorted(languages):
        if language not in known:
            raise InputError(
                f"no {item_type} has the language {language!r}",
                expected=did_you_mean(language, known) if known else "a catalogue with languages; this one has none",
            )
    return catalogue.in_languages(item_type, languages)
