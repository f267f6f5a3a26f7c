"""Vectors laid out in two dimensions."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt


def place(vectors: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """Positions [n, 2] of vectors [n, dim] by t-SNE from a PCA start."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    model = TSNE(init="pca", perplexity=perplexity, max_iter=500, random_state=seed, n_jobs=1)
    # One thread: the same picture everywhere, and on a shared machine four times faster than two.
    with threadpool_limits(1), warnings.catch_warnings():
        # Embeddings that are all equal (an untrained model) divide by their zero spread: still a picture.
        warnings.simplefilter("ignore", RuntimeWarning)
        points: npt.NDArray[np.float32] = model.fit_transform(vectors)
    return np.nan_to_num(points)
