"""Data in: cards, readers, validation, splits, and the dataset artefact."""
