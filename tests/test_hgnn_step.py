"""One training step: the learning rate of each, clipping, decay, precision, and what stops it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from graphkit.config.hgnn import HgnnSection
from graphkit.hgnn.schedule import learning_rate
from graphkit.hgnn.step import make_optimiser
from graphkit.training import device as devices
from graphkit.training.device import DeviceError, choose_device, choose_precision, prepare
from graphkit.training.gradients import FlatGradients

CPU = torch.device("cpu")


def test_a_constant_rate_is_the_same_at_every_step() -> None:
    config = HgnnSection(learning_rate=0.02, schedule="constant")
    assert {learning_rate(config, step, 50) for step in range(1, 51)} == {0.02}


def test_cosine_rises_for_a_twentieth_of_the_steps_and_falls_to_a_hundredth() -> None:
    config = HgnnSection(learning_rate=0.2, schedule="cosine")
    rates = [learning_rate(config, step, 200) for step in range(1, 201)]
    assert rates[:10] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2])
    assert rates[104] == pytest.approx(0.101)  # half way down from step 10 to 200: the mean of 0.2 and 0.002
    assert rates[199] == pytest.approx(0.002)
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_a_few_steps_has_rates_too(steps: int) -> None:
    config = HgnnSection(learning_rate=0.2, schedule="cosine")
    assert all(0 < learning_rate(config, step, steps) <= 0.2 for step in range(1, steps + 1))


def linear() -> nn.Linear:
    """y = 3 x_1 + 4 x_2."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
        layer.bias.zero_()
    return layer


def test_gradients_of_all_weights_are_one_buffer_with_the_loss_behind() -> None:
    layer = linear()
    flat = FlatGradients(layer.parameters())
    for _ in range(2):  # the second time in the place of the first
        flat.compute(layer(torch.tensor([2.0, 0.5])).sum())
    assert flat.buffer.tolist() == [2, 0.5, 1, 8]
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2, 0.5]]
    assert flat.measure() == (8, pytest.approx(math.sqrt(5.25)))


def test_only_longer_gradients_are_clipped_and_keep_their_direction() -> None:
    layer = linear()
    flat = FlatGradients(layer.parameters())
    flat.compute(layer(torch.tensor([2.0, 2.0])).sum())  # gradient (2, 2, 1) of norm 3
    for longest in (None, 3.5):
        flat.clip(3.0, longest)
        assert flat.gradients.tolist() == [2, 2, 1]
    flat.clip(3.0, 1.5)
    assert flat.gradients.tolist() == pytest.approx([1, 1, 0.5])
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [pytest.approx([1, 1])]
    assert flat.buffer[-1] == 14  # the loss is left alone


def test_weight_decay_shrinks_weights_by_rate_times_decay_whatever_the_gradient() -> None:
    layer = linear()
    optimiser = make_optimiser(layer, HgnnSection(learning_rate=0.1, weight_decay=0.5))
    flat = FlatGradients(layer.parameters())
    flat.compute(layer.bias.sum())  # no gradient for the weights
    optimiser.step()
    assert layer.weight.tolist() == [pytest.approx([3 * 0.95, 4 * 0.95])]


def test_without_decay_a_weight_without_a_gradient_stays() -> None:
    layer = linear()
    optimiser = make_optimiser(layer, HgnnSection(learning_rate=0.1))
    FlatGradients(layer.parameters()).compute(layer.bias.sum())
    optimiser.step()
    assert layer.weight.tolist() == [[3, 4]]
    assert layer.bias.tolist() == pytest.approx([-0.1])


def test_auto_precision_is_bfloat16_only_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    assert choose_precision("auto", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16
    for has_it, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=has_it: answer)
        assert choose_precision("auto", gpu) == expected
        assert choose_precision("float32", gpu) == torch.float32


def test_no_attention_on_a_gpu_plans_for_every_shape() -> None:
    """cuDNN's does; sequences come in ever new shapes."""
    before, threads = torch.backends.cuda.cudnn_sdp_enabled(), torch.get_num_threads()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        prepare(CPU, 1)
        assert torch.backends.cuda.cudnn_sdp_enabled()
        prepare(torch.device("cuda"), 1)
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
        prepare(CPU, threads)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(choose_device("auto", rank)) for rank in (None, 0, 1)] == ["cuda", "cuda:0", "cuda:1"]
    assert choose_device("cpu", 5) == CPU
    with pytest.raises(DeviceError, match="at most 2"):
        choose_device("auto", 2)


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(6)))
    for setting, processes in ((0, 1), (0, 2), (0, 9), (5, 2)):
        devices.prepare(CPU, setting, processes)
    assert threads == [6, 3, 1, 5]
