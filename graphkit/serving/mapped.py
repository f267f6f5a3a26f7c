"""Read-only memory maps of safetensors files: opening costs nothing, and processes share the pages."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.errors import ArtefactError
from graphkit.histories import Histories, named_histories

_DTYPES: Final = {"F32": np.float32, "I32": np.int32, "I64": np.int64}


def map_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All tensors of a safetensors file as read-only views of it; raises ArtefactError if it is not one."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        return {name: _view(data, start, about) for name, about in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError("not a readable safetensors file", where=str(path), found=str(error)) from None


def map_histories(path: Path) -> Histories:
    """The histories of a file, mapped."""
    return named_histories(map_tensors(path))


def _view(data: mmap.mmap, start: int, about: dict[str, Any]) -> npt.NDArray[Any]:
    first, end = about["data_offsets"]
    dtype = np.dtype(_DTYPES[about["dtype"]])
    flat = np.frombuffer(data, dtype, count=(end - first) // dtype.itemsize, offset=start + first)
    return flat.reshape(about["shape"])
