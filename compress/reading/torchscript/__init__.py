"""Networks saved by torch.jit: their graph is run by our own interpreter, which torch.export then follows."""
