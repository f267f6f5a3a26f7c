"""A column that grows piece by piece in a file, not in memory, and is then read as a numpy array."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt


class Spool:
    """Numbers of one ``dtype``, appended to an unnamed file where temporary files go (``TMPDIR``).

    The file is gone with the process, whatever ends it. What is read of it is cached by the system, which may drop
    it again: the array takes no memory that another process could need.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype, self._length = np.dtype(dtype), 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - the array outlives this object

    def append(self, values: npt.NDArray[Any]) -> None:
        """Write ``values`` [n] behind what is there."""
        values.astype(self._dtype).tofile(self._file)
        self._length += len(values)

    def __del__(self) -> None:  # one that is never read, since something went wrong
        self._file.close()

    def array(self) -> npt.NDArray[Any]:
        """All that was appended, read-only; nothing can be appended afterwards."""
        with self._file as file:
            file.flush()
            if not self._length:
                return np.zeros(0, dtype=self._dtype)
            return np.memmap(file, dtype=self._dtype, mode="r", shape=(self._length,))
