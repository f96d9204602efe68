"""TFLite's schema and kernels (https://ai.google.dev/edge/litert): files lifted to torch."""
