"""Where a quantized network loses accuracy, and rules that win it back: what `edgepress diagnose` does."""
