"""A PyTorch model on disk: its weights, and in the file's metadata the shape that it is built from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from graphkit.errors import ArtefactError

MODEL_FILE: Final = "model.safetensors"
_SHAPE: Final = "shape"  # one key only: safetensors does not keep the order of several

Shape = TypeVar("Shape", bound=BaseModel)
Model = TypeVar("Model", bound=nn.Module)


def write_model(path: Path, model: nn.Module, shape: str) -> None:
    """Write the weights, with ``shape`` (JSON) in the file's metadata."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, path, {_SHAPE: shape})


def read_model(path: Path, shape: type[Shape], build: Callable[[Shape], Model], fix: str) -> Model:
    """The model of a file that ``write_model`` wrote, on the CPU, in evaluation mode; raises ArtefactError, whose way
    out is ``fix``, for any other."""
    try:
        with safe_open(path, "pt") as file:
            model = build(shape.model_validate_json(file.metadata()[_SHAPE]))
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtefactError(
            "not a model that this version of graphkit wrote",
            where=str(path),
            found=str(error).splitlines()[0],
            fix=fix,
        ) from error
    return model.eval()
