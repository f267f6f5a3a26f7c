"""The exceptions graphkit raises on purpose: each says what was expected, found, and how to go on."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable


class GraphkitError(Exception):
    """The run failed for a reason graphkit knows; the command line exits with 1."""

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem, self.where, self.expected, self.found, self.fix = problem, where, expected, found, fix
        super().__init__(self.render())

    def render(self) -> str:
        """The message as a person reads it, one fact a line."""
        facts = (("where", self.where), ("expected", self.expected), ("found", self.found), ("fix", self.fix))
        return "\n".join([self.problem, *(f"  {name + ':':<10}{text}" for name, text in facts if text)])


class InputError(GraphkitError):
    """What the user gave cannot be used (data, configuration, an option); exits with 2."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key or value is not one graphkit knows."""


class DataError(InputError):
    """A source file, table or row breaks the data contract."""


class ArtefactError(InputError):
    """An artefact is missing, damaged, or does not belong with another one."""


class WorkspaceError(InputError):
    """The workspace cannot be written: full, read-only, or in use."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'? `` when something known is close to ``word``; always lists what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"


#: What the system says when a write cannot succeed: full disk, quota, read-only, no permission, size limit.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENOTDIR}


def as_known_error(error: BaseException) -> GraphkitError | None:
    """``error`` itself if graphkit raised it, a WorkspaceError if the disk refused a write, else None."""
    if isinstance(error, GraphkitError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    # Rust libraries (Polars, safetensors) report the system's error number in their text only.
    quoted = re.search(r"os error (\d+)", str(error))
    number = int(quoted.group(1)) if quoted else number
    if number not in _UNWRITABLE:
        return None
    where = error.filename if isinstance(error, OSError) else None
    return WorkspaceError(
        "writing failed; earlier batches are untouched",
        where=str(where) if where else None,
        found=os.strerror(number),
        fix="free some space, or choose another folder with --workspace, and run the same command again",
    )
