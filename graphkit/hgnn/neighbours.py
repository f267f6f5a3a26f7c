"""The neighbour back ends: what one must do, and which one a run takes.

A back end pools messages over the in-edges of a relation. Which neighbours are sampled is decided before
(``blocks.py``, with an explicit generator), because DGL's own sampler gave other neighbours to the same
seed in another process as soon as it ran on more than one thread. The model, the sampled neighbours and
the result are therefore the same under either back end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from graphkit.errors import InputError

if TYPE_CHECKING:
    import torch

    from graphkit.hgnn.graph_tensors import InEdges


class Maximum(Protocol):
    """The pooling of equation 2."""

    def __call__(self, messages: torch.Tensor, edges: InEdges) -> torch.Tensor:
        """Elementwise maximum over each destination's in-edges.

        ``messages`` [num_src, dim] are not negative (they come out of a ReLU); ``edges`` are int32. Returns
        [num_dst, dim]; a destination without in-edges gets zeros.
        """
        ...


class WeightedSum(Protocol):
    """Pooling by mean or attention: the weights say which."""

    def __call__(self, messages: torch.Tensor, edges: InEdges, weight: torch.Tensor) -> torch.Tensor:
        """Sum over each destination's in-edges of ``weight`` (float32 [num_edges]) times the message of the source.

        Shapes as in ``Maximum``; the sum is of the messages' type, and both messages and weights get gradients.
        """
        ...


class Pooling(NamedTuple):
    """What a neighbour back end does: gather the messages of a destination's in-edges into one."""

    maximum: Maximum
    weighted_sum: WeightedSum


class Choice(NamedTuple):
    """A back end and the reason for it."""

    name: str
    why: str


def choose_neighbours(setting: str, device: torch.device | str) -> Choice:
    """The back end for ``setting`` (auto, dgl, torch) on ``device``; no more than a trial import of DGL.

    Raises InputError where DGL is asked for and cannot be had.
    """
    kind = str(device).partition(":")[0]
    if setting == "torch":
        return Choice("torch", "hgnn.neighbours asks for it")
    if kind != "cpu":
        obstacle = f"DGL's released wheels have CPU kernels only, and the device is {kind}"
    else:
        obstacle = _import_obstacle()
    if not obstacle:
        return Choice("dgl", "its fused kernels are the fastest on a CPU")
    if setting == "dgl":
        raise InputError(
            "the DGL neighbour back end cannot be used",
            where="hgnn.neighbours",
            found=obstacle,
            fix="set hgnn.neighbours=auto or torch: the pure-torch back end gives the same result",
        )
    return Choice("torch", obstacle)


def load_pooling(name: str) -> Pooling:
    """The pooling functions of the back end ``name`` (dgl or torch)."""
    if name == "dgl":
        from graphkit.hgnn import neighbours_dgl

        return Pooling(neighbours_dgl.maximum, neighbours_dgl.weighted_sum)
    from graphkit.hgnn import neighbours_torch

    return Pooling(neighbours_torch.maximum, neighbours_torch.weighted_sum)


def _import_obstacle() -> str:
    """Why DGL does not import here; empty if it does."""
    try:
        from graphkit.hgnn import neighbours_dgl  # noqa: F401
    except ModuleNotFoundError as error:
        return "DGL is not installed" if error.name == "dgl" else f"DGL needs the package {error.name}"
    except Exception as error:  # a frozen binary package can fail to load in any way
        return f"DGL does not import: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return ""
