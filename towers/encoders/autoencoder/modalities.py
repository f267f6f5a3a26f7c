"""The modality encoders (paper 3.2.1): what an item is about, and what it is heard with, as short vectors.

The paper's first one reads audio; here it is the text vectors' principal components. The collaborative one factorises
the items' positive pointwise mutual information in playlists and sessions (Levy and Goldberg 2014: what word2vec's
skip-grams with negative sampling do implicitly). The graph network's embeddings, which know of both, are a third.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from graphkit.vectors import Vectors, load_vectors, save_vectors
from towers.encoders.autoencoder.cooccurrence import Together, columns_of

TEXT: Final = "text"
COLLABORATIVE: Final = "collaborative"
HGNN: Final = "hgnn"
MODALITIES_FILE: Final = "modalities.safetensors"
#: Exponent of a context's frequency in PMI (Levy, Goldberg and Dagan 2015): rare contexts count for less.
_SMOOTHING: Final = 0.75

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Modalities:
    """Per modality and item type float32 [num_items, width], unit rows, zeros for an item without such a vector."""

    vectors: dict[str, Vectors]

    @property
    def widths(self) -> dict[str, int]:
        return {name: next(iter(by_type.values())).shape[1] for name, by_type in self.vectors.items()}

    def side_by_side(self, item_type: str) -> Floats:
        """All modalities of a type's items: float32 [num_items, sum of widths]."""
        return np.concatenate([by_type[item_type] for by_type in self.vectors.values()], axis=1)

    def known(self, item_type: str) -> Floats:
        """Which items have which vector: 0/1 float32 [num_items, number of modalities]."""
        columns = [by_type[item_type].any(axis=1) for by_type in self.vectors.values()]
        return np.stack(columns, axis=1).astype(np.float32)

    def save(self, path: Path) -> None:
        save_vectors(path, {f"{name}/{t}": m for name, by_type in self.vectors.items() for t, m in by_type.items()})

    @classmethod
    def load(cls, path: Path, names: tuple[str, ...]) -> Modalities:
        stored = load_vectors(path)
        types = {name: [key.partition("/")[2] for key in stored if key.startswith(f"{name}/")] for name in names}
        return cls({name: {t: stored[f"{name}/{t}"] for t in types[name]} for name in names})


def principal_vectors(wide: Vectors, dim: int) -> Vectors:
    """The first ``dim`` principal components of the items' vectors per type, all types in one space; zeros stay."""
    every = np.concatenate(list(wide.values())).astype(np.float64)
    has = np.abs(every).sum(axis=1) > 0
    centred = every - every[has].mean(axis=0) if has.any() else every
    _, directions = np.linalg.eigh(centred[has].T @ centred[has])
    chosen = _signed(directions[:, ::-1][:, :dim])
    return _by_type(_unit(np.where(has[:, None], centred @ chosen, 0)), {t: len(m) for t, m in wide.items()})


def collaborative_vectors(together: Together, num_items: dict[str, int], dim: int, seed: int) -> Vectors:
    """Rows of U S^1/2 of the items' positive PMI, all types in one space; zeros for an item that stands with none."""
    width = min(dim, together.pairs.shape[0] - 1)
    u, s, _ = randomized_svd(positive_pmi(together.pairs), width, n_iter=4, random_state=seed)
    return _by_type(_unit(u * np.sqrt(s)), num_items)


def positive_pmi(pairs: Any) -> Any:
    """max(0, log(p(i, j) / (p(i) p'(j)))) of a symmetric count matrix, p' with smoothed contexts: sparse float32."""
    total = np.asarray(pairs.sum(axis=1), dtype=np.float64).ravel()
    context = total**_SMOOTHING
    coo = pairs.tocoo()
    value = np.log(coo.data * context.sum() / (total[coo.row] * context[coo.col]))
    keep = value > 0
    return sparse.csr_array((value[keep].astype(np.float32), (coo.row[keep], coo.col[keep])), shape=pairs.shape)


def _by_type(every: Floats, num_items: dict[str, int]) -> Vectors:
    return {item_type: every[place] for item_type, place in columns_of(num_items).items()}


def _unit(rows: npt.NDArray[np.floating[Any]]) -> Floats:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 1e-6).astype(np.float32)
    return unit


def _signed(directions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each column with its largest entry positive: an eigenvector's sign is a matter of chance."""
    largest = np.abs(directions).argmax(axis=0)
    signed: npt.NDArray[np.float64] = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
    return signed
