"""Heterogeneous GraphSAGE: neighbours, sampler, model, training, inference."""
