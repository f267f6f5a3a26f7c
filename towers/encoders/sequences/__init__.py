"""Sequences of behaviours, the Transformer that reads them, and the loop that trains one: PyTorch."""
