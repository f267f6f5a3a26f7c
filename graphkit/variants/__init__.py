"""Variants of what is current: ablations, baselines and other training seeds, each in a workspace of its own."""
