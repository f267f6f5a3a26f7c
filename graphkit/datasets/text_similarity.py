"""How close in text items with a shared user are, against random items (paper, figure 2C).

The paper compares sentence embeddings; TF-IDF over title and description answers the same question in a
second, without a text model.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas

#: Pairs of each kind, at most (paper: 10,000).
MAX_PAIRS: Final = 10_000
#: Random partners drawn for each item of a user.
_PARTNERS: Final = 4

Ints = npt.NDArray[np.int64]


class TextSimilarity(NamedTuple):
    """Mean TF-IDF cosine of ``pairs`` co-listened pairs of items, and of as many random pairs."""

    co_listened: float
    random: float
    pairs: int


def co_listened_similarity(listened: pl.DataFrame, items: pl.DataFrame) -> TextSimilarity | None:
    """Compare the texts of items of one type; None where no two items with text share a user.

    ``listened`` has distinct rows ``user``, ``item``; ``items`` the catalogue rows of the type, sorted.
    """
    texts = items.select(
        pl.concat_str(schemas.TITLE, schemas.DESCRIPTION, separator=". ", ignore_nulls=True).fill_null("")
    ).to_series()
    written = np.flatnonzero((texts.str.len_chars() > 0).to_numpy())
    if len(written) < 2:
        return None
    rng = np.random.default_rng(0)
    shared = _co_listened_pairs(rng, listened.filter(pl.col(schemas.ITEM).is_in(written.tolist())))
    if not len(shared):
        return None
    unrelated = _random_pairs(rng, written, len(shared))
    used, index = np.unique(np.concatenate([shared, unrelated]), return_inverse=True)
    index = index.reshape(-1, 2)
    cosine = _cosines(texts.gather(used).to_list(), index)
    return TextSimilarity(float(cosine[: len(shared)].mean()), float(cosine[len(shared) :].mean()), len(shared))


def _co_listened_pairs(rng: np.random.Generator, listened: pl.DataFrame) -> Ints:
    """Distinct pairs of different items, each of one user: [pairs, 2].

    Every user with n items gives up to ``_PARTNERS * n`` random pairs, so that no single user gives most of them.
    """
    frame = listened.sort(schemas.USER, schemas.ITEM)
    user, item = frame[schemas.USER].to_numpy(), frame[schemas.ITEM].to_numpy().astype(np.int64)
    if not len(user):
        return np.empty((0, 2), np.int64)
    start = np.flatnonzero(np.concatenate([[True], user[1:] != user[:-1]]))
    length = np.diff(np.append(start, len(user)))
    of = np.repeat(np.arange(len(start)), length * _PARTNERS)
    item_of = np.repeat(item, _PARTNERS)
    other = start[of] + (rng.random(len(of)) * length[of]).astype(np.int64)
    pairs = np.sort(np.stack([item_of, item[other]], axis=1), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    return pairs[rng.permutation(len(pairs))[:MAX_PAIRS]]


def _random_pairs(rng: np.random.Generator, items: Ints, count: int) -> Ints:
    first = rng.integers(len(items), size=count)
    second = (first + rng.integers(1, len(items), size=count)) % len(items)
    return np.stack([items[first], items[second]], axis=1)


def tfidf_vectors(texts: list[str]) -> Any:
    """Unit TF-IDF vectors (scipy.sparse, float32 [num_texts, num_words]); None where no text has a word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(texts)
    except ValueError:  # nothing but stop characters in any text
        return None


def _cosines(texts: list[str], pairs: Ints) -> npt.NDArray[np.float64]:
    vectors = tfidf_vectors(texts)
    if vectors is None:
        return np.zeros(len(pairs))
    product = vectors[pairs[:, 0]].multiply(vectors[pairs[:, 1]]).sum(axis=1)
    return np.asarray(product, dtype=np.float64).ravel()
