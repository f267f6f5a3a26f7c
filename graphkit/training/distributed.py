"""Several processes that train one model: ``python -m torch.distributed.run --nproc-per-node 2 -m cli train-hgnn``.

Every process holds all data and draws the same batches; each computes the loss of its share of a batch, and the
gradients are summed, so that the result is that of one process up to rounding. Only the leader (rank 0) writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from graphkit.errors import GraphkitError

T = TypeVar("T")

#: While the leader ranks held-out links or writes embeddings, the others wait; one that dies is noticed at once.
_PATIENCE: Final = timedelta(days=1)


@dataclass(frozen=True)
class Team:
    """The processes of one training run, of which this is number ``rank`` of ``world``; by default the only one."""

    rank: int = 0
    world: int = 1
    local_rank: int | None = None  # among those of this machine
    local_world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> None:
        """Replace ``tensor`` by its sum over the processes."""
        if self.world > 1:
            with _noticing_the_others():
                dist.all_reduce(tensor)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of ``tensor`` over the processes; gradients flow back to each process's own."""
        if self.world == 1:
            return tensor
        summed: Tensor = _Total.apply(tensor, self)  # type: ignore[no-untyped-call]
        return summed

    def share(self, make: Callable[[], T]) -> T:
        """What ``make`` gives on the leader (anything JSON can hold), on every process; the others wait for it."""
        if self.world == 1:
            return make()
        body = json.dumps(make()).encode() if self.leads else b""
        size = torch.tensor([len(body)])
        with _noticing_the_others():
            dist.broadcast(size, src=0)
            text = torch.empty(int(size), dtype=torch.uint8)
            if self.leads:
                text = torch.frombuffer(bytearray(body), dtype=torch.uint8)
            dist.broadcast(text, src=0)
        shared: T = json.loads(text.numpy().tobytes())
        return shared

    def wait(self) -> None:
        """Return when every process has come here."""
        self.sum(torch.zeros(1))

    def agree(self, subject: str, digest: bytes) -> None:
        """Raise GraphkitError unless every process has the same ``digest``; waits for all of them."""
        if self.world == 1:
            return
        number = int.from_bytes(hashlib.sha256(digest).digest()[:7], "big")
        extremes = torch.tensor([number, -number])
        with _noticing_the_others():
            dist.all_reduce(extremes, dist.ReduceOp.MAX)
        if int(extremes.sum()):
            raise GraphkitError(
                f"the training processes do not start from the same {subject}",
                expected="one workspace, one configuration and one version of everything on every machine",
                fix="start them with the same command, on a file system that they share",
            )


#: A process by itself.
ALONE: Final = Team()


def team_of_environment() -> Team:
    """The team that a launcher (``torch.distributed.run``) describes in the environment; else ``ALONE``."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or not {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ):
        return ALONE
    rank = int(os.environ["RANK"])
    local_rank, local_world = os.environ.get("LOCAL_RANK", rank), os.environ.get("LOCAL_WORLD_SIZE", world)
    return Team(rank, world, int(local_rank), int(local_world))


@contextlib.contextmanager
def joined(team: Team, device: torch.device) -> Iterator[None]:
    """Let the processes of ``team`` exchange tensors within the block, by NCCL on GPUs and gloo on CPUs.

    After an error the process must end: the others then end too.
    """
    if team.world == 1:
        yield
        return
    if not team.leads:
        os.environ["GRAPHKIT_QUIET"] = "1"  # progress and news come from the leader alone
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=team.rank, world_size=team.world, timeout=_PATIENCE)
    yield
    team.wait()  # nobody leaves while another still talks
    dist.destroy_process_group()


class _Total(torch.autograd.Function):
    """A sum over processes whose gradient is the sum of theirs: what each makes of the sum counts for all."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, team: Team) -> Tensor:
        ctx.team = team
        summed = tensor.detach().clone()
        team.sum(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        summed = gradient.clone()
        ctx.team.sum(summed)
        return summed, None


@contextlib.contextmanager
def _noticing_the_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise GraphkitError(
            "another training process has ended",
            found=str(error).partition(". ")[0],
            fix="its own message says why; the same command resumes from the last checkpoint",
        ) from error
