"""The chain of stages: which command makes each, what it reads, and which settings decide it.

Known without importing any stage, so that an up-to-date stage is recognised in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple


class Stage(NamedTuple):
    """``sections`` of the configuration and ``upstream`` stages that decide a batch; ``optional`` ones of them are
    read where they are there. ``revision`` counts changes of what its files hold: a batch of an earlier one is made
    again."""

    command: str
    sections: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    revision: int = 0


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
    "autoencoder": Stage(
        "graphkit train-encoder autoencoder", ("autoencoder", "sign_up"), ("dataset", "graph", "hgnn")
    ),
    "clue": Stage("graphkit train-encoder clue", ("clue", "sign_up"), ("dataset",)),
    "simclr": Stage("graphkit train-encoder simclr", ("simclr", "sign_up"), ("dataset",)),
    "shopperbert": Stage("graphkit train-encoder shopperbert", ("shopperbert", "sign_up"), ("dataset", "graph")),
}
#: Stages that several processes can make together (``torch.distributed.run``).
TOGETHER: Final = frozenset({"hgnn", "towers", "clue", "simclr", "shopperbert"})
#: The user vectors that were imported.
USER_VECTORS: Final = "user-vectors"
#: Beside the chain: each made by its own command; `graphkit run` makes the encoders that the towers read.
SIDE_STAGES: Final = {
    "blend": Stage("graphkit tune-blend", (), ("dataset",)),
    **ENCODERS,
    "encoder-scaling": Stage("graphkit encoder-scaling", ("clue", "encoder_scaling"), ("dataset",)),
    "downstream": Stage(
        "graphkit evaluate-users",
        ("downstream", "sign_up"),
        ("dataset", "graph", "hgnn", *ENCODERS),
        tuple(ENCODERS),
        revision=2,
    ),
    "new-items": Stage("graphkit embed-new-items", (), ("dataset", "graph", "hgnn")),
    USER_VECTORS: Stage("graphkit import-user-vectors", (), ("dataset",)),
}
#: Every stage that a workspace may hold batches of.
ALL_STAGES: Final = STAGES | SIDE_STAGES
#: What the report shows, as far as it is there.
REPORTED: Final = (*(stage for stage in STAGES if stage != "report"), "downstream", "encoder-scaling")


def vector_stage(name: str) -> str:
    """The stage that makes the user vectors ``name``: an encoder of that name, else the import."""
    return name if name in ENCODERS else USER_VECTORS


def vector_stages(names: Iterable[str]) -> tuple[str, ...]:
    """The stages behind the user vectors ``names``, each once."""
    return tuple(dict.fromkeys(map(vector_stage, names)))


def with_encoders(stages: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """``stages`` with the encoders among the user vectors ``names`` before the towers."""
    before = {"towers": tuple(name for name in names if name in ENCODERS)}
    return tuple(each for stage in stages for each in (*before.get(stage, ()), stage))
