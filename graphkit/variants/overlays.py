"""The variants there are: one TOML file each in ``configs/variants``, holding what differs from the base.

Its first line is ``# LABEL: what it is``; the label is the variant's name in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from graphkit.config import Config
from graphkit.config.load import Tables, overlaid, read_preset
from graphkit.errors import InputError, did_you_mean
from graphkit.resources import folder
from graphkit.stages import ENCODERS, with_encoders

#: No overlay: the base itself, trained with other seeds.
BASE: Final = "2t-hgnn"
BASE_LABEL: Final = "2T-HGNN"
#: Names that stand for several variants; what is in none of them is an ablation.
GROUPS: Final = {
    "baselines": (BASE, "2t", "hgnn-w-users"),
    "encoders": (BASE, *(f"with-{name}" for name in (*ENCODERS, "all-encoders"))),
}


@dataclass(frozen=True)
class Variant:
    """``name`` is the file's, ``label`` the table's."""

    name: str
    label: str
    what: str
    tables: Tables

    def config(self, base: Config, seed: int) -> Config:
        """``base`` with this overlay and training seed."""
        return overlaid(base, {**self.tables, "run": {"seed": seed}}, f"variant {self.name}")

    def stages(self, base: Config) -> tuple[str, ...]:
        """What has to be trained: a graph with users as nodes recommends by itself, the others by their towers."""
        config = self.config(base, 0)
        if "listening" in config.graph.kinds:
            return ("graph", "hgnn")
        return with_encoders(("graph", "hgnn", "towers"), config.towers.user_vectors)


def read_variants() -> dict[str, Variant]:
    """Every variant by name: the base, the paper's baselines, its ablations A to F, the further ones, and the base
    with user encoders."""
    found = {BASE: Variant(BASE, BASE_LABEL, "the current chain itself, with other training seeds", {})}
    for path in sorted(folder("configs").joinpath("variants").glob("*.toml"), key=lambda path: _order(path.stem)):
        label, _, what = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").partition(": ")
        found[path.stem] = Variant(path.stem, label, what, read_preset(str(path)))
    return found


def choose(names: Sequence[str]) -> list[Variant]:
    """The variants called ``names``; the names of groups, ``ablations`` or nothing (all) stand for several."""
    every = read_variants()
    other = {name for members in GROUPS.values() for name in members}
    groups = {**GROUPS, "ablations": (BASE, *(name for name in every if name not in other))}
    wanted: dict[str, None] = {}
    for name in names or every:
        if name not in groups and name not in every:
            raise InputError(f"no variant {name!r}", expected=did_you_mean(name, [*groups, *every]))
        wanted |= dict.fromkeys(groups.get(name, (name,)))
    return [every[name] for name in wanted]


def _order(name: str) -> tuple[int, str]:
    """Baselines first, then ``a-`` to ``f-`` of the paper's Table 1, then the rest, and at the end the encoders."""
    for first, group in ((0, "baselines"), (30, "encoders")):
        if name in GROUPS[group]:
            return first + GROUPS[group].index(name), ""
    return (10 if name[1:2] == "-" else 20), name
