"""Heterogeneous co-listening graphs, from listening logs to item embeddings and recommendations.

Each command of the ``graphkit`` command line is one function here, loaded on first use::

    from graphkit import Workspace, load_config, sample_world, build_graph, train_hgnn
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Threads that spin while they wait bring a shared machine to a crawl; OpenMP reads this when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from graphkit.artefacts import Workspace
    from graphkit.config import Config, load_config
    from graphkit.datasets.ingest import import_dataset
    from graphkit.evaluation.evaluate import evaluate
    from graphkit.graph.build import build_graph
    from graphkit.hgnn.train import train_hgnn
    from graphkit.report.page import write_report
    from graphkit.serving.bundle import Bundle
    from graphkit.synthetic.world import sample_world

__all__ = [
    "Bundle",
    "Config",
    "Workspace",
    "build_graph",
    "evaluate",
    "import_dataset",
    "load_config",
    "sample_world",
    "train_hgnn",
    "write_report",
]

_HOMES = {
    "Bundle": "graphkit.serving.bundle",
    "Config": "graphkit.config",
    "Workspace": "graphkit.artefacts",
    "build_graph": "graphkit.graph.build",
    "evaluate": "graphkit.evaluation.evaluate",
    "import_dataset": "graphkit.datasets.ingest",
    "load_config": "graphkit.config",
    "sample_world": "graphkit.synthetic.world",
    "train_hgnn": "graphkit.hgnn.train",
    "write_report": "graphkit.report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graphkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
