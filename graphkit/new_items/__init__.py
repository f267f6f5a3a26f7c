"""Embeddings of items that were not there when the graph network was trained, from the same weights."""
