"""TFLite's schema and kernels (https://ai.google.dev/edge/litert): floating-point files, lifted to torch."""
