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
    from graphkit.audit.audit import audit_leakage
    from graphkit.blend.tune import tune_blend
    from graphkit.claims.measure import measure_claims
    from graphkit.config import Config, load_config
    from graphkit.datasets.ingest import import_dataset
    from graphkit.describe.dataset import describe_dataset
    from graphkit.describe.graph import describe_graph
    from graphkit.downstream.stage import evaluate_users
    from graphkit.edge_weights.stage import weigh_edges
    from graphkit.evaluation.evaluate import evaluate
    from graphkit.evaluation.peers.tune import tune_peers
    from graphkit.graph.build import build_graph
    from graphkit.graph_formats.export import export_graph
    from graphkit.hgnn.train import train_hgnn
    from graphkit.new_items.stage import embed_new_items
    from graphkit.report.page import write_report
    from graphkit.serving.bundle import Bundle
    from graphkit.serving.filters import Filters
    from graphkit.synthetic.world import sample_world
    from graphkit.variants.train import train_variants
    from graphkit.vector_import.stage import import_user_vectors

__all__ = [
    "Bundle",
    "Config",
    "Filters",
    "Workspace",
    "audit_leakage",
    "build_graph",
    "describe_dataset",
    "describe_graph",
    "embed_new_items",
    "evaluate",
    "evaluate_users",
    "export_graph",
    "import_dataset",
    "import_user_vectors",
    "load_config",
    "measure_claims",
    "sample_world",
    "train_hgnn",
    "train_variants",
    "tune_blend",
    "tune_peers",
    "weigh_edges",
    "write_report",
]

_HOMES = {
    "Bundle": "graphkit.serving.bundle",
    "Config": "graphkit.config",
    "Filters": "graphkit.serving.filters",
    "Workspace": "graphkit.artefacts",
    "audit_leakage": "graphkit.audit.audit",
    "build_graph": "graphkit.graph.build",
    "describe_dataset": "graphkit.describe.dataset",
    "describe_graph": "graphkit.describe.graph",
    "embed_new_items": "graphkit.new_items.stage",
    "evaluate": "graphkit.evaluation.evaluate",
    "evaluate_users": "graphkit.downstream.stage",
    "export_graph": "graphkit.graph_formats.export",
    "import_dataset": "graphkit.datasets.ingest",
    "import_user_vectors": "graphkit.vector_import.stage",
    "load_config": "graphkit.config",
    "measure_claims": "graphkit.claims.measure",
    "sample_world": "graphkit.synthetic.world",
    "train_hgnn": "graphkit.hgnn.train",
    "train_variants": "graphkit.variants.train",
    "tune_blend": "graphkit.blend.tune",
    "tune_peers": "graphkit.evaluation.peers.tune",
    "weigh_edges": "graphkit.edge_weights.stage",
    "write_report": "graphkit.report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graphkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
