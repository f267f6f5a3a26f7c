"""What commands print: rich tables for people, one JSON object for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphkit.artefacts import Batch
from graphkit.config import Config
from graphkit.schemas import DATASET_FILE

if TYPE_CHECKING:
    from graphkit.audit.finding import Finding as AuditFinding
    from graphkit.claims.verdict import Judged
    from graphkit.doctor import Finding
    from graphkit.graph.estimate import BuildEstimate
    from graphkit.graph_formats.export import GraphExport

#: Where a metric of a manifest is a list of rows, it is shown as a table of its own.
Rows = Sequence[Mapping[str, Any]]
_SHOWN_METRICS: Final = ("HR@10", "NDCG@10", "MRR@100", "Coverage@100")
#: The columns of the paper's Table 1.
_TABLE_1: Final = ("HR@10", "MRR@100", "Coverage@100")


def show_rows(rows: Rows, as_json: bool, title: str = "") -> None:
    """Print rows that share their keys."""
    if as_json:
        print(json.dumps(list(rows), default=str))
        return
    if not rows:
        _console().print(f"{title}: nothing yet")
        return
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in rows[0]:
        table.add_column(name, justify="right" if isinstance(rows[0][name], int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_text(row.get(name))) for name in rows[0]))
    _console().print(table)


def show_batch(batch: Batch, as_json: bool, fresh: bool = True, more: Mapping[str, Any] | None = None) -> None:
    """Print what a stage made (or found up to date), and ``more`` facts by name."""
    manifest = batch.manifest
    tables = _tables(batch)
    if as_json:
        body = {
            "fresh": fresh,
            "folder": str(batch.folder),
            "content_hash": batch.content_hash,
            **tables,
            **(more or {}),
        }
        print(json.dumps(body | manifest.model_dump(exclude={"files", "packages"}), default=str))
        return
    console = _console()
    console.print(f"[bold]{manifest.stage}[/] {batch.id} {'written' if fresh else 'is up to date'}")
    console.print(f"  folder     {escape(str(batch.folder))}", soft_wrap=True)
    console.print(f"  cost       {manifest.wall_seconds:.1f} s, peak {manifest.peak_memory_bytes / 2**20:,.0f} MiB")
    for name, count in manifest.row_counts.items():
        console.print(f"  {escape(name):<10} {count:,} rows")
    for name, value in manifest.metrics.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            show_rows(value, as_json=False, title=name)
        else:
            _show_fact(name, value)
    for title, rows in tables.items():
        show_rows(rows, as_json=False, title=title)
    for name, value in (more or {}).items():
        _show_fact(name, value)


def show_facts(facts: Mapping[str, Any], as_json: bool, title: str) -> None:
    """Print values by name, a line each."""
    if as_json:
        print(json.dumps(facts, default=str))
        return
    _console().print(title)
    for name, value in facts.items():
        _show_fact(name, value)


def _show_fact(name: str, value: Any) -> None:
    shown = _text(value)
    if isinstance(value, Mapping):
        shown = ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "-"
    _console().print(f"  {escape(name)}: {escape(shown)}")


def _tables(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """What a batch holds that is better read as a table: a dataset's statistics, an evaluation's results."""
    if batch.manifest.stage == "dataset":
        return _statistics(json.loads(batch.path(DATASET_FILE).read_text(encoding="utf-8"))["statistics"])
    if batch.manifest.stage == "evaluation":
        results = json.loads(batch.path("results.json").read_text(encoding="utf-8"))["results"]
        return {"results, with 95 % intervals over users": _by_cell(results)}
    if batch.manifest.stage == "downstream":
        return _by_task(json.loads(batch.path("results.json").read_text(encoding="utf-8")))
    return {}


def _statistics(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    figures = [
        {
            "statistic": row["name"],
            "measured": row["measured"],
            "target": f"{row['comparison']} {_text(row['target'])}" if row["target"] is not None else None,
            "unit": row["unit"],
            "origin": "planted" if row["planted"] else "found",
        }
        for row in rows
        if not row.get("quantiles")
    ]
    quantiles = [
        {"quantiles over users": row["name"]}
        | {f"{float(q):.0%}": int(value) for q, value in row["quantiles"].items()}
        for row in rows
        if row.get("quantiles")
    ]
    named = {"statistics": figures, "distinct items per user": quantiles}
    return {title: found for title, found in named.items() if found}


def show_ablation(batch: Batch, as_json: bool) -> None:
    """Print an evaluation's trained models in the form of the paper's Table 1: the sparse type, warm users.

    The first row, which the others are held against, for cold users too, is what variants are variants of, the
    towers without edges.
    """
    from graphkit.variants.overlays import BASE_LABEL

    body = json.loads(batch.path("results.json").read_text(encoding="utf-8"))
    base, target = BASE_LABEL if BASE_LABEL in body["models"] else body["ours"], body["sparse_type"]
    figures: dict[str, dict[str, Any]] = {name: {} for name in (base, *body["trained"])}
    for row in body["results"]:
        place = (row["target_type"], row["group"], row["segment"])
        if row["model"] in figures and place == (target, "warm", "all"):
            figures[row["model"]][row["metric"]] = row
    warm, cold = (_against(base, target, group, batch) for group in ("warm", "cold"))
    rows = [
        {"model": name}
        | {metric: _with_interval(found[metric]) if metric in found else "-" for metric in _TABLE_1}
        | {f"HR@10 against {base}": warm.get(name, "-"), "the same, cold users": cold.get(name, "-")}
        | {"seeds": body["seeds"][name]}
        for name, found in figures.items()
    ]
    if as_json:
        print(json.dumps({"target_type": target, "users": "warm", "rows": rows, "left_out": body["left_out"]}))
        return
    show_rows(rows, as_json=False, title=f"{target}, warm users: means over seeds with 95 % intervals over users")
    for name, why in body["left_out"].items():
        _console().print(escape(f"not in the table: {name}: {why}"))


def _against(base: str, target: str, group: str, batch: Batch) -> dict[str, str]:
    """By how much the HR@10 of every other model is above that of ``base``, for a user group of the target type."""
    import polars as pl

    found = {}
    pairs = pl.read_parquet(batch.path("comparisons.parquet"))
    for row in pairs.filter(target_type=target, group=group, metric="HR@10").iter_rows(named=True):
        model, peer, p_value = row["model"], row["peer"], row["p_holm"]
        if model == base:
            found[peer] = f"{0 - row['value']:+.4f} (p {p_value:.3g})"
        elif peer == base:
            found[model] = f"{row['value']:+.4f} (p {p_value:.3g})"
    return found


def _with_interval(row: Mapping[str, Any]) -> str:
    interval = f" {row['low']:.3f}-{row['high']:.3f}" if row["low"] is not None else ""
    spread = f" ±{row['spread']:.3f}" if row["spread"] is not None else ""
    return f"{row['value']:.3f}{interval}{spread}"


def _by_cell(results: Rows) -> list[dict[str, Any]]:
    """One row a target type, user group and model, one column a metric."""
    cells: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in results:
        if row["group"] == "all" or row["segment"] != "all" or row["metric"] not in _SHOWN_METRICS:
            continue
        key = (row["target_type"], row["group"], row["model"])
        cell = cells.setdefault(key, {"target": key[0], "users": key[1], "model": key[2]})
        cell[row["metric"]] = _with_interval(row)
    return list(cells.values())


def _by_task(body: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """A table a task and metric, a row a model: all users, the difference from the mean embeddings, then groups."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for row in body["results"]:
        title = f"{row['task']}: {row['metric']} ({body['tasks'][row['task']]['users']:,} users)"
        shown = tables.setdefault(title, {}).setdefault(row["model"], {"model": row["model"]})
        if row["group"] != "all":
            shown[row["group"]] = f"{row['value']:.3f}"
            continue
        shown["all users"] = f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        shown["against the mean"] = None
        if row["difference"] is not None:
            ends = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            shown["against the mean"] = f"{row['difference']:+.3f} ({ends})"
    return {title: list(rows.values()) for title, rows in tables.items()}


def show_run(done: Sequence[tuple[Batch, bool]], as_json: bool) -> None:
    """Print every stage of a run and where the report is."""
    rows = [
        {
            "stage": batch.manifest.stage,
            "batch": batch.id,
            "content": batch.content_hash[:12],
            "state": "made" if made else "up to date",
            "seconds": batch.manifest.wall_seconds,
            "peak MiB": round(batch.manifest.peak_memory_bytes / 2**20),
        }
        for batch, made in done
    ]
    report = done[-1][0].path("report.html").resolve()
    if as_json:
        print(json.dumps({"stages": rows, "report": str(report)}))
        return
    show_rows(rows, as_json=False)
    _console().print(f"report: {escape(str(report))}", soft_wrap=True)


def show_plan(rows: Rows, as_json: bool, estimate: BuildEstimate | None = None) -> None:
    """Print a dry run, with what it is expected to cost where that is known."""
    if as_json:
        expected = {"estimate": asdict(estimate)} if estimate else {}
        print(json.dumps([{**row, **expected} for row in rows], default=str))
        return
    show_rows(rows, as_json, title="dry run: nothing is written")
    if estimate is None:
        return
    show_rows(estimate.relations, as_json=False, title="expected of the graph")
    _console().print(
        f"expected: about {estimate.seconds:,.0f} s and {estimate.memory_bytes / 2**20:,.0f} MiB, "
        f"{estimate.pairs:,} pairs to count, {estimate.texts:,} texts to encode "
        f"(from {estimate.users_sampled:,} of {estimate.users:,} users; right within a factor of two)"
    )
    if estimate.memory_bytes > estimate.memory_limit_bytes:
        _console().print(f"[yellow]more than --memory, {estimate.memory_limit_bytes / 2**20:,.0f} MiB[/]")


def _ways(row: Mapping[str, Any]) -> list[str]:
    """How a recommendation came about: the ways from the user's items to it, with the weights of their edges."""
    ways = [([way, way["through"], row] if way["through"] else [way, row], way["weight"]) for way in row["why"]]
    return [
        " → ".join(str(end["title"] or end["item_id"]) for end in ends) + f" ({weight:.2g})" for ends, weight in ways
    ]


def show_ranking(ranking: Any, as_json: bool) -> None:
    """Print recommended or similar items."""
    if as_json:
        print(json.dumps(asdict(ranking), default=str))
        return
    rows = [{key: value for key, value in row.items() if key != "why"} for row in ranking.rows]
    show_rows(rows, as_json=False, title=f"source: {ranking.source}")
    for row in ranking.rows:
        for way in _ways(row) if "why" in row else []:
            _console().print(f"{row['rank']:>4}  {escape(way)}", soft_wrap=True)
    if ranking.note:
        _console().print(escape(ranking.note))


def show_findings(findings: Sequence[Finding], as_json: bool) -> None:
    """Print the doctor's findings, problems with their cure."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
        return
    mark = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[red]problem[/]"}
    for finding in findings:
        _console().print(
            f"{mark[finding.status]:<18} [bold]{finding.name}[/]: {escape(finding.found)}", soft_wrap=True
        )
        if finding.fix:
            _console().print(f"         fix: {escape(finding.fix)}", soft_wrap=True)


def show_descriptions(described: Mapping[str, Any], as_json: bool) -> None:
    """Print what a dataset, a graph or both look like; as JSON, an object with a key for each."""
    if as_json:
        print(json.dumps({what: asdict(found) for what, found in described.items()}, default=str))
        return
    from graphkit.describe.tables import headings, tables

    for found in described.values():
        for line in headings(found):
            _console().print(escape(line), soft_wrap=True)
        for title, rows in tables(found):
            show_rows(rows, as_json=False, title=title)


def show_claims(judged: Sequence[Judged], as_json: bool) -> None:
    """Print every claim of the papers with what was measured, and how many have each verdict."""
    from graphkit.claims.tables import RULE, claim_rows, claim_values, tally

    if as_json:
        print(json.dumps({"verdicts": tally(judged), "claims": claim_values(judged)}))
        return
    dataset = judged[0].dataset if judged else "nothing"
    show_rows(claim_rows(judged), as_json=False, title=f"the papers' claims, on {dataset}")
    _console().print(", ".join(f"{verdict}: {count}" for verdict, count in tally(judged).items()))
    _console().print(RULE)


def show_graph_export(export: GraphExport, as_json: bool) -> None:
    """Print where an exported graph is, and its size."""
    if as_json:
        print(json.dumps(asdict(export), default=str))
        return
    console = _console()
    console.print(f"[bold]{export.snapshot}[/] graph written as {export.format}")
    for name, path in (("file", export.path), ("nodes", export.node_table)):
        if path is not None:
            console.print(f"  {name:<7}{escape(str(path))}", soft_wrap=True)
    for what, counts in (("nodes", export.num_nodes), ("edges", export.num_edges)):
        show_rows([{what: name, "count": count} for name, count in counts.items()], as_json=False)


def show_audit(findings: Sequence[AuditFinding], as_json: bool) -> None:
    """Print an audit: a row a check, then the first offending row of each leak in full."""
    if as_json:
        leaks = sum(finding.is_leak for finding in findings)
        print(json.dumps({"leaks": leaks, "findings": [asdict(finding) for finding in findings]}, default=str))
        return
    rows = [
        {
            "stage": finding.stage,
            "what must hold": finding.check,
            "checked": f"{finding.checked:,} {finding.unit}" if finding.checked else "-",
            "result": f"{finding.result}: {finding.note}" if finding.note else finding.result,
        }
        for finding in findings
    ]
    show_rows(rows, as_json=False, title="leakage audit")
    for finding in findings:
        if finding.is_leak:
            _console().print(f"[red]LEAK[/] {finding.stage}: {escape(finding.check)}. The first that offends:")
            for name, value in finding.first_offender.items():
                _console().print(f"  {name + ':':<13}{escape(_text(value))}", soft_wrap=True)


def show_proofs(proofs: Sequence[Any], folder: Path, as_json: bool) -> None:
    """Print how a bundle stood its replay: a row a proof, then the first that failed, in full."""
    failed = next((proof for proof in proofs if proof.failed), None)
    if as_json:
        body = {"folder": str(folder), "verified": failed is None, "proofs": [asdict(proof) for proof in proofs]}
        print(json.dumps(body))
        return
    rows = [
        {
            "what": proof.what,
            "checked": proof.checked,
            "worst": "-" if proof.worst is None else f"{proof.worst:.4g}",
            "what must hold": proof.allowed,
            "verdict": proof.verdict,
        }
        for proof in proofs
    ]
    show_rows(rows, as_json=False, title=f"bundle {folder}")
    if failed is not None:
        _console().print(f"[red]{failed.verdict}[/] {escape(failed.what)}: {escape(failed.first)}", soft_wrap=True)


def as_toml(config: Config) -> str:
    """The configuration as TOML; ``none`` stands for no value."""
    lines = []
    for section, values in config.model_dump(mode="json").items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps("none" if value is None else value)


def _console() -> Console:
    return Console(highlight=False)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return json.dumps(value, default=str)
