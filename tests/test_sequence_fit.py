"""The training loop of the PyTorch encoders on a model of two weights, step by step by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphkit.config.sequence_encoders import ClueSection
from graphkit.training.state import TrainingState
from towers.encoders.sequences.fit import Fit
from towers.encoders.sequences.sequences import Ints


class Line(nn.Module):
    """Two weights, and a scale of which the loss knows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.scale = nn.Parameter(torch.tensor(2.0))


class Told:
    """A learner of constant gradient whose held-out losses are told beforehand."""

    def __init__(self, gradient: tuple[float, float], held_out: list[float], examples: int = 10) -> None:
        self.model, self.gradient, self.held_out, self.num_examples = Line(), gradient, held_out, examples
        self.batches: list[list[int]] = []
        self.judged: list[Tensor] = []  # the weights after each epoch

    def loss(self, examples: Ints, own: slice, draw: np.random.Generator) -> Tensor:
        assert self.model.training
        self.batches.append(examples[own].tolist())
        return (self.model.weights * torch.tensor(self.gradient)).sum()

    def held_out_loss(self) -> float:
        assert not self.model.training
        self.judged.append(self.model.weights.detach().clone())
        return self.held_out[len(self.judged) - 1]


def run(learner: Told, folder: Path, **settings: object) -> TrainingState[Line]:
    """Four steps, of rates 0.05 and 0.1 (rising), 0.055 and 0.01 (falling to a tenth), unless told otherwise."""
    chosen = {"epochs": 2, "batch_size": 5, "learning_rate": 0.1, "warm_up_share": 0.5, "final_rate": 0.1}
    section = ClueSection.model_validate(chosen | {"epsilon": 1.0, "weight_decay": 0.0, "clip_norm": None} | settings)
    return Fit("clue", section, 0, torch.device("cpu"), folder).run(learner)


@pytest.mark.parametrize(("clip_norm", "gradient"), [(None, (3.0, 4.0)), (0.5, (0.3, 0.4)), (6.0, (3.0, 4.0))])
def test_a_step_is_adam_s_at_the_rate_of_its_number_with_the_clipped_gradient(
    clip_norm: float | None, gradient: tuple[float, float], tmp_path: Path
) -> None:
    """Of a gradient g that stays the same Adam's moments are g and g^2: a step is rate * g / (|g| + epsilon)."""
    state = run(Told((3.0, 4.0), [2.0, 1.0]), tmp_path, clip_norm=clip_norm)
    moved = (0.05 + 0.1 + 0.055 + 0.01) * np.array([g / (g + 1) for g in gradient])
    np.testing.assert_allclose(state.model.weights.detach(), 1 - moved, rtol=1e-5)
    assert [epoch["learning_rate"] for epoch in state.epochs] == pytest.approx([0.1, 0.01])
    assert [epoch["grad_norm"] for epoch in state.epochs] == pytest.approx([5, 5])  # before clipping


def test_weights_decay_and_the_scale_of_cosines_does_not(tmp_path: Path) -> None:
    state = run(Told((0.0, 0.0), [2.0, 1.0]), tmp_path, weight_decay=0.5)
    shrunk = float(np.prod([1 - 0.5 * rate for rate in (0.05, 0.1, 0.055, 0.01)]))
    assert state.model.weights.tolist() == pytest.approx([shrunk, shrunk])
    assert float(state.model.scale.detach()) == 2


def test_it_stops_after_patience_and_the_best_epoch_s_model_is_loaded(tmp_path: Path) -> None:
    learner = Told((3.0, 4.0), [3.0, 1.0, 2.0, 1.0, 0.5])
    state = run(learner, tmp_path, epochs=10, patience=2)
    assert [epoch["val_loss"] for epoch in state.epochs] == [3, 1, 2, 1]  # as good is not better
    assert state.best_epoch == 2
    assert torch.equal(state.model.weights, learner.judged[1])
    assert not torch.equal(learner.judged[1], learner.judged[3])
    assert not state.model.training


def test_an_epoch_is_every_example_once_in_batches_of_nearly_one_size(tmp_path: Path) -> None:
    learner = Told((3.0, 4.0), [2.0, 1.0], examples=11)
    run(learner, tmp_path, batch_size=4)
    assert [len(batch) for batch in learner.batches] == [4, 4, 3] * 2
    epochs = [[n for batch in part for n in batch] for part in (learner.batches[:3], learner.batches[3:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(11))
    assert epochs[0] != epochs[1]
