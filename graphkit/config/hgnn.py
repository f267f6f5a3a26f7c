"""The settings of the graph network and its training; the defaults are the preset ``default``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphkit.config.base import Positive, PositiveFloat, Section

#: Of everything there would be nothing left.
LessThanAll = Annotated[float, Field(ge=0, lt=1)]


class HgnnSection(Section):
    """Heterogeneous GraphSAGE and its training (paper 4.1.2, 4.1.3, 4.3.1)."""

    neighbours: Literal["auto", "dgl", "torch"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    hidden_dim: Positive = 128
    out_dim: Positive = 128
    final_activation: bool = Field(default=False, description="ReLU after the last layer too, as in equation 3")
    shared_weights: bool = Field(
        default=False, description="one set of weights for all types and relations: a homogeneous model"
    )
    aggregator: Literal["max", "mean", "attention"] = Field(
        default="mean", description="how a relation's messages become one: max is equation 2"
    )
    edge_weights: bool = Field(default=True, description="mean and attention heed the weights of edges")
    projection: bool = Field(
        default=True, description="a linear map of each type's text vectors before the first layer"
    )
    residual: bool = Field(default=True, description="a layer's input is added to its output, where both are as wide")
    relation_weights: bool = Field(default=False, description="a learned factor per relation and layer")
    jumping: bool = Field(default=False, description="the embedding is a linear map of all layers' vectors")
    id_embeddings: bool = Field(default=True, description="a learned vector per node beside its text")
    id_dropout: LessThanAll = Field(
        default=0.2, description="share of id embeddings hidden at each step, which trains unseen items"
    )
    cold_share: LessThanAll = Field(
        default=0.0, description="share of nodes that at each step have no edges and no id embedding, like new items"
    )
    text_neighbours: Annotated[int, Field(ge=0)] = Field(
        default=5,
        description="an item without an edge is embedded with in-edges from so many items of the likest text",
    )
    fan_outs: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        default=(20, 20), description="sampled neighbours per relation, one number a layer, that of the text first"
    )
    sampler: Literal["balanced", "unbalanced"] = "balanced"
    min_edges_per_relation: Positive = Field(default=2_000, description="floor of the balanced draw; the cap wins")
    max_edges_per_relation: Positive = Field(default=20_000, description="cap of any draw")
    reference_relation: str | None = Field(
        default=None,
        description="as 'audiobook-audiobook': the balanced draw takes as many of each as this one has; None: as the "
        "smallest has",
    )
    batch_size: Positive = Field(default=8192, description="links; fewer where that hides too much of a relation")
    loss: Literal["margin", "softmax"] = Field(default="softmax", description="margin: equation 4")
    margin: PositiveFloat = 0.3
    temperature: PositiveFloat = Field(default=0.07, description="of the softmax loss")
    negatives: Positive = Field(default=512, description="nodes per batch that its anchors share as negatives")
    batch_negatives: Annotated[int, Field(ge=0)] = Field(
        default=512,
        description="ends of the batch's own links among them, of each type; the softmax corrects for how "
        "often they are met, the margin does not",
    )
    hard_negatives: Annotated[int, Field(ge=0)] = Field(
        default=0, description="neighbours of such ends among them, of each type; not corrected for"
    )
    negative_types: Literal["target", "catalogue"] = Field(
        default="target", description="negatives are of the positive's type, or any node of the catalogue"
    )
    learning_rate: PositiveFloat = 0.01
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="cosine: the learning rate rises for 5 % of all steps, then falls to 1 %"
    )
    clip_norm: PositiveFloat | None = Field(
        default=None, description="longer gradients are scaled down to this norm; None: no clipping"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0, description="decoupled (AdamW); 0: plain Adam")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of training; auto: bfloat16 on a GPU that has it, else float32"
    )
    epochs: Positive = 30
    patience: Positive = 10
    validation_share: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    max_validation_edges: Positive = Field(default=1000, description="held out per relation, at most")
