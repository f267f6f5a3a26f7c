"""Recommendations from an exported bundle; imports neither torch nor TensorFlow."""
