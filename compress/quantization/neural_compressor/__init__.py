"""Neural Compressor as the engine of quantization: it chooses ranges, scales and roundings, our own graph carries them to every export."""
