"""Files written again: what they hold stays, and what they hold twice is written once."""

import flatbuffers
import numpy as np
from test_tflite_parts import RANDOM, residual
from tflite_files import reference

from targets.formats import tflite_objects


def numbers(content):
    """Shapes and quantization of every tensor."""
    tensors = tflite_objects.read(content).subgraphs[0].tensors
    scaled = [(list(each.shape), each.quantization) for each in tensors if each.quantization is not None]
    return [(shape, list(given.scale), list(given.zeroPoint)) for shape, given in scaled if given.scale is not None]


def test_equal_numbers_are_written_once(tmp_path):
    file = residual().write(tmp_path / "net.tflite")
    content = file.read_bytes()
    plain = flatbuffers.Builder(1 << 10)
    plain.Finish(tflite_objects.read(content).Pack(plain), tflite_objects.IDENTIFIER)
    shared = tflite_objects.write(tflite_objects.read(content))
    assert numbers(shared) == numbers(content)
    assert len(shared) < len(plain.Output())
    sample = [RANDOM.integers(-128, 128, (1, 9, 7, 4)).astype(np.int8)]
    again = tmp_path / "again.tflite"
    again.write_bytes(shared)
    np.testing.assert_array_equal(reference(again, [sample])[0][0], reference(file, [sample])[0][0])
