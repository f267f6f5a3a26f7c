"""Where tensors live, and the random generators that make a run repeatable."""

from __future__ import annotations

import hashlib
import os

import torch

from graphkit.errors import InputError


class DeviceError(InputError):
    """The device asked for is not there."""


def choose_device(setting: str) -> torch.device:
    """``auto`` takes the GPU where there is one; raises DeviceError for ``cuda`` without one."""
    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        build = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
        raise DeviceError(
            "no CUDA device to train on",
            where="hgnn.device",
            expected="a GPU that torch can use",
            found=build,
            fix="train with `--device cpu` (or auto), or install a CUDA build of torch on a machine with a GPU",
        )
    return torch.device("cuda" if setting != "cpu" and available else "cpu")


def prepare(device: torch.device, threads: int) -> None:
    """Let torch use ``threads`` CPU threads (0: every core this process may run on), repeatably.

    Without the deterministic mode, the backward pass of indexing adds up in whatever order threads arrive.
    A GPU has no deterministic kernel for every operation; there torch warns and goes on.
    """
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")


def generator(device: torch.device, seed: int, *purpose: str | int) -> torch.Generator:
    """A generator that depends on the seed and what it is for (as ``"epoch", 3``), and on nothing drawn before.

    A resumed run draws what an unbroken one would have drawn.
    """
    text = "/".join(map(str, (seed, *purpose)))
    return torch.Generator(device).manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big"))
