"""Layers as chains of smaller ones: what may be factored, how good each factorization is, which are taken, and the change of the graph.

layers.py    convolutions and linear layers as matrices, and why others stay whole
moments.py   what calibration data says of a layer: the covariance of its inputs, and how much its outputs count
methods.py   SVD, Tucker-2 and sums of depthwise-separable convolutions, all as regressions of reduced rank
choice.py    a factorization for each layer: by rank, by energy, or for a share of the network's MACs
surgery.py   puts the factors in a layer's place
"""
