"""Weights of a layer that share a few values (Han et al. 2016, Deep Compression)."""
