"""The settings of the encoders of behaviour sequences.

"CLUE" marks values of the paper `Scaling Law for Recommendation Models`, "ShopperBERT" those of `One4all User
Representation`; the preset ``paper`` holds them. The defaults are sizes that two cores train in minutes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from graphkit.config.base import Positive, PositiveFloat, Section, Share

Half = Annotated[float, Field(ge=0, le=0.5)]
LessThanOne = Annotated[float, Field(ge=0, lt=1)]
ItemText = Literal["title", "description", "genre", "creator"]
ItemColumn = Literal["item_type", "genre", "creator", "language"]


class SequenceSection(Section):
    """What the three have in common: a Transformer over a user's behaviours, and its training."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of training; auto: bfloat16 on a GPU that has it, else float32 (paper: mixed)"
    )
    signals: Literal["strong", "all"] = Field(
        default="all", description="which signals are behaviours: strong ones, or weak ones too"
    )
    dim: Positive = Field(default=64, description="width of embeddings and layers (CLUE 720, ShopperBERT 550)")
    layers: Positive = Field(default=2, description="of each Transformer (CLUE 8, ShopperBERT 20)")
    heads: Positive = Field(default=4, description="of attention (CLUE 6, ShopperBERT 10)")
    feedforward: Positive | None = Field(
        default=None, description="width inside a layer; None: four times dim (both papers)"
    )
    dropout: Half = Field(default=0.1, description="on embeddings and on what a layer adds (CLUE 0.1)")
    max_behaviours: Positive = Field(
        default=64, description="most recent ones of a sequence that count (CLUE 512, ShopperBERT 350)"
    )
    max_users: Positive = Field(
        default=100_000, description="users trained and validated on, at most; a seeded sample"
    )
    batch_size: Positive = Field(default=128, description="users a step (CLUE 256, ShopperBERT 128)")
    epochs: Positive = Field(default=8, description="passes over the users (CLUE 8)")
    patience: Positive = Field(default=3, description="epochs without a better validation loss before it stops")
    learning_rate: PositiveFloat = Field(default=0.002, description="at its height (CLUE 0.0005, ShopperBERT 0.0001)")
    warm_up_share: Share = Field(
        default=0.05, description="of all steps, over which the rate rises (CLUE 0.01; ShopperBERT 30,000 steps)"
    )
    final_rate: Share = Field(default=0.1, description="what the rate falls to along a cosine, a share of its height")
    beta_1: LessThanOne = Field(default=0.9, description="of Adam (both papers 0.9)")
    beta_2: LessThanOne = Field(default=0.98, description="of Adam (CLUE 0.98, ShopperBERT 0.999)")
    epsilon: PositiveFloat = Field(default=1e-6, description="of Adam (CLUE 1e-6)")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="decoupled, AdamW (CLUE 0.1, ShopperBERT 0.0001 as L2)"
    )
    clip_norm: PositiveFloat | None = Field(
        default=0.01, description="longer gradients are scaled down to this norm; None: no clipping (CLUE 0.01)"
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="users held out for the validation loss, at most 4,096 of them"
    )

    @model_validator(mode="after")
    def _whole_heads(self) -> SequenceSection:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of heads {self.heads}")
        return self


class TextSequenceSection(SequenceSection):
    """Sequences of items that are read as texts: byte-level BPE, Item Transformer, Service Transformer."""

    vocabulary: Annotated[int, Field(ge=300, le=1_000_000)] = Field(
        default=4096, description="byte-level BPE tokens, learned from the catalogue, at most (CLUE 50,257)"
    )
    max_tokens: Annotated[int, Field(ge=2)] = Field(
        default=16, description="of an item, its service's among them; a longer text is cut (CLUE 32)"
    )
    texts: Annotated[tuple[ItemText, ...], Field(min_length=1)] = Field(
        default=("title", "genre", "creator", "description"), description="columns that make an item's text, in order"
    )
    service: Literal["item_type", "genre", "creator", "language", "signal"] = Field(
        default="item_type",
        description="what parts a user's behaviours into services: a column of the catalogue, or the signal",
    )
    max_services: Annotated[int, Field(ge=2)] = Field(
        default=4, description="commonest services; the rest of the behaviours make one more, `other`"
    )
    pretrained: str | None = Field(
        default=None,
        description="folder of a batch of this encoder, WORKSPACE/NAME/ID, whose model is taken over as it is: items "
        "are read by their texts alone, nothing is trained",
    )
    initial_scale: PositiveFloat = Field(
        default=14.27, description="factor of the cosines before training, learned and at most 100 (paper)"
    )


class ClueSection(TextSequenceSection):
    """CLUE: vectors of one user's services are drawn together, those of different users apart."""

    service_dim: Positive | None = Field(
        default=None,
        description="width of a service's vector, by a linear output layer; None: dim. A user's vector is those of "
        "all services side by side (paper: 720 a service, 2,160 in all, or 300 in all)",
    )


class SimclrSection(TextSequenceSection):
    """SimCLR on CLUE's model: two augmented views of one user's behaviours are drawn together."""

    crop_share: Share = Field(default=0.6, description="of a sequence that a crop keeps, in one piece")
    mask_share: Share = Field(default=0.3, description="of behaviours that a masking hides")
    reorder_share: Share = Field(default=0.6, description="of a sequence that a re-ordering shuffles, in one piece")


class ShopperbertSection(SequenceSection):
    """ShopperBERT: masked behaviours are predicted, their categories and date parts."""

    variant: Literal["mean-pool", "cls"] = Field(
        default="mean-pool",
        description="mean-pool: a masked behaviour is predicted from its own place, a user is the mean over places; "
        "cls: both from one [CLS] token",
    )
    categories: tuple[ItemColumn, ...] = Field(
        default=("item_type", "genre", "creator", "language"),
        description="category levels, coarse to fine, those without values in the catalogue left out (paper: four)",
    )
    max_values: Positive = Field(
        default=4096, description="commonest values of a category; the rest are unknown and not predicted"
    )
    mask_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15, description="behaviours predicted (paper); 80 % of them masked, 10 % exchanged, 10 % left"
    )
    augment_share: Share = Field(default=0.3, description="of sequences shuffled or cropped (paper)")
    crop_probability: Share = Field(default=0.5, description="of those, how many are cropped (paper 1:1)")
    beta_2: LessThanOne = Field(default=0.999, description="of Adam (paper)")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.0001, description="decoupled, AdamW (paper: 0.0001 as L2)"
    )
    clip_norm: PositiveFloat | None = Field(
        default=1.0, description="longer gradients are scaled down to this norm; None: no clipping"
    )
    final_rate: Share = Field(default=0.0, description="what the rate falls to along a cosine, a share of its height")
