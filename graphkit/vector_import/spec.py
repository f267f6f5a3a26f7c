"""What a batch of imported user vectors is made from, known before anything is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from graphkit.artefacts import StageSpec, Workspace, sha256_file
from graphkit.config import Config
from graphkit.datasets.files import one_file
from graphkit.errors import InputError
from graphkit.stages import ENCODERS, USER_VECTORS

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def read_pairs(pairs: Sequence[str]) -> dict[str, Path]:
    """The files of ``NAME=FILE`` words, by name.

    Raises InputError for another word, a name that is given twice or is an encoder's, and one of other characters.
    """
    files: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not file or not _NAME.fullmatch(name):
            raise InputError(
                f"cannot read {pair!r}",
                expected="NAME=FILE, as in music=music.parquet; a name of a-z, 0-9, '_', '-' and '.'",
            )
        if name in files or name in ENCODERS:
            why = "is given twice" if name in files else "is that of a user encoder"
            raise InputError(f"the name {name!r} {why}", fix="give the vectors another name")
        files[name] = Path(file)
    return files


def import_spec(workspace: Workspace, files: Mapping[str, Path], strict: bool = False) -> StageSpec:
    """The spec of the batch that imports ``files``, by name.

    Raises ArtefactError without a dataset, DataError for a file that is not there or of no known format.
    """
    hashes = {name: sha256_file(one_file(path).path) for name, path in files.items()}
    upstream = workspace.upstream(USER_VECTORS).values()
    return StageSpec.of(USER_VECTORS, Config(), upstream, {**hashes, "strict": str(strict)})
