"""Small Keras models with random weights, one for each layer, and what Keras computes with them.

Run as a program, in a process of its own: `python keras_models.py FOLDER NAME…` writes `NAME.keras`, `NAME.h5` and `NAME.npz` (inputs
as Keras takes them, outputs as it gives them).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

IMAGE, STEPS, VECTOR = (9, 7, 4), (6, 5), (12,)


def one(shape, layer):
    """A model of one layer on one input."""

    def build(keras):
        entry = keras.Input(shape, name="entry")
        return keras.Model(entry, layer(keras.layers)(entry))

    return build


def several(shapes, connect):
    """A functional model of several inputs, connected by a function of keras and the inputs."""

    def build(keras):
        entries = [keras.Input(shape, name=f"entry{number}") for number, shape in enumerate(shapes)]
        return keras.Model(entries, connect(keras, *entries))

    return build


def chain(shape, *layers):
    """A Sequential of layers, each made by a function of keras.layers."""
    return lambda keras: keras.Sequential([keras.Input(shape), *(layer(keras.layers) for layer in layers)])


LAYERS = {
    **{
        f"Conv2D {padding} {stride} {kernel}": one(
            IMAGE, lambda kl, p=padding, s=stride, k=kernel: kl.Conv2D(6, k, s, p, activation="relu")
        )
        for padding in ("same", "valid")
        for stride in (1, 2)
        for kernel in (2, 3)
    },
    "Conv2D dilated": one(IMAGE, lambda kl: kl.Conv2D(6, 3, dilation_rate=2, padding="same")),
    "Conv2D grouped": one(IMAGE, lambda kl: kl.Conv2D(6, 3, groups=2, use_bias=False, activation="softmax")),
    "Conv1D same": one(STEPS, lambda kl: kl.Conv1D(4, 3, 2, "same")),
    "Conv1D causal": one(STEPS, lambda kl: kl.Conv1D(4, 3, padding="causal", dilation_rate=2)),
    "Conv3D": one((5, 4, 6, 2), lambda kl: kl.Conv3D(3, 2, padding="same")),
    "Conv2DTranspose same": one(IMAGE, lambda kl: kl.Conv2DTranspose(3, 4, 2, "same")),
    "Conv2DTranspose valid": one(IMAGE, lambda kl: kl.Conv2DTranspose(3, 3, 2, "valid")),
    "Conv1DTranspose": one(STEPS, lambda kl: kl.Conv1DTranspose(3, 4, 2, "same")),
    "DepthwiseConv2D same 2": one(IMAGE, lambda kl: kl.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)),
    "DepthwiseConv1D": one(STEPS, lambda kl: kl.DepthwiseConv1D(3)),
    "SeparableConv2D": one(IMAGE, lambda kl: kl.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, activation="elu")),
    "SeparableConv1D": one(STEPS, lambda kl: kl.SeparableConv1D(5, 3)),
    "Dense": one(VECTOR, lambda kl: kl.Dense(5, "sigmoid")),
    "Dense on images": one(IMAGE, lambda kl: kl.Dense(5)),
    "Dense on steps": one(STEPS, lambda kl: kl.Dense(5, use_bias=False)),
    "EinsumDense": one(STEPS, lambda kl: kl.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")),
    "Embedding": one((6,), lambda kl: kl.Embedding(10, 4)),
    "BatchNormalization": one(IMAGE, lambda kl: kl.BatchNormalization()),
    "BatchNormalization plain": one(IMAGE, lambda kl: kl.BatchNormalization(center=False, scale=False)),
    "BatchNormalization steps": one(STEPS, lambda kl: kl.BatchNormalization(scale=False)),
    "BatchNormalization vector": one(VECTOR, lambda kl: kl.BatchNormalization(center=False)),
    "LayerNormalization": one(IMAGE, lambda kl: kl.LayerNormalization()),
    "LayerNormalization all": one(IMAGE, lambda kl: kl.LayerNormalization(axis=[1, 2, 3], scale=False)),
    "RMSNormalization": one(STEPS, lambda kl: kl.RMSNormalization()),
    "GroupNormalization": one(IMAGE, lambda kl: kl.GroupNormalization(2)),
    "GroupNormalization each": one(IMAGE, lambda kl: kl.GroupNormalization(-1, center=False)),
    "UnitNormalization": one(IMAGE, lambda kl: kl.UnitNormalization()),
    "Normalization": one(IMAGE, lambda kl: kl.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0])),
    "Rescaling": one(IMAGE, lambda kl: kl.Rescaling(0.5, -1.0)),
    "Rescaling channels": one(IMAGE, lambda kl: kl.Rescaling([0.5, 1.0, 2.0, 3.0], 1.0)),
    **{
        f"{kind}Pooling2D {padding} {size} {stride}": one(
            IMAGE, lambda kl, c=f"{kind}Pooling2D", p=padding, s=size, t=stride: getattr(kl, c)(s, t, p)
        )
        for kind in ("Max", "Average")
        for padding, size, stride in (("valid", 2, 2), ("same", 2, 2), ("same", 3, 2), ("same", 3, 1), ("same", 4, 3))
    },
    "MaxPooling1D": one(STEPS, lambda kl: kl.MaxPooling1D(2)),
    "AveragePooling1D": one(STEPS, lambda kl: kl.AveragePooling1D(4, 4, "same")),
    "MaxPooling3D": one((5, 4, 6, 2), lambda kl: kl.MaxPooling3D(2)),
    **{
        f"Global{kind}Pooling2D {keep}": one(IMAGE, lambda kl, c=f"Global{kind}Pooling2D", k=keep: getattr(kl, c)(keepdims=k))
        for kind in ("Max", "Average")
        for keep in (True, False)
    },
    "GlobalAveragePooling1D": one(STEPS, lambda kl: kl.GlobalAveragePooling1D()),
    "ZeroPadding2D": one(IMAGE, lambda kl: kl.ZeroPadding2D(((0, 1), (2, 3)))),
    "ZeroPadding1D": one(STEPS, lambda kl: kl.ZeroPadding1D(2)),
    "Cropping2D": one(IMAGE, lambda kl: kl.Cropping2D(((1, 0), (2, 1)))),
    "Cropping1D": one(STEPS, lambda kl: kl.Cropping1D((1, 2))),
    "UpSampling2D": one(IMAGE, lambda kl: kl.UpSampling2D((2, 3))),
    "UpSampling2D bilinear": one(IMAGE, lambda kl: kl.UpSampling2D(2, interpolation="bilinear")),
    "UpSampling1D": one(STEPS, lambda kl: kl.UpSampling1D(2)),
    "Resizing": one(IMAGE, lambda kl: kl.Resizing(5, 11)),
    **{
        f"Activation {name}": one(IMAGE, lambda kl, n=name: kl.Activation(n))
        for name in (
            "relu",
            "relu6",
            "elu",
            "selu",
            "gelu",
            "silu",
            "sigmoid",
            "hard_sigmoid",
            "tanh",
            "softmax",
            "softplus",
            "softsign",
            "exponential",
            "linear",
            "leaky_relu",
            "hard_silu",
            "mish",
            "log_softmax",
            "hard_tanh",
            "celu",
            "squareplus",
            "tanh_shrink",
        )
    },
    "ReLU": one(IMAGE, lambda kl: kl.ReLU()),
    "ReLU all": one(IMAGE, lambda kl: kl.ReLU(max_value=2.0, negative_slope=0.2, threshold=0.3)),
    "ReLU threshold": one(IMAGE, lambda kl: kl.ReLU(max_value=1.0, threshold=0.3)),
    "ReLU 6": one(IMAGE, lambda kl: kl.ReLU(6.0)),
    "LeakyReLU": one(IMAGE, lambda kl: kl.LeakyReLU(0.15)),
    "ELU": one(IMAGE, lambda kl: kl.ELU(0.5)),
    "PReLU": one(IMAGE, lambda kl: kl.PReLU(shared_axes=[1, 2], alpha_initializer="uniform")),
    "PReLU each": one(IMAGE, lambda kl: kl.PReLU(alpha_initializer="uniform")),
    "Softmax": one(IMAGE, lambda kl: kl.Softmax()),
    "Softmax rows": one(IMAGE, lambda kl: kl.Softmax(axis=1)),
    "Flatten": one(IMAGE, lambda kl: kl.Flatten()),
    "Reshape": one(IMAGE, lambda kl: kl.Reshape((7, -1, 2))),
    "Reshape to tokens": one(IMAGE, lambda kl: kl.Reshape((-1, 4))),
    "Permute": one(IMAGE, lambda kl: kl.Permute((2, 3, 1))),
    "Permute to channels first": one(IMAGE, lambda kl: kl.Permute((3, 1, 2))),
    "RepeatVector": one(VECTOR, lambda kl: kl.RepeatVector(3)),
    **{
        kind: one(IMAGE, lambda kl, c=kind: getattr(kl, c)(0.3))
        for kind in ("Dropout", "SpatialDropout2D", "GaussianNoise", "AlphaDropout")
    },
    **{
        f"{kind} {sequences}": one(STEPS, lambda kl, c=kind, s=sequences: getattr(kl, c)(4, return_sequences=s))
        for kind in ("LSTM", "GRU", "SimpleRNN")
        for sequences in (True, False)
    },
    "LSTM backwards": one(STEPS, lambda kl: kl.LSTM(4, go_backwards=True, return_sequences=True)),
    "LSTM hard": one(STEPS, lambda kl: kl.LSTM(4, recurrent_activation="hard_sigmoid", activation="relu")),
    "LSTM without bias": one(STEPS, lambda kl: kl.LSTM(4, use_bias=False)),
    "GRU reset before": one(STEPS, lambda kl: kl.GRU(4, reset_after=False, return_sequences=True)),
    "GRU relu": one(STEPS, lambda kl: kl.GRU(4, activation="relu", use_bias=False)),
    "RNN": one(STEPS, lambda kl: kl.RNN(kl.GRUCell(4))),
    **{
        f"Bidirectional {kind} {merge} {sequences}": one(
            STEPS, lambda kl, c=kind, m=merge, s=sequences: kl.Bidirectional(getattr(kl, c)(4, return_sequences=s), merge_mode=m)
        )
        for kind, merge, sequences in (
            ("LSTM", "concat", True),
            ("LSTM", "concat", False),
            ("GRU", "sum", True),
            ("SimpleRNN", "ave", False),
        )
    },
    "TimeDistributed Dense": one(STEPS, lambda kl: kl.TimeDistributed(kl.Dense(3))),
    "TimeDistributed Conv2D": one((3, *IMAGE), lambda kl: kl.TimeDistributed(kl.Conv2D(3, 3, 2, "same"))),
}
CONNECTED = {
    **{
        kind: several([IMAGE] * 2, lambda keras, *x, c=kind: getattr(keras.layers, c)()(list(x)))
        for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    },
    "Concatenate rows": several([IMAGE] * 2, lambda keras, *x: keras.layers.Concatenate(axis=1)(list(x))),
    "Multiply by channels": several([IMAGE, (1, 1, 4)], lambda keras, *x: keras.layers.Multiply()(list(x))),
    "Dot": several([STEPS, STEPS], lambda keras, *x: keras.layers.Dot((2, 2))(list(x))),
    "Dot normalized": several([VECTOR, VECTOR], lambda keras, *x: keras.layers.Dot(1, normalize=True)(list(x))),
    "MultiHeadAttention": several([STEPS, (4, 5)], lambda keras, q, v: keras.layers.MultiHeadAttention(2, 3, value_dim=4)(q, v)),
    "MultiHeadAttention causal": several([STEPS], lambda keras, x: keras.layers.MultiHeadAttention(2, 3)(x, value=x, use_causal_mask=True)),
    "Attention": several([STEPS, (4, 5)], lambda keras, q, v: keras.layers.Attention(use_scale=True)([q, v])),
    "AdditiveAttention": several([STEPS, (4, 5)], lambda keras, q, v: keras.layers.AdditiveAttention()([q, v])),
    "LSTM states": several([STEPS], lambda keras, x: keras.layers.LSTM(4, return_state=True)(x)),
    "LSTM from states": several(
        [STEPS, (4,), (4,)], lambda keras, x, *states: keras.layers.LSTM(4, return_sequences=True)(x, initial_state=list(states))
    ),
}


def _residual(keras, x):
    layers = keras.layers
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    y = layers.Add()([x, layers.ReLU()(y)])
    gate = layers.Reshape((1, 1, 4))(layers.Dense(4, "sigmoid")(layers.GlobalAveragePooling2D()(y)))
    y = layers.multiply([y, gate])
    y = layers.BatchNormalization()(layers.Dropout(0.5)(layers.Flatten()(y)))
    return layers.Dense(3, "softmax")(y)


def _nested(keras, x):
    layers = keras.layers
    entry = keras.Input(IMAGE)
    inner = keras.Model(entry, layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="conv")(entry)), name="inner")
    head = keras.Sequential([layers.Flatten(), layers.Dense(4, "relu", name="conv"), layers.Dense(2)], name="head")
    y = inner(inner(x))
    return [head(y), inner(y)]


def _shared(keras, one_, other):
    dense, norm = keras.layers.Dense(4, "tanh", name="shared"), keras.layers.LayerNormalization()
    return keras.layers.Concatenate()([norm(dense(one_)), norm(dense(other))])


def _decoder(keras, x):
    layers = keras.layers
    y = layers.Reshape((3, 2, 4))(layers.Dense(24)(x))
    y = layers.Conv2DTranspose(3, 3, 2, "same", activation="relu")(y)
    return layers.Conv2D(1, 3, padding="same")(layers.UpSampling2D(2)(y))


def _sequence(keras, x):
    layers = keras.layers
    y = layers.BatchNormalization()(layers.Conv1D(6, 3, padding="same", activation="relu")(x))
    y = layers.MaxPooling1D(2)(layers.Conv1D(6, 3, padding="same")(y))
    return layers.Dense(3)(layers.Flatten()(y))


def _back_to_images(keras, x):
    layers = keras.layers
    y = layers.Flatten()(layers.Conv2D(4, 3, padding="same")(x))
    return layers.Conv2D(2, 3)(layers.Reshape(IMAGE)(layers.Activation("relu")(y)))


def _operations(keras, x):
    ops = keras.ops
    y = ops.clip(2.0 * x - np.array([0.1, 0.2, 0.3, 0.4], "float32"), 0.0, 6.0) / 3.0
    y = ops.concatenate([y, ops.relu(-x)], axis=-1)[:, 1:, :, ::2]
    scale = ops.sigmoid(ops.mean(y, axis=(1, 2), keepdims=True))
    y = ops.pad(y * scale + 1.0, ((0, 0), (1, 1), (0, 0), (0, 0))) ** 2
    left, right = ops.split(y, 2, axis=-1)
    y = ops.transpose(ops.maximum(left, right), (0, 2, 1, 3))
    y = ops.softmax(ops.reshape(y, (-1, y.shape[1] * y.shape[2], 2)), axis=-1)
    y = ops.matmul(ops.swapaxes(y, 1, 2), ops.where(y > 0.5, y, 0.0))
    return ops.squeeze(ops.expand_dims(ops.gelu(ops.sum(y, axis=1)), 1), 1)


def _transformer(keras, x):
    layers = keras.layers
    y = layers.Reshape((-1, 4))(layers.Conv2D(4, 2, 2)(x))
    y = layers.Add()([y, layers.MultiHeadAttention(2, 2)(layers.LayerNormalization()(y), y)])
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.Dense(4, "gelu")(y)))


def _dictionary(keras):
    entries = {name: keras.Input(VECTOR, name=name) for name in ("b", "a")}
    return keras.Model(entries, {"out": keras.layers.Subtract()([entries["a"], entries["b"]])})


NETWORKS = {
    "residual": several([IMAGE], _residual),
    "nested": several([IMAGE], _nested),
    "shared": several([VECTOR, VECTOR], _shared),
    "decoder": several([VECTOR], _decoder),
    "sequence": several([STEPS], _sequence),
    "back to images": several([IMAGE], _back_to_images),
    "operations": several([IMAGE], _operations),
    "transformer": several([IMAGE], _transformer),
    "sequential": chain(
        IMAGE, lambda kl: kl.Conv2D(4, 3, activation="relu"), lambda kl: kl.MaxPooling2D(), lambda kl: kl.Flatten(), lambda kl: kl.Dense(3)
    ),
    "channels first": chain(
        (4, 9, 7),
        lambda kl: kl.Conv2D(6, 3, 2, "same", data_format="channels_first"),
        lambda kl: kl.BatchNormalization(axis=1),
        lambda kl: kl.AveragePooling2D(2, data_format="channels_first"),
        lambda kl: kl.Flatten(data_format="channels_first"),
        lambda kl: kl.Dense(3),
    ),
    "dictionary": _dictionary,
}
TENSORFLOW = ("Normalization", "Rescaling", "Rescaling channels", "Resizing", "AveragePooling2D same 4 3", "Conv2DTranspose same")
"""Cases in which Keras needs TensorFlow, or computes otherwise without it."""
CASES = {**LAYERS, **CONNECTED, **NETWORKS}


def made(folder, names, backend="torch", program=__file__):
    """Models of the program's `CASES`, written by it in a process of its own."""
    quiet = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-W", "ignore", program, str(folder), json.dumps(list(names))]
    environment = {**os.environ, **quiet, "KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def write(cases, without_tensorflow=True, forms=("keras", "h5", "weights")):
    """Each model with random weights, saved, and its outputs. Models of one form keep the weights that they begin with."""
    if without_tensorflow and os.environ["KERAS_BACKEND"] == "torch":
        sys.modules["tensorflow"] = None  # it starts faster
    import keras

    folder, names = Path(sys.argv[1]), json.loads(sys.argv[2])
    for name in names:
        keras.utils.set_random_seed(7)
        keras.backend.clear_session()
        model = cases[name](keras)
        random = np.random.default_rng(3)
        for weight in model.weights if len(forms) > 1 else []:
            low = 0.3 if "variance" in weight.path else -0.6
            if "seed" not in weight.path and "int" not in str(weight.dtype):
                weight.assign(random.uniform(low, 0.9, weight.shape))
        inputs = [np.float32(random.standard_normal((2, *entry.shape[1:]))) for entry in model.inputs]
        if name == "Embedding":
            inputs = [np.abs(3.0 * each).round() for each in inputs]
        given = [keras.ops.convert_to_tensor(each) for each in inputs]
        if name == "dictionary":
            given = dict(zip(("a", "b"), given, strict=True))
        outputs = keras.tree.flatten(model(given if len(given) > 1 else given[0], training=False))
        arrays = {f"x{number}": each for number, each in enumerate(inputs)}
        results = {f"y{number}": keras.ops.convert_to_numpy(each) for number, each in enumerate(outputs)}
        np.savez(folder / f"{name}.npz", **arrays, **results)
        for form in {"keras", "h5"} & {*forms}:
            model.save(folder / f"{name}.{form}")
        if "weights" in forms:
            (folder / f"{name}.json").write_text(model.to_json())
            model.save_weights(folder / f"{name}.weights.h5")


if __name__ == "__main__":
    write(CASES)
