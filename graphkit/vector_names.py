"""The names in ``towers.user_vectors``: an encoder's, or that of imported vectors; what to say of one without any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphkit.errors import ArtefactError, did_you_mean
from graphkit.stages import ALL_STAGES, ENCODERS, USER_VECTORS


def no_user_vectors(
    name: str, named: Sequence[str], where: str, trained: Iterable[str] = (), imported: Iterable[str] = ()
) -> ArtefactError:
    """The refusal of ``name``, one of the ``named``, where there are vectors of ``trained`` and of ``imported``."""
    there = sorted({*trained, *imported})
    found = f"vectors of {', '.join(there)}" if there else "no user vectors at all"
    if name in ENCODERS:
        return ArtefactError(
            f"the user encoder {name!r}, which towers.user_vectors names, is not trained yet",
            where=where,
            found=found,
            fix=f"run `{ENCODERS[name].command}` first",
        )
    files = " ".join(f"{each}=FILE" for each in named if each not in ENCODERS)
    importing = ALL_STAGES[USER_VECTORS].command
    return ArtefactError(
        f"there are no user vectors {name!r}, which towers.user_vectors names",
        where=where,
        expected=f"{did_you_mean(name, {*imported, *ENCODERS})}, or a name that `{importing}` was given",
        found=found,
        # An import replaces the one before: all its names go into one command.
        fix=f"correct the name, or run `{importing} {files}`",
    )
