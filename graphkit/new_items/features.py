"""Text vectors of new items, by the text model that the graph was built with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch
from graphkit.config import Config
from graphkit.errors import ArtefactError
from graphkit.parallel import thread_count
from graphkit.text import NO_MODEL, check_text_model, item_texts, model_identity, random_vectors
from graphkit.text_encoder import encode_texts

Floats = npt.NDArray[np.float32]


def text_features(items: pl.DataFrame, graph: Batch, config: Config, dim: int, cache: Path) -> Floats:
    """float32 [len(items), dim]: zero rows for items without a text; random rows where the graph has no text model.

    A random row depends on the seed, the type and the id alone. Raises ArtefactError where the text model is
    another one than the graph's, InputError where it cannot be had.
    """
    if config.text.model == NO_MODEL:
        keys = items.select(schemas.ITEM_TYPE, schemas.ITEM_ID).rows()
        return np.concatenate([random_vectors(config.run.seed, f"{t}/{item_id}", 1) for t, item_id in keys])
    texts = item_texts(items)
    if not any(texts):
        return np.zeros((len(texts), dim), np.float32)
    check_text_model(config.text.model)
    built_with = graph.manifest.inputs.get("text_model")
    if built_with != (today := model_identity(config.text.model)):
        raise _other_model(graph, str(built_with), today)
    return encode_texts(texts, config.text, cache, thread_count(config.run.threads))


def _other_model(graph: Batch, built_with: str, today: str) -> ArtefactError:
    return ArtefactError(
        "the text model is not the one that the graph was built with",
        where=str(graph.folder),
        expected=built_with,
        found=today,
        fix="install that model, or run `graphkit build-graph` and `graphkit train-hgnn` again",
    )
