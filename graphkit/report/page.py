"""Stage ``report``: one HTML page that needs nothing but itself. File: ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.claims.measure import Evidence, judge_claims
from graphkit.claims.sampler_time import SamplerPair, sampler_pairs
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.describe.dataset import measure_dataset
from graphkit.describe.graph import measure_graph
from graphkit.evaluation.models import serve_embeddings
from graphkit.report.claims_section import claims_section
from graphkit.report.cost_section import cost_section
from graphkit.report.dataset_section import dataset_section
from graphkit.report.describe_section import data_section, graph_figures
from graphkit.report.formatting import count, day
from graphkit.report.graph_section import graph_section
from graphkit.report.item_map import item_map
from graphkit.report.results_section import results_section
from graphkit.report.training_section import training_section
from graphkit.report.user_section import user_section
from graphkit.stages import REPORTED

REPORT_FILE: Final = "report.html"
_TEMPLATE: Final = "template.html.j2"


def write_report(workspace: Workspace, config: Config) -> Batch:
    """Write the page about every current batch of the workspace; a stage that is missing is named as such.

    Times and memory on the page come from the manifests, so two runs' pages differ in those numbers alone.
    Raises ArtefactError where there is no dataset.
    """
    batches = {"dataset": workspace.current("dataset")} | {
        stage: workspace.current(stage) for stage in REPORTED if workspace.has(stage)
    }
    spec = StageSpec.of("report", config, batches.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        work.path(REPORT_FILE).write_text(render(batches, config, sampler_pairs(workspace)), encoding="utf-8")
        work.data_window = dict(batches["dataset"].manifest.data_window)
        return work.commit()


def render(batches: dict[str, Batch], config: Config, pairs: Sequence[SamplerPair] = ()) -> str:
    """The page as text, from the batches there are, by stage (at least ``dataset``), and the ``pairs`` of trainings
    that the claim on the sampler's time is measured on."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"count": count, "day": day}
    return templates.get_template(_TEMPLATE).render(_context(batches, config, pairs))


def _context(batches: dict[str, Batch], config: Config, pairs: Sequence[SamplerPair]) -> dict[str, Any]:
    dataset = Dataset.open(batches["dataset"])
    graph, hgnn, evaluation = (batches.get(stage) for stage in ("graph", "hgnn", "evaluation"))
    look = measure_dataset(dataset, graph, config)
    return {
        "meta": dataset.meta,
        "dataset": dataset_section(dataset),
        "look": data_section(look),
        "graph": None if graph is None else graph_section(graph),
        "snapshots": [] if graph is None else graph_figures(measure_graph(graph, dataset.meta.targets, config)),
        "training": training_section(hgnn, batches.get("towers")),
        "results": None if evaluation is None else results_section(evaluation),
        "claims": claims_section(judge_claims(Evidence(dataset, look, batches, pairs), config), dataset.meta.name),
        "map": None
        if hgnn is None
        else item_map(dataset, serve_embeddings(hgnn, dataset), config.report.map_items, config.run.seed),
        "users": None if "downstream" not in batches else user_section(batches["downstream"]),
        "run": cost_section(batches),
    }
