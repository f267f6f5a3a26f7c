"""A description as tables of text: what the terminal prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphkit.describe.concentration import Concentration
from graphkit.describe.dataset import DatasetDescription
from graphkit.describe.figures import Figure, NotMeasurable
from graphkit.describe.graph import GraphDescription, SnapshotDescription
from graphkit.describe.observations import ODDS, SHARE, Part
from graphkit.describe.pairs import Gap
from graphkit.describe.target import TargetDescription

Row = dict[str, Any]
#: A title, and rows that share their keys.
Table = tuple[str, list[Row]]

_ALL = "all relations"
_BLOCKS = " ▁▂▃▄▅▆▇█"
#: Points of the concentration curve that are printed; ``--json`` has all.
_SHOWN_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5)


def headings(found: DatasetDescription | GraphDescription) -> list[str]:
    """What there is to say before the tables."""
    if isinstance(found, GraphDescription):
        same = [f"{s.snapshot} has the same edges as {s.same_as}" for s in found.snapshots if s.same_as]
        cut = [
            f"{s.snapshot} is made from {s.users:,} users, {s.users_capped or 0:,} of them cut to their most recent "
            f"items ({s.pairs_cut or 0:,} left out)"
            for s in found.snapshots
            if s.users is not None
        ]
        note = [] if found.note is None else [f"note: {found.note}"]
        return [f"graph {found.batch}", *note, *cut, *same]
    planted = ["The data are generated: what they show was planted, and is no finding."] if found.planted else []
    note = [f"interactions are counted, not hours: {found.listening_note}"] if found.listening_note else []
    scopes = [f"pairs of {target.target} are drawn among {target.scope}" for target in found.targets]
    models = [f"texts of {t.target} are compared by {t.text_model}" for t in found.targets if t.text_model]
    return [f"dataset {found.name}: strong signals, {found.window}", *planted, *note, *scopes, *models]


def tables(found: DatasetDescription | GraphDescription) -> Iterator[Table]:
    """The tables of a description."""
    return _dataset(found) if isinstance(found, DatasetDescription) else _graph(found)


def _dataset(found: DatasetDescription) -> Iterator[Table]:
    yield "observations of the paper, on these data", [_observation(o.number, o) for o in found.observations]
    curves = [curve for target in found.targets for curve in (target.users, target.titles)]
    everyone = [] if found.everyone is None else [found.everyone]
    yield f"A: concentration, {found.window}", [_curve(curve) for curve in [*everyone, *curves]]
    gaps = [(letter, target, name, gap) for target in found.targets for letter, name, gap in named_gaps(target)]
    yield "B, C, D: mean cosine of joined and of random pairs", [_gap(*gap) for gap in gaps]
    measured = [(letter, target, name, gap) for letter, target, name, gap in gaps if isinstance(gap, Gap)]
    if measured:
        yield "B, C, D: the cosines, in 20 equal bins", [_histogram(*gap) for gap in measured]
    for target in found.targets:
        yield from _weak(target)


def named_gaps(target: TargetDescription) -> list[tuple[str, str, Gap | NotMeasurable]]:
    """The comparisons of pairs of one target type: (panel, name, gap)."""
    through = target.through
    if isinstance(through, NotMeasurable):
        through = {"another type": through}
    return [
        ("B", "taste of users who share a title", target.taste),
        ("C", "text of titles with a shared user", target.text),
        *(("D", f"text of titles joined through {other} only", gap) for other, gap in through.items()),
    ]


def figure_text(figure: Figure | NotMeasurable, unit: str = "") -> str:
    """``75.1 % (73.4 to 76.8)``, or the reason why there is none."""
    if isinstance(figure, NotMeasurable):
        return f"not measurable: {figure.not_measurable}"
    if unit == SHARE:
        return f"{100 * figure.value:.1f} % ({100 * figure.low:.1f} to {100 * figure.high:.1f})"
    digits = 2 if unit == ODDS else 4
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def part_text(part: Part) -> str:
    """One measured part of an observation as a line."""
    text = f"{part.name}: {figure_text(part.figure, part.unit)}"
    return text if isinstance(part.figure, NotMeasurable) else f"{text} {part.verdict}; paper: {part.paper}"


def _observation(number: int, observation: Any) -> Row:
    parts = [part_text(part) for part in observation.parts]
    return {
        "observation": f"{number}. {observation.statement}",
        "measured, 95 % interval": "\n".join(parts),
        "verdict": observation.verdict,
    }


def _curve(found: Concentration | NotMeasurable) -> Row:
    columns = ["who", "count", "share of", *(f"top {step:.0%}" for step in _SHOWN_STEPS), "Gini"]
    if isinstance(found, NotMeasurable):
        return dict.fromkeys(columns) | {"who": figure_text(found)}
    shown = {
        f"top {step:.0%}": figure_text(found.curve[found.steps.index(step)], SHARE)
        if step == found.top
        else f"{100 * found.curve[found.steps.index(step)].value:.1f} %"
        for step in _SHOWN_STEPS
    }
    return {
        "who": found.of,
        "count": found.count,
        "share of": found.amount,
        **shown,
        "Gini": f"{found.gini.value:.3f} ({found.gini.low:.3f} to {found.gini.high:.3f})",
    }


def _gap(letter: str, target: TargetDescription, name: str, gap: Gap | NotMeasurable) -> Row:
    row: Row = {"figure": letter, "target": target.target, "pairs": name}
    if isinstance(gap, NotMeasurable):
        return row | {"joined": None, "random": None, "difference": figure_text(gap), "n": None}
    return row | {
        "joined": f"{gap.joined.value:.4f}",
        "random": f"{gap.random.value:.4f}",
        "difference": figure_text(gap.difference),
        "n": f"{gap.pairs:,}",
    }


def _histogram(letter: str, target: TargetDescription, name: str, gap: Gap) -> Row:
    edges = gap.histogram.edges
    return {
        "figure": letter,
        "target": target.target,
        "pairs": name,
        "from": f"{edges[0]:.2f}",
        "to": f"{edges[-1]:.2f}",
        **{group: _bars(shares) for group, shares in gap.histogram.shares.items()},
    }


def _bars(shares: Sequence[float]) -> str:
    halves = [a + b for a, b in zip(shares[::2], shares[1::2], strict=True)]
    top = max(halves) or 1.0
    return "".join(_BLOCKS[min(8, -int(-8 * share / top // 1))] for share in halves)


def _weak(target: TargetDescription) -> Iterator[Table]:
    weak, name = target.weak, target.target
    if isinstance(weak, NotMeasurable):
        yield f"weak signals of {name}", [{"weak signals": figure_text(weak)}]
        return
    title = f"odds of a stream of {name} after each weak signal, {weak.scope}"
    if isinstance(weak.odds, NotMeasurable):
        yield title, [{"odds": figure_text(weak.odds)}]
    else:
        yield (
            title,
            [
                {
                    "signal": odds.signal,
                    "odds ratio per one more": figure_text(odds.one_more, ODDS),
                    "any against none": figure_text(odds.any, ODDS),
                    "pairs with it": odds.pairs_with,
                    "pairs": odds.pairs,
                    "streamed": odds.streamed,
                }
                for odds in weak.odds
            ],
        )
    together = weak.together
    yield (
        f"of the {name} pairs with a signal, the share that also has another",
        [
            {"signal": signal}
            | {f"also {other}": _percent(also) for other, also in zip(together.signals, row, strict=True)}
            | {"share of all pairs": figure_text(share, SHARE)}
            for signal, row, share in zip(together.signals, together.also, together.share, strict=True)
        ],
    )


def _percent(figure: Figure | None) -> str:
    return "-" if figure is None else f"{100 * figure.value:.1f} %"


def _graph(found: GraphDescription) -> Iterator[Table]:
    for snapshot in found.snapshots:
        if snapshot.same_as is None:
            yield from _snapshot(snapshot)


def _snapshot(found: SnapshotDescription) -> Iterator[Table]:
    name, reference = found.snapshot, found.reference or "target"
    yield (
        f"{name}: edges, and what one balanced epoch visits",
        [
            {
                "relation": row.relation,
                "edges": row.edges,
                f"over {reference}": _times(row.over_target),
                "over the smallest": _times(row.over_smallest),
                "drawn": row.drawn,
                "visited": f"{row.visited:.1%}",
            }
            for row in found.balance
        ],
    )
    yield (
        f"{name}: neighbours per node",
        [
            {
                "nodes": row.node_type,
                "relation": row.relation or _ALL,
                "number": row.nodes,
                "without edge": row.without_edge,
                "mean": f"{row.mean:.1f}",
                **row.quantiles,
            }
            for row in found.degrees
        ],
    )
    yield from _degree_bins(found)
    yield (
        f"{name}: connected components",
        [
            {
                "relation": row.relation or _ALL,
                "components": row.components,
                "largest": f"{row.largest:,} nodes",
                "isolated nodes": row.isolated,
                "share of each type in the largest": ", ".join(
                    f"{t} {s:.1%}" for t, s in row.largest_by_type.items()
                ),
            }
            for row in found.components
        ],
    )
    for what, digits in (("support", 9), ("weight", 3)):
        yield (
            f"{name}: quantiles of the {what} of edges",
            [
                {"relation": row.relation} | {at: f"{value:,.{digits}g}" for at, value in getattr(row, what).items()}
                for row in found.strengths
                if row.edges
            ],
        )


def _degree_bins(found: SnapshotDescription) -> Iterator[Table]:
    rows = [row for row in found.degrees if row.relation is None]
    names = max((list(row.histogram) for row in rows), key=len, default=[])
    yield (
        f"{found.snapshot}: nodes by number of neighbours, all relations",
        [{"neighbours": name} | {row.node_type: row.histogram.get(name, 0) for row in rows} for name in names],
    )


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f} x"
