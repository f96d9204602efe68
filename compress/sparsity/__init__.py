"""Weights that become zero, and weights that share values: what `prune_weights` and `cluster` are made of."""
