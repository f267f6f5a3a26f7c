"""Simple peers, each in its file: what the trained models have to beat, tuned on validation."""
