"""TensorBoard event files, as its own writers make them, without them or TensorFlow: every back end logs alike.

A file is a TFRecord: per event the length of its body (u64), the length's checksum, the body (an ``Event`` message of
``tensorflow/core/util/event.proto``) and its checksum. A checksum is a masked CRC-32C.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_POLYNOMIAL: Final = 0x82F63B78
_MASK: Final = 0xA282EAD8


class EventLog:
    """Scalars by epoch, in a new file of ``folder``; TensorBoard shows all files of a folder as one run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self._write(_event(_field(3, b"brain.Event:2")))

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the numbers among ``values``, and of a table of numbers each as ``table/name``."""
        scalars: dict[str, float] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                scalars |= {f"{name}/{key}": float(number) for key, number in value.items()}
            elif isinstance(value, int | float):
                scalars[name] = float(value)
        summary = b"".join(
            _field(1, _field(1, name.encode()) + struct.pack("<Bf", 2 << 3 | 5, value))
            for name, value in scalars.items()
        )
        self._write(_event(b"\x10" + _varint(step) + _field(5, summary)))

    def _write(self, body: bytes) -> None:
        length = struct.pack("<Q", len(body))
        with self._path.open("ab") as file:
            file.write(length + struct.pack("<I", _checksum(length)) + body + struct.pack("<I", _checksum(body)))


def _event(body: bytes) -> bytes:
    return struct.pack("<Bd", 1 << 3 | 1, time.time()) + body


def _field(number: int, body: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        crc = row
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


_TABLE: Final = _table()


def _checksum(body: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in body:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
