"""ONNX (https://onnx.ai/onnx/operators): operator sets 7 and newer."""
