"""Held-out links and how well embeddings rank them: what early stopping looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets

#: Scores computed at a time (256 MB), for at most so many anchors.
_SCORES_AT_ONCE: Final = 2**26
_ANCHORS_AT_ONCE: Final = 1024


def hold_out(links: LinkSets, share: float, at_most: int, generator: torch.Generator) -> LinkSets:
    """A uniform draw of ``share`` of each relation's links, but no more than ``at_most``."""
    held = {}
    for relation, all_of_it in links.items():
        count = min(int(share * len(all_of_it)), at_most)
        order = torch.randperm(len(all_of_it), generator=generator, device=generator.device)
        held[relation] = all_of_it.take(order[:count])
    return held


def link_mrr(embeddings: Mapping[str, Tensor], graph: GraphTensors, held: LinkSets) -> dict[str, float]:
    """Mean reciprocal rank of held-out links by relation name, from both ends, among all nodes of the type.

    The anchor and the nodes that an edge of any kind joins to it in ``graph`` (which is without the held-out
    links) are not ranked; of equal scores a link gets the middle rank. A relation without held-out links is left out.
    """
    mrr = {}
    for relation, links in held.items():
        if len(links):
            src, dst = relation.src, relation.dst
            there = _reciprocal_ranks(embeddings, graph, src, links.src, dst, links.dst)
            back = _reciprocal_ranks(embeddings, graph, dst, links.dst, src, links.src)
            mrr[relation.name] = float(torch.cat([there, back]).mean())
    return mrr


def _reciprocal_ranks(
    z: Mapping[str, Tensor], graph: GraphTensors, anchor_type: str, anchors: Tensor, target_type: str, targets: Tensor
) -> Tensor:
    parts, known = [], graph.neighbours[target_type, anchor_type]
    at_once = min(max(_SCORES_AT_ONCE // len(z[target_type]), 1), _ANCHORS_AT_ONCE)
    chunks = zip(torch.split(anchors, at_once), torch.split(targets, at_once), strict=True)
    for anchor, target in chunks:
        scores = z[anchor_type][anchor] @ z[target_type].T  # [n, num_nodes]
        true = scores.gather(1, target[:, None])
        scores[known.of(anchor)] = -torch.inf
        if anchor_type == target_type:
            scores[torch.arange(len(anchor), device=anchor.device), anchor] = -torch.inf
        above, equal = _count(scores > true), _count(scores == true) - 1
        parts.append(1 / (1 + above + equal / 2))
    return torch.cat(parts)


def _count(flags: Tensor) -> Tensor:
    return flags.float().sum(dim=1)  # several times faster than summing bools
