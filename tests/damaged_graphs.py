"""ONNX and TFLite files damaged in what they mean: shapes, types, operators, connections."""

import numpy as np
import onnx
from damaged_files import extreme, picked


def onnx_sizes(random, graph):
    dims = picked(random, graph.initializer).dims
    dims[random.integers(len(dims))] = extreme(random)


def onnx_type(random, graph):
    picked(random, graph.initializer).data_type = int(random.integers(-1, 30))


def onnx_circle(random, graph):
    node = picked(random, graph.node)
    node.input[random.integers(len(node.input))] = picked(random, [node.output[0], graph.node[-1].output[0], "nothing", ""])


def onnx_operator(random, graph):
    kinds = ["Conv", "Gemm", "Concat", "Reshape", "Scan", "If", "LSTM", "Resize", "Pad", "Tile", "Expand", "x"]
    picked(random, graph.node).op_type = picked(random, kinds)


def onnx_attribute(random, graph):
    node = picked(random, graph.node)
    attribute = picked(random, node.attribute) if node.attribute else node.attribute.add(name="axis", type=onnx.AttributeProto.INT)
    if attribute.ints:
        attribute.ints[random.integers(len(attribute.ints))] = extreme(random)
    elif random.integers(2):
        attribute.type = int(random.integers(0, 15))
    else:
        attribute.i = extreme(random)


def onnx_without_weight(random, graph):
    del graph.initializer[random.integers(len(graph.initializer))]


def onnx_without_node(random, graph):
    del graph.node[random.integers(len(graph.node))]


def onnx_node_twice(random, graph):
    graph.node.add().CopyFrom(picked(random, graph.node))


def onnx_input(random, graph):
    picked(random, graph.input[0].type.tensor_type.shape.dim).dim_value = extreme(random)


def onnx_few_numbers(random, graph):
    stored = picked(random, graph.initializer)
    stored.raw_data = stored.raw_data[: len(stored.raw_data) // 2]


def onnx_result(random, graph):
    picked(random, graph.node).output[0] = picked(random, [graph.input[0].name, graph.node[0].output[0], ""])


def onnx_output(_, graph):
    graph.output[0].name = "nothing"


def onnx_external(random, graph):
    place = picked(random, ["/etc/passwd", "../weights.bin", "nothing.bin", "damaged.onnx", "", "x" * 5000, "a\0b"])
    refer(picked(random, graph.initializer), place, offset=extreme(random), length=extreme(random))


def refer(stored, location, **where):
    """Makes a tensor's numbers external."""
    stored.ClearField("raw_data")
    stored.data_location = onnx.TensorProto.EXTERNAL
    for key, value in ({"location": location} | where).items():
        stored.external_data.add(key=key, value=str(value))


IN_ONNX = (
    *(onnx_sizes, onnx_type, onnx_circle, onnx_operator, onnx_attribute, onnx_without_weight, onnx_without_node, onnx_node_twice),
    *(onnx_input, onnx_few_numbers, onnx_result, onnx_output, onnx_external),
)


def in_onnx(random, content):
    """A shape, type, operator, attribute or connection changed."""
    model = onnx.load_from_string(content)
    if random.integers(20) == 0:
        model.opset_import[0].version = extreme(random)
    else:
        picked(random, IN_ONNX)(random, model.graph)
    return model.SerializeToString()


def tflite_shape(random, model):
    tensor = picked(random, [each for each in model.subgraphs[0].tensors if len(each.shape)])
    tensor.shape = tensor.shape.copy()
    tensor.shape[random.integers(len(tensor.shape))] = small_extreme(random)


def tflite_type(random, model):
    picked(random, model.subgraphs[0].tensors).type = int(random.integers(0, 20))


def tflite_buffer(random, model):
    picked(random, model.subgraphs[0].tensors).buffer = abs(small_extreme(random))


def tflite_circle(random, model):
    operator = picked(random, model.subgraphs[0].operators)
    operator.inputs = operator.inputs.copy()
    operator.inputs[random.integers(len(operator.inputs))] = picked(random, [small_extreme(random), operator.outputs[0]])


def tflite_result(random, model):
    picked(random, model.subgraphs[0].operators).outputs = [int(picked(random, [small_extreme(random), model.subgraphs[0].inputs[0]]))]


def tflite_operator(random, model):
    code = picked(random, model.operatorCodes)
    code.builtinCode = code.deprecatedBuiltinCode = int(random.integers(0, 127))


def tflite_options(random, model):
    operator = picked(random, model.subgraphs[0].operators)
    options = operator.builtinOptions
    numbers = [name for name, value in vars(options).items() if type(value) is int] if options else []
    if numbers:
        setattr(options, picked(random, numbers), min(abs(small_extreme(random)), 127))
    else:
        operator.builtinOptions, operator.builtinOptionsType = None, 0


def tflite_without_operator(random, model):
    del model.subgraphs[0].operators[random.integers(len(model.subgraphs[0].operators))]


def tflite_output(random, model):
    model.subgraphs[0].outputs = [small_extreme(random)]


def tflite_few_numbers(random, model):
    stored = picked(random, [each for each in model.buffers if each.data is not None])
    stored.data = None if random.integers(2) else stored.data[: len(stored.data) // 2]


def small_extreme(random):
    return int(np.clip(extreme(random), -(2**31), 2**31 - 1))


IN_TFLITE = (
    *(tflite_shape, tflite_type, tflite_buffer, tflite_circle, tflite_result, tflite_operator, tflite_options, tflite_without_operator),
    *(tflite_output, tflite_few_numbers),
)


def in_tflite(random, content):
    """A shape, type, operator, buffer or connection changed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    picked(random, IN_TFLITE)(random, model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
