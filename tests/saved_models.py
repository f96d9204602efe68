"""Writes the SavedModels that tests read, with inputs and TensorFlow's outputs beside each. Run by itself: it imports TensorFlow.

python tests/saved_models.py FOLDER NAME ...
"""

import os
import sys
from pathlib import Path

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "0"}

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.core.protobuf import saved_model_pb2


def block(x, filters, stride, name):
    for kind, layer in (("dw", layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)), ("pw", layers.Conv2D(filters, 1))):
        layer.name = f"{name}_{kind}"
        x = layers.ReLU(6.0, name=f"{name}_{kind}_relu")(layers.BatchNormalization(name=f"{name}_{kind}_bn")(layer(x)))
    return x


def mobile():
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="stem")(image)
    x = layers.Add(name="join")([x, block(x, 8, 1, "first")])
    x = layers.GlobalAveragePooling2D(name="pool")(block(x, 16, 2, "second"))
    return keras.Model(image, layers.Dense(5, activation="softmax", name="head")(x))


def attention():
    tokens = keras.Input((6, 16), name="tokens")
    x = layers.LayerNormalization(name="norm")(tokens + layers.MultiHeadAttention(2, 8, name="attention")(tokens, tokens))
    x = layers.Dense(16, activation="gelu", name="wide")(x)
    return keras.Model(tokens, layers.Dense(3, name="head")(layers.Flatten(name="flat")(x)))


def recurrent():
    steps = keras.Input((5, 4), name="steps")
    x = layers.LSTM(6, return_sequences=True, name="first")(steps)
    x = layers.Bidirectional(layers.GRU(3), name="both")(x)
    return keras.Model(steps, layers.Dense(3, name="head")(x))


def convolutions():
    signal = keras.Input((16, 4), name="signal")
    x = layers.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="hard_swish", name="early")(signal)
    x = layers.MaxPooling1D(2, name="half")(x)
    x = layers.TimeDistributed(layers.Dense(4), name="each")(layers.SeparableConv1D(6, 3, name="apart")(x))
    return keras.Model(signal, layers.Dense(3, activation="sigmoid", name="head")(layers.GlobalMaxPooling1D(name="peak")(x)))


class Plain(tf.Module):
    """Operators without layers, for images of any size."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(0)
        self.kernel = tf.Variable(random.normal(size=(3, 3, 2, 6)).astype("float32") * 0.3)
        self.matrix = tf.Variable(random.normal(size=(6, 4)).astype("float32"))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2], tf.float32, name="image")])
    def __call__(self, image):
        x = tf.nn.conv2d(image, self.kernel, 1, "SAME")
        left, right = tf.split(x, 2, axis=-1)
        x = tf.concat([tf.nn.elu(right), tf.where(left > 0.0, left, tf.square(left))], -1)
        x = tf.pad(tf.image.resize(x, (4, 4)), [[0, 0], [1, 1], [0, 0], [0, 0]], "REFLECT")
        x = tf.transpose(tf.reverse(x, [1]), [0, 2, 1, 3])[:, 1:, ::-1]
        return {"scores": tf.matmul(tf.reduce_mean(x, [1, 2]), self.matrix)}


class Two(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def double(self, x):
        return 2.0 * x

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def half(self, x):
        return 0.5 * x


class Forbidden(tf.Module):
    """Leaves a trace where it is run."""

    def __init__(self, name, trace):
        super().__init__()
        leave = {
            "python": lambda x: tf.py_function(lambda given: (Path(trace).touch(), given)[1], [x], tf.float32),
            "file": lambda x: (tf.io.write_file(trace, "written"), x)[1],
            "saved": lambda x: (tf.raw_ops.SaveV2(prefix=trace, tensor_names=["x"], shape_and_slices=[""], tensors=[x]), x)[1],
            "aborted": lambda x: (tf.raw_ops.Abort(error_msg="stopped"), x)[1],
            "printed": lambda x: (tf.print("written", output_stream=f"file://{trace}"), x)[1],
        }[name]
        self.answer = tf.function(lambda x: tf.ensure_shape(leave(x), [None, 4]), input_signature=[tf.TensorSpec([None, 4], tf.float32)])


KERAS = {"mobile": mobile, "attention": attention, "recurrent": recurrent, "convolutions": convolutions}


def write(folder, name):
    path, random = str(folder / name), np.random.default_rng(1)
    if name in KERAS:
        model = KERAS[name]()
        for variable in model.variables:
            if "moving_variance" in variable.path:
                variable.assign(random.uniform(0.5, 2.0, variable.shape))
            elif "moving_mean" in variable.path or "bias" in variable.path:
                variable.assign(random.normal(0.0, 0.3, variable.shape))
        model.export(path, verbose=False)
        inputs = random.normal(size=(4, *model.inputs[0].shape[1:])).astype("float32")
        np.savez(folder / f"{name}.npz", inputs=inputs, outputs=np.asarray(model(inputs)))
    elif name == "plain":
        module = Plain()
        tf.saved_model.save(module, path)
        inputs = random.normal(size=(4, 8, 6, 2)).astype("float32")
        np.savez(folder / "plain.npz", inputs=inputs, outputs=module(inputs)["scores"].numpy())
    elif name == "two":
        module = Two()
        tf.saved_model.save(module, path, signatures={"double": module.double, "half": module.half})
    else:
        module = Forbidden(name, str(folder / "trace"))
        tf.saved_model.save(module, path, signatures={"serving_default": module.answer})


def with_saver_called(source, folder):
    """A copy of a SavedModel whose object graph names the function that writes its checkpoints."""
    saved = saved_model_pb2.SavedModel.FromString((source / "saved_model.pb").read_bytes())
    (meta,) = saved.meta_graphs
    saver = meta.saver_def.save_tensor_name.partition(":")[0]
    (function,) = (node.attr["f"].func.name for node in meta.graph_def.node if node.name == saver)
    meta.object_graph_def.concrete_functions[function].SetInParent()
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


if __name__ == "__main__":
    if sys.argv[2] == "--saver-called":
        with_saver_called(Path(sys.argv[1]), Path(sys.argv[3]))
        sys.exit()
    keras.utils.set_random_seed(0)
    for asked in sys.argv[2:]:
        write(Path(sys.argv[1]), asked)
