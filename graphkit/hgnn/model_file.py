"""The model on disk: weights and what the model is built from, in one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from graphkit.errors import ArtefactError
from graphkit.hgnn.model import HeteroSage, ModelShape

MODEL_FILE: Final = "model.safetensors"
_SHAPE: Final = "shape"  # one key only: safetensors does not keep the order of several


def save_model(path: Path, model: HeteroSage) -> None:
    """Write the weights, with the model's shape in the file's metadata."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, path, {_SHAPE: model.shape.model_dump_json(exclude_defaults=True)})


def load_model(path: Path) -> HeteroSage:
    """The model of a file that ``save_model`` wrote, on the CPU; raises ArtefactError for any other."""
    try:
        with safe_open(path, "pt") as file:
            shape = ModelShape.model_validate_json(file.metadata()[_SHAPE])
        model = HeteroSage(shape, torch.Generator())
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtefactError(
            "not a model that this version of graphkit wrote",
            where=str(path),
            found=str(error).splitlines()[0],
            fix="run `graphkit train-hgnn` again",
        ) from error
    return model
