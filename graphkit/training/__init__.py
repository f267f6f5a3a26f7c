"""What every PyTorch training run shares: devices, generators, processes that train together, checkpoints, models."""
