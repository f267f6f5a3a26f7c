"""The HGNN: trained on the audited graph, whose training snapshot ends where the label period starts."""

from __future__ import annotations

from graphkit.audit.finding import Check, Outcome
from graphkit.audit.run import AuditedRun, iso
from graphkit.graph.store import FIT, SERVE


def trained_on_the_audited_graph(run: AuditedRun) -> Outcome:
    """The windows of the graphs that it was trained on and embedded with end in time.

    Its validation links are drawn from the ``fit`` graph, so the check of that graph's edges covers them; that
    it was made from the audited graph is required before any check starts.
    """
    hgnn = run.batches["hgnn"].manifest
    ends = {FIT: run.meta.label_start, SERVE: run.meta.cutoff}
    for snapshot, end in ends.items():
        stated = hgnn.data_window.get(f"{snapshot}_end")
        if stated != iso(end):
            why = f"trained on a {snapshot} graph said to end at {stated}; {iso(end)} is what it may see"
            return Outcome(len(ends), {"file": str(run.batches["hgnn"].path("manifest.json")), "why": why})
    return Outcome(len(ends))


CHECKS = (Check("hgnn", "trained on the audited graph, links end in time", "windows", trained_on_the_audited_graph),)
