"""The audit of a finished run: every check, in the order of the stages."""

from __future__ import annotations

from graphkit.artefacts import Workspace
from graphkit.audit import (
    bundle,
    bundle_copies,
    dataset_rows,
    edge_weights,
    evaluated,
    examples,
    graph_edges,
    training,
)
from graphkit.audit.finding import Finding, finding
from graphkit.audit.run import AuditedRun
from graphkit.progress import track

CHECKS = (
    *dataset_rows.CHECKS,
    *graph_edges.CHECKS,
    *training.CHECKS,
    *examples.CHECKS,
    *edge_weights.CHECKS,
    *bundle.CHECKS,
    *bundle_copies.CHECKS,
    *evaluated.CHECKS,
)


def audit_leakage(workspace: Workspace) -> list[Finding]:
    """Hold every current batch against the raw rows: one finding a check, and of a leak the first offending row.

    Reads only, in blocks of bounded memory. Raises ArtefactError where there is no dataset, and for a batch that
    is damaged or was made from other batches than the current ones.
    """
    run = AuditedRun.open(workspace)
    return [finding(check, run) for check in track(CHECKS, "auditing", len(CHECKS))]
