"""The result table of one dataset, by one command: import, train, tune the peers, more seeds, evaluate.

python benchmarks/tables.py eswc2015 --source DATA/eswc2015 --seeds 3          # a bundled card and its files
    # without --preset: laboratory, every peer tuned over six settings
python benchmarks/tables.py sample --preset demo --seeds 3                     # the sample world, size small
python benchmarks/tables.py gowalla_lightgcn --source DATA/gowalla_lightgcn --peers-only

Writes the section of that dataset in benchmarks/RESULTS.md and a line to benchmarks/results/tables.jsonl.
`--variants` says what `graphkit ablate` trains (default: baselines). With --work the workspace is kept, and a second
run goes on from it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from record import commit, machine, record

PAGE = Path(__file__).resolve().parent / "RESULTS.md"
STAGES = ("dataset", "graph", "hgnn", "towers", "edges", "peers", "evaluation")
SHOWN = ("HR@10", "Recall@20", "NDCG@10", "MRR@100", "Coverage@100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a bundled dataset card, or sample")
    parser.add_argument("--source", type=Path, help="the folder of the card's files")
    parser.add_argument("--preset", default="laboratory")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="*", default=["baselines"])
    parser.add_argument("--peers-only", action="store_true", help="train nothing: tuned peers alone")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--work", type=Path, help="keep the workspace here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.work or Path(temporary)
        seconds = run(options, root)
        body = json.loads(_current(root, "evaluation", "results.json").read_text(encoding="utf-8"))
        claims = [sys.executable, "-m", "cli", "claims", "-w", str(root), "--json", "--quiet"]
        judged = json.loads(subprocess.run(claims, check=True, capture_output=True, text=True).stdout)
        write_section(options.dataset, section(options, body, seconds) + claims_table(judged))
        record("tables", _rows(body), dataset=options.dataset, preset=options.preset, seconds=seconds)


def run(options: argparse.Namespace, root: Path) -> dict[str, float]:
    """Run what is to do; the seconds that each stage took when it was made."""
    words = ["-w", str(root), "--preset", options.preset, *(w for s in options.sets for w in ("--set", s))]
    start = ["sample"] if options.dataset == "sample" else ["import", options.dataset, str(options.source)]
    steps = [start]
    if not options.peers_only:
        steps += [["build-graph"], ["train-hgnn"], ["train-towers"], ["weigh-edges"]]
    steps += [["tune-peers"]]
    if options.variants and not options.peers_only:
        steps += [["ablate", *options.variants, "--seeds", str(options.seeds)]]
    steps += [["evaluate"]]
    for step in steps:
        print(" ".join(step), flush=True)
        subprocess.run([sys.executable, "-m", "cli", *step, *words], check=True, stdout=subprocess.DEVNULL)
    made = [stage for stage in STAGES if (root / stage / "rotation.json").exists()]
    return {s: json.loads(_current(root, s, "manifest.json").read_text())["wall_seconds"] for s in made}


def section(options: argparse.Namespace, body: dict[str, Any], seconds: dict[str, float]) -> str:
    """The dataset's part of the page: a table per target type, differences from the best peer, footnotes."""
    about = machine()
    lines = [
        f"## {options.dataset}",
        "",
        f"Commit {commit()}, {datetime.now(UTC).date()}, {about['processor']}, {about['cores']} cores, preset "
        f"`{options.preset}`. Full catalogue; 95 % intervals by bootstrap over users; ± is the standard deviation "
        "over training seeds. Seconds of each stage when it was made: "
        + ", ".join(f"`{name}` {value}" for name, value in seconds.items())
        + ".",
        "",
    ]
    for target in [*body["counts"], *(["all"] if len(body["counts"]) > 1 else [])]:
        for group in ("warm", "cold"):
            lines += _cell(body, target, group)
    lines += ["What each row is:", ""]
    lines += [f"- **{name}**: {what} ({body['seeds'][name]} seed{'s' * (body['seeds'][name] > 1)})"
              for name, what in body["models"].items()]  # fmt: skip
    lines += [f"- not in the table: **{name}**: {why}" for name, why in body["left_out"].items()]
    return "\n".join(lines) + "\n"


def claims_table(judged: dict[str, Any]) -> str:
    """The papers' claims on this dataset, the failed ones too."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in judged["verdicts"].items())
    lines = [
        f"\n### The papers' claims ({counts})\n",
        "| claim | where | paper | measured | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in judged["claims"]:
        if row["value"] is None:
            measured = row["note"]
        else:
            ends = f" ({row['low']:.3f} to {row['high']:.3f})" if row["low"] is not None else ""
            measured = f"{row['unit']} {row['value']:.3f}{ends}" + (f"; {row['values']}" if row["values"] else "")
            measured = f"{row['on']}: {measured}"
        cells = (row["statement"], row["where"], row["paper"], measured, f"**{row['verdict']}**")
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(body: dict[str, Any], target: str, group: str) -> list[str]:
    rows = [r for r in body["results"] if (r["target_type"], r["group"], r["segment"]) == (target, group, "all")]
    new = {
        r["model"]: r
        for r in body["results"]
        if (r["target_type"], r["group"], r["segment"], r["metric"]) == (target, group, "new", "Recall@20")
    }
    if not rows:
        return []
    value = {(row["model"], row["metric"]): row for row in rows}
    models = list(dict.fromkeys(row["model"] for row in rows))
    best = {metric: max(value[model, metric]["value"] for model in models) for metric in SHOWN}
    users = f"{rows[0]['num_users']:,} users"
    columns = [*SHOWN, *(["Recall@20, new items"] if new else [])]
    lines = [f"### {'all target types' if target == 'all' else target}, {group} ({users})", ""]
    lines += ["| model | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for model in models:
        cells = [_figure(value[model, metric], best[metric]) for metric in SHOWN]
        cells += [_figure(new[model], max(r["value"] for r in new.values()))] if new else []
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return [*lines, "", _against(body, target, group, models), ""]


def _figure(row: dict[str, Any], best: float) -> str:
    text = f"{row['value']:.4f}"
    text = f"**{text}**" if row["value"] == best and best > 0 else text
    text += f" ({row['low']:.4f} to {row['high']:.4f})" if row["low"] is not None else ""
    return text + (f" ±{row['spread']:.4f}" if row["spread"] is not None else "")


def _against(body: dict[str, Any], target: str, group: str, models: list[str]) -> str:
    """Ours against the best peer of the cell, won or lost."""
    peers = [m for m in models if m not in body["trained"]]
    score = {
        r["model"]: r["value"]
        for r in body["results"]
        if (r["target_type"], r["group"], r["segment"], r["metric"]) == (target, group, "all", "NDCG@10")
    }
    peer = max(peers, key=lambda name: score[name])
    for row in body["comparisons"]:
        place = (row["peer"], row["target_type"], row["group"], row["metric"])
        if place == (peer, target, group, "NDCG@10"):
            return (
                f"{body['ours']} against the best peer, {peer}, NDCG@10: {row['value']:+.4f} "
                f"({row['low']:+.4f} to {row['high']:+.4f}), p {row['p_value']:.2g}, after Holm {row['p_holm']:.2g}."
            )
    return ""


def write_section(dataset: str, text: str) -> None:
    """Put the dataset's section in its place on the page, or at its end."""
    head = "# Results\n\nEach section is written by `benchmarks/tables.py`, from one command.\n"
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else head
    parts = page.split("\n## ")
    kept = [part for part in parts[1:] if part.split("\n", 1)[0] != dataset]
    sections = sorted([*kept, text.removeprefix("## ").rstrip("\n") + "\n"])
    PAGE.write_text("\n## ".join([parts[0], *sections]), encoding="utf-8")


def _rows(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a model: NDCG@10 of every cell."""
    rows: dict[str, dict[str, Any]] = {}
    for row in body["results"]:
        if (row["segment"], row["metric"]) == ("all", "NDCG@10") and row["group"] != "all":
            rows.setdefault(row["model"], {"model": row["model"], "seeds": row["num_seeds"]})[
                f"{row['target_type']}/{row['group']}"
            ] = round(row["value"], 4)
    return list(rows.values())


def _current(root: Path, stage: str, name: str) -> Path:
    rotation = json.loads((root / stage / "rotation.json").read_text(encoding="utf-8"))
    return root / stage / rotation["current"] / name


if __name__ == "__main__":
    main()
