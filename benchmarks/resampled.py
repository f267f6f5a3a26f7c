"""Vectors of a catalogue larger than any at hand: real text vectors, resampled with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from graphkit.artefacts import Workspace

Floats = np.ndarray


def unit(vectors: Floats) -> Floats:
    """L2-normalised: float32."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def resampled(workspace: Path, num_items: int, dim: int = 128, seed: int = 0) -> tuple[Floats, np.ndarray]:
    """Unit vectors [num_items, dim], and which text each came from.

    The Sentence-BERT vectors of the workspace's graph, all types together, centred and cut to their ``dim`` principal
    components; each item is one of them plus half the difference of two others, which keeps their covariance.
    """
    features = load_file(Workspace(workspace).current("graph").path("features.safetensors"))
    texts = np.concatenate([features[name] for name in sorted(features)]).astype(np.float32)
    texts = texts[texts.any(axis=1)]
    texts -= texts.mean(axis=0)
    _, directions = np.linalg.eigh(texts.T @ texts)
    texts = texts @ directions[:, ::-1][:, :dim]
    rng = np.random.default_rng(seed)
    base, plus, minus = (rng.integers(0, len(texts), num_items) for _ in range(3))
    return unit(texts[base] + 0.5 * (texts[plus] - texts[minus])), base


def between_two(vectors: Floats, count: int, seed: int = 1) -> Floats:
    """Queries [count, dim] of users who like two items, with a little noise."""
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, len(vectors), count) for _ in range(2))
    return unit(vectors[first] + vectors[second] + 0.3 * unit(rng.normal(size=(count, vectors.shape[1]))))
