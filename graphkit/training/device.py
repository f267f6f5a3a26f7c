"""Where tensors live, and the random generators that make a run repeatable."""

from __future__ import annotations

import hashlib
import os

import torch

from graphkit.errors import InputError


class DeviceError(InputError):
    """The device asked for is not there."""


def choose_device(setting: str, local_rank: int | None = None, where: str = "device") -> torch.device:
    """``auto`` takes the GPU where there is one, of several processes each its own (``local_rank``); ``where`` is the
    setting's name.

    Raises DeviceError for ``cuda`` without one, and where there are fewer than processes.
    """
    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        build = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees no GPU"
        raise DeviceError(
            "no CUDA device to train on",
            where=where,
            expected="a GPU that torch can use",
            found=build,
            fix=f"train with `--set {where}=cpu` (or auto), or install a CUDA build of torch on a machine with a GPU",
        )
    if setting == "cpu" or not available:
        return torch.device("cpu")
    if local_rank is None:
        return torch.device("cuda")
    if local_rank >= (count := torch.cuda.device_count()):
        raise DeviceError(
            "more training processes than GPUs",
            where=where,
            expected=f"at most {count} on this machine",
            fix=f"start `torch.distributed.run` with --nproc-per-node {count}, or train with `--set {where}=cpu`",
        )
    return torch.device("cuda", local_rank)


def choose_precision(setting: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 on a GPU that computes in it, else float32."""
    if setting == "auto":
        has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        setting = "bfloat16" if has_it else "float32"
    return torch.bfloat16 if setting == "bfloat16" else torch.float32


def precision_name(setting: str, device: torch.device) -> str:
    """The chosen precision as people read it: ``float32``, ``bfloat16``."""
    return str(choose_precision(setting, device)).removeprefix("torch.")


def prepare(device: torch.device, threads: int, processes: int = 1) -> None:
    """Let torch use ``threads`` CPU threads, repeatably; 0: every core this process may run on, shared fairly
    with the other training ``processes`` of this machine.

    Without the deterministic mode, the backward pass of indexing adds up in whatever order threads arrive.
    A GPU has no deterministic kernel for every operation; there torch warns and goes on.
    """
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        # cuDNN's attention makes a plan for each new shape, and sequences come in ever new ones: it took two seconds
        # of a step of CLUE whose kernels ran for ten milliseconds.
        torch.backends.cuda.enable_cudnn_sdp(False)
    torch.set_num_threads(threads or max(len(os.sched_getaffinity(0)) // processes, 1))
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    # Nothing here reads memory that it has not written; filling it took 7 % of a step.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 - unknown to its types


def generator(device: torch.device, seed: int, *purpose: str | int) -> torch.Generator:
    """A generator that depends on the seed and what it is for (as ``"epoch", 3``), and on nothing drawn before.

    A resumed run draws what an unbroken one would have drawn.
    """
    text = "/".join(map(str, (seed, *purpose)))
    return torch.Generator(device).manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big"))
