"""The model on disk: weights and what the model is built from, in one safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch

from graphkit.hgnn.model import HeteroSage, ModelShape
from graphkit.training.model_file import read_model, write_model


def save_model(path: Path, model: HeteroSage) -> None:
    """Write the weights, with the model's shape in the file's metadata."""
    write_model(path, model, model.shape.model_dump_json(exclude_defaults=True))


def load_model(path: Path) -> HeteroSage:
    """The model of a file that ``save_model`` wrote, on the CPU; raises ArtefactError for any other."""
    return read_model(
        path, ModelShape, lambda shape: HeteroSage(shape, torch.Generator()), "run `graphkit train-hgnn` again"
    )
