"""What every PyTorch training run shares: devices and generators, processes that train together, checkpoints."""
