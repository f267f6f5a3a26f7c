"""The Transformer of the sequence encoders: padding counts for nothing, and it is the textbook's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from towers.encoders.sequences.transformer import (
    Layer,
    StackShape,
    Transformer,
    groups_by_length,
    in_groups,
    mean_over,
)

SHAPE = StackShape(dim=8, layers=2, heads=2, feedforward=16, dropout=0.0)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_a_layer_is_torch_s_own() -> None:
    ours = Layer(SHAPE).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    pairs = {
        "self_attn.in_proj_weight": ours.query_key_value.weight,
        "self_attn.in_proj_bias": ours.query_key_value.bias,
        "self_attn.out_proj.weight": ours.out.weight,
        "self_attn.out_proj.bias": ours.out.bias,
        "linear1.weight": ours.up.weight,
        "linear1.bias": ours.up.bias,
        "linear2.weight": ours.down.weight,
        "linear2.bias": ours.down.bias,
    }
    theirs.load_state_dict(pairs, strict=False)
    x, lengths = torch.randn(3, 5, 8), torch.tensor([5, 2, 4])
    there = torch.arange(5) < lengths[:, None]
    expected = theirs(x, src_key_padding_mask=~there)
    found = ours(x, there[:, None, None, :])
    torch.testing.assert_close(found[there], expected[there], atol=1e-5, rtol=1e-5)


def test_padding_and_company_change_nothing() -> None:
    stack = Transformer(SHAPE, 6, from_end=True).eval()
    short = torch.randn(1, 2, 8)
    alone = mean_over(stack(short, torch.tensor([2])), torch.tensor([2]))
    padded = torch.cat([torch.cat([short, 9 * torch.ones(1, 4, 8)], dim=1), torch.randn(1, 6, 8)])
    lengths = torch.tensor([2, 6])
    beside = mean_over(stack(padded, lengths), lengths)[:1]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("places", "differs"), [(True, True), (False, False)])
def test_order_counts_only_with_places(places: bool, differs: bool) -> None:
    stack = Transformer(SHAPE, 6, places=places).eval()
    x, lengths = torch.randn(1, 4, 8), torch.tensor([4])
    forth, back = (mean_over(stack(y, lengths), lengths) for y in (x, x.flip(1)))
    assert bool((forth - back).abs().max() > 1e-4) is differs


def test_places_from_the_end_make_the_newest_the_same() -> None:
    """With one layer that attends to nothing but itself, the newest behaviour's vector knows only its own place."""
    stack = Transformer(SHAPE._replace(layers=0), 6, from_end=True).eval()
    x = torch.randn(1, 5, 8)
    whole, cut = stack(x, torch.tensor([5]))[0, -1], stack(x[:, 2:], torch.tensor([3]))[0, -1]
    torch.testing.assert_close(whole, cut)
    oldest = stack(x[:, :1].expand(1, 5, 8), torch.tensor([5]))[0]
    assert (oldest[0] - oldest[-1]).abs().max() > 1e-3


def test_groups_part_all_sequences_and_keep_their_order() -> None:
    lengths = torch.tensor([3, 1, 40, 2, 3, 39, 1])
    groups = groups_by_length(lengths)
    assert sorted(torch.cat(groups).tolist()) == list(range(7))
    for group in groups:
        assert int(lengths[group].max()) <= max(1.34 * int(lengths[group].min()), int(lengths[group].min()) + 1)
    seen = in_groups(lengths, lambda rows, longest: torch.stack([rows, torch.full_like(rows, longest)], dim=1))
    assert seen[:, 0].tolist() == list(range(7))
    assert (seen[:, 1] >= lengths).all()
