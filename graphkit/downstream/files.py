"""The files of a ``downstream`` batch and its first row, named where naming them loads nothing."""

from __future__ import annotations

from typing import Final

RESULTS_FILE: Final = "results.parquet"
RESULTS_JSON: Final = "results.json"
COMPARISONS_FILE: Final = "comparisons.parquet"
MAP_FILE: Final = "map.parquet"
#: The row that the others are held against.
MEAN: Final = "mean embeddings"
