"""Whether joined titles are close in their text (paper figure 2C and 2D, observations 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from safetensors import safe_open

from graphkit import schemas
from graphkit.artefacts import Batch
from graphkit.datasets.store import Dataset
from graphkit.datasets.text_similarity import tfidf_vectors
from graphkit.describe.figures import Floats, NotMeasurable
from graphkit.describe.pairs import Gap, Ints, compare, draw_apart, draw_random, draw_sharing, draw_through
from graphkit.describe.sample import Sample
from graphkit.graph.store import FEATURES_FILE, read_about
from graphkit.text import NO_MODEL, item_texts

TFIDF: Final = "TF-IDF"


@dataclass(frozen=True)
class TextVectors:
    """Unit vectors of the listened titles of one type that have a text; ``items`` are their rows, ascending."""

    model: str
    items: Ints  # [n]
    vectors: Any  # float32 [n, dim], dense or scipy.sparse

    def cosines(self, pairs: Ints) -> Floats:
        """The cosine of each pair of rows of ``vectors``: float64 [num_pairs]."""
        ends = [self.vectors[pairs[:, i]] for i in (0, 1)]
        product = ends[0] * ends[1] if isinstance(self.vectors, np.ndarray) else ends[0].multiply(ends[1])
        return np.asarray(product.sum(axis=1), dtype=np.float64).ravel()


def read_text_vectors(dataset: Dataset, graph: Batch | None, sample: Sample) -> TextVectors | NotMeasurable:
    """The text vectors of ``graph`` where it has some and was made from ``dataset``, else TF-IDF of the listened
    titles."""
    listened = np.flatnonzero(sample.matrices[sample.target].sum(axis=0))
    if graph is None or graph.manifest.upstream.get("dataset") != dataset.batch.id or _model(graph) == NO_MODEL:
        found = _tfidf(dataset, sample.target, listened)
    else:
        found = _encoded(graph, sample.target, listened)
    if found is None or len(found.items) < 2:
        return NotMeasurable(f"fewer than two listened titles of {sample.target} have a text")
    return found


def _encoded(graph: Batch, target: str, listened: Ints) -> TextVectors:
    with safe_open(graph.path(FEATURES_FILE), framework="numpy") as file:
        vectors = file.get_tensor(target)[listened]
    length = np.linalg.norm(vectors, axis=1)
    written = length > 0
    unit = vectors[written] / length[written, None]
    return TextVectors(_model(graph), listened[written], unit)


def _model(graph: Batch) -> str:
    return str(read_about(graph).get("text_model", "Sentence-BERT"))


def _tfidf(dataset: Dataset, target: str, listened: Ints) -> TextVectors | None:
    catalogue = dataset.items(target).filter(pl.col(schemas.ITEM).is_in(listened.tolist()))
    texts = item_texts(catalogue)
    written = np.array([text is not None for text in texts], np.bool_)
    vectors = tfidf_vectors([text for text in texts if text is not None])
    return None if vectors is None else TextVectors(TFIDF, listened[written], vectors)


def co_listened_text(sample: Sample, texts: TextVectors, seed: int) -> Gap | NotMeasurable:
    """Titles that share a user against random titles."""
    rng = np.random.default_rng(seed)
    joined = draw_sharing(_titles(sample, texts).T, rng)
    if not len(joined):
        return NotMeasurable(f"no user has two titles of {sample.target} with a text")
    return _gap(joined, draw_random(len(texts.items), len(joined), rng), texts)


def joined_through_text(sample: Sample, texts: TextVectors, other: str, seed: int) -> Gap | NotMeasurable:
    """Titles joined only through an item of ``other`` (no user has both) against random titles.

    No user has both of the random titles either: where most titles are co-listened, the close ones are, and
    what is left would look further apart than any two titles.
    """
    titles = _titles(sample, texts)
    users = np.flatnonzero(np.diff(titles.indptr))
    rng = np.random.default_rng(seed)
    joined = draw_through(titles[users], sample.matrices[other][users], rng)
    random = draw_apart(titles.T, len(joined), rng)
    if not len(joined) or not len(random):
        return NotMeasurable(f"no two titles of {sample.target} are joined through {other} alone")
    return _gap(joined, random, texts)


def _titles(sample: Sample, texts: TextVectors) -> Any:
    """The users' titles that have a text: a 0/1 matrix [num_users, num_texts]."""
    return sample.matrices[sample.target][:, texts.items].tocsr()


def _gap(joined: Ints, random: Ints, texts: TextVectors) -> Gap | NotMeasurable:
    return compare(joined, texts.cosines(joined), random, texts.cosines(random))
