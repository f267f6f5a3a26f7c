"""How CLUE's test loss falls with computing: a ladder of runs, a power law, its plot. PyTorch."""
