"""A `.tflite` file in LiteRT with every tensor kept. No delegate: one would compute parts of the file out of sight."""

import warnings

import numpy as np

from compress.comparing.opened import Traced
from targets.base import Array, Artifact
from targets.errors import UserError
from targets.formats import tflite


class LitertFile:
    """Runs the file with LiteRT's own kernels, one sample at a time."""

    runtime = "LiteRT, no delegate"

    def __init__(self, artifact: Artifact) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.artifact = artifact
        graph = tflite.load(artifact.path)
        self._indices = [index for operator in graph.operators for index in operator.outputs if graph.tensors[index].data is None]
        self.output = self._indices.index(graph.outputs[0])
        self.tensors = [_traced(graph.tensors[index]) for index in self._indices]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*", category=UserWarning)
            self._interpreter = Interpreter(
                model_path=str(artifact.path),
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        try:
            for details, tensor in zip(self._interpreter.get_input_details(), artifact.inputs, strict=True):
                self._interpreter.resize_tensor_input(details["index"], tensor.shape)
            self._interpreter.allocate_tensors()
        except RuntimeError as error:
            raise UserError(f"{artifact.path}: LiteRT can't run it: {str(error).splitlines()[0]}") from None

    def run(self, inputs: tuple[Array, ...]) -> list[Array]:
        """The values of all tensors for one sample."""
        for details, values in zip(self._interpreter.get_input_details(), inputs, strict=True):
            self._interpreter.set_tensor(details["index"], values)
        self._interpreter.invoke()
        return [np.asarray(self._interpreter.get_tensor(index)) for index in self._indices]


def _traced(tensor: tflite.Tensor) -> Traced:
    found = tensor.quantization
    if found is None or len(found.scale) != 1:
        return Traced(tensor.name, tensor.shape, tensor.dtype)
    return Traced(tensor.name, tensor.shape, tensor.dtype, float(found.scale[0]), int(found.zero_point[0]))
