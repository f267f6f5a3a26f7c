"""The chain of stages: which command makes each, what it reads, and which settings decide it.

Known without importing any stage, so that an up-to-date stage is recognised in milliseconds.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Stage(NamedTuple):
    """``sections`` of the configuration and ``upstream`` stages that decide a batch; ``optional`` ones of them are
    read where they are there."""

    command: str
    sections: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


#: In the order in which they run. ``run`` is a section of every stage.
STAGES: Final = {
    "dataset": Stage("graphkit sample` or `graphkit import", ("dataset", "sample", "split")),
    "graph": Stage("graphkit build-graph", ("graph", "text"), ("dataset",)),
    "hgnn": Stage("graphkit train-hgnn", ("hgnn",), ("graph",)),
    "towers": Stage("graphkit train-towers", ("towers",), ("dataset", "graph", "hgnn")),
    "edges": Stage("graphkit weigh-edges", ("edges",), ("dataset",)),
    "bundle": Stage(
        "graphkit export", ("export", "blend"), ("dataset", "graph", "hgnn", "towers", "edges", "blend"), ("blend",)
    ),
    "peers": Stage("graphkit tune-peers", ("peers",), ("dataset",)),
    "evaluation": Stage(
        "graphkit evaluate",
        ("evaluation", "blend"),
        ("dataset", "graph", "hgnn", "towers", "edges", "blend", "peers"),
        ("graph", "hgnn", "towers", "edges", "blend"),
    ),
    "report": Stage("graphkit report", ("report",)),
}
#: User encoders: from what is known of a user to one vector.
ENCODERS: Final = {
    "autoencoder": Stage("graphkit train-encoder autoencoder", ("autoencoder",), ("dataset", "graph", "hgnn")),
    "clue": Stage("graphkit train-encoder clue", ("clue",), ("dataset",)),
    "simclr": Stage("graphkit train-encoder simclr", ("simclr",), ("dataset",)),
    "shopperbert": Stage("graphkit train-encoder shopperbert", ("shopperbert",), ("dataset", "graph")),
}
#: Stages that several processes can make together (``torch.distributed.run``).
TOGETHER: Final = frozenset({"hgnn", "towers", "clue", "simclr", "shopperbert"})
#: Beside the chain: each made by its own command, never by `graphkit run`.
SIDE_STAGES: Final = {
    "blend": Stage("graphkit tune-blend", (), ("dataset",)),
    **ENCODERS,
    "encoder-scaling": Stage("graphkit encoder-scaling", ("clue", "encoder_scaling"), ("dataset",)),
    "downstream": Stage(
        "graphkit evaluate-users", ("downstream",), ("dataset", "graph", "hgnn", *ENCODERS), tuple(ENCODERS)
    ),
    "new-items": Stage("graphkit embed-new-items", (), ("dataset", "graph", "hgnn")),
}
#: Every stage that a workspace may hold batches of.
ALL_STAGES: Final = STAGES | SIDE_STAGES
