"""The list of claims: what the papers say, where, and how it is measured. The file is ``claims.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from graphkit.config.base import Section
from graphkit.config.downstream import TaskName
from graphkit.errors import ConfigError, did_you_mean
from graphkit.resources import claims_file

Side = Literal["above", "below", "on par", "not below"]
UserMetric = Literal["HR@10", "MRR@100"]
ListMetric = Literal["Coverage@100"]
Target = Literal["sparse", "established"]
Group = Literal["warm", "cold", "all"]
#: The fifth of a task's users with the fewest known items, and the fifth with the most.
Activity = Literal["cold", "heavy"]


class MetricMeasure(Section):
    """``model`` is on the claimed side of every one of ``peers``, by ``metric``.

    ``margin`` is a share of the peer's figure: how far from it is still on par, or not below.
    """

    kind: Literal["metric"]
    model: str
    claimed: Side
    peers: tuple[str, ...] = Field(min_length=1)
    metric: UserMetric | ListMetric
    target: Target = "sparse"
    group: Group = "warm"
    segment: Literal["all", "tail"] = "all"
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _margin_where_needed(self) -> MetricMeasure:
        if (self.margin is not None) != (self.claimed in ("on par", "not below")):
            raise ValueError("margin belongs to claimed = 'on par' or 'not below', and to nothing else")
        return self

    @property
    def region(self) -> tuple[float, float]:
        """Between which ratios of the model's figure to the peer's the claim is true."""
        margin, infinity = self.margin or 0.0, float("inf")
        ends = {"above": (1.0, infinity), "below": (-infinity, 1.0), "on par": (1 - margin, 1 + margin)}
        return ends.get(self.claimed, (1 - margin, infinity))


class GainMeasure(Section):
    """``model`` adds a greater share to the figure of ``peer`` for users of ``more`` than for those of ``less``."""

    kind: Literal["gain"]
    model: str
    peer: str
    metric: UserMetric
    target: Target = "sparse"
    more: Group
    less: Group


class UsersMeasure(Section):
    """In a task of the downstream laboratory ``model`` is on the claimed side of every one of ``peers``.

    With ``beyond``, its figure minus the peer's among users of ``group`` is on that side of the same among those.
    """

    kind: Literal["users"]
    task: TaskName
    metric: Annotated[str, Field(min_length=1)]
    model: str
    claimed: Literal["above", "below"]
    peers: tuple[str, ...] = Field(min_length=1)
    group: Activity | Literal["all"] = "all"
    beyond: Activity | None = None

    @model_validator(mode="after")
    def _apart(self) -> UsersMeasure:
        if self.beyond is not None and {self.group, self.beyond} != {"cold", "heavy"}:
            raise ValueError("beyond holds cold against heavy users, or the other way round")
        return self

    @property
    def region(self) -> tuple[float, float]:
        """Where the difference is if the claim is true."""
        return (0.0, float("inf")) if self.claimed == "above" else (float("-inf"), 0.0)


class ScalingMeasure(Section):
    """A ``part`` of what ``graphkit encoder-scaling`` finds: the loss falls; the largest run is where the law of the
    others says; a run with one factor held back is above it."""

    kind: Literal["scaling"]
    part: Literal["exponent", "largest", "held back"]


class ObservationMeasure(Section):
    """The parts of an observation of the paper (``graphkit.describe.observations``) whose name holds ``part``."""

    kind: Literal["observation"]
    number: Annotated[int, Field(ge=1, le=4)]
    part: Annotated[str, Field(min_length=1)]


class SamplerTimeMeasure(Section):
    """Training time to the same validation MRR, balanced against unbalanced sampler."""

    kind: Literal["sampler_time"]


class NoMeasure(Section):
    """``why`` no dataset can test the claim."""

    kind: Literal["none"]
    why: Annotated[str, Field(min_length=1)]


Measure = Annotated[
    MetricMeasure | GainMeasure | UsersMeasure | ScalingMeasure | ObservationMeasure | SamplerTimeMeasure | NoMeasure,
    Field(discriminator="kind"),
]


class Claim(Section):
    """One claim of a direction; ``planted`` says that the sample world is generated to show it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    where: Annotated[str, Field(min_length=1)]
    statement: Annotated[str, Field(min_length=1)]
    paper: Annotated[str, Field(min_length=1)]
    planted: bool = False
    measure: Measure


class NamedModel(Section):
    """A model's ``names`` in a table, the first that is there, and the command that puts it there."""

    names: tuple[str, ...] = Field(min_length=1)
    made_by: Annotated[str, Field(min_length=1)]


class ClaimList(Section):
    """The whole file: the papers' names of the ``models`` of the result table and of the ``rows`` of the downstream
    laboratory, and the claims."""

    models: dict[str, NamedModel]
    rows: dict[str, NamedModel] = Field(default_factory=dict)
    claim: tuple[Claim, ...]

    @model_validator(mode="after")
    def _consistent(self) -> ClaimList:
        ids = [claim.id for claim in self.claim]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"claims share an id: {', '.join(twice)}")
        for claim in self.claim:
            known = self.rows if isinstance(claim.measure, UsersMeasure) else self.models
            for name in compared(claim.measure):
                if name not in known:
                    raise ValueError(f"claim {claim.id}: no model {name!r}: {did_you_mean(name, known)}")
        return self


def compared(measure: Measure) -> tuple[str, ...]:
    """The models that a claim names, of either table."""
    if isinstance(measure, MetricMeasure | UsersMeasure):
        return (measure.model, *measure.peers)
    return (measure.model, measure.peer) if isinstance(measure, GainMeasure) else ()


def read_claims(path: Path | None = None) -> ClaimList:
    """The claims of ``path``, or of the bundled file; raises ConfigError for anything it does not know."""
    path = claims_file() if path is None else path
    try:
        return ClaimList.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError("there is no list of claims", where=str(path), fix="install graphkit again") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the list of claims is not valid TOML: {error}", where=str(path)) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"claims value '{'.'.join(map(str, first['loc']))}': {first['msg']}",
            where=str(path),
            found=repr(first["input"])[:200],
            fix="mend the entry, or the key's name",
        ) from None
