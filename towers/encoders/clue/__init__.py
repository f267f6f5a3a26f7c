"""CLUE (contrast between a user's services) and SimCLR (contrast between views of a user) on one model: PyTorch."""
