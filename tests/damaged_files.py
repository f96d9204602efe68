"""Small files of every kind that sources read, and ways to damage them: in their bytes, and in what the bytes mean."""

import io
import json
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
from functools import cache
from pathlib import Path

import h5py
import torch
from safetensors.torch import save
from torch import nn

EXTREMES = (-1, 0, 1, 2**16, 2**31 - 1, 2**31, 2**62)
ODD = (*EXTREMES, None, "", "x", [], {}, True, 1e308, -0.5, [[1]], {"a": 1}, "../../etc/passwd", "__import__('os').system('id')")


class Small(nn.Module):
    """Takes images [N, 1, 8, 8]."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.classify = nn.Linear(64, 3)

    def forward(self, x):
        return self.classify(self.features(x).flatten(1))


def network():
    torch.manual_seed(0)
    return Small().eval()


FACTORY = "from damaged_files import network as build\n"
"""A module whose `build` the weights belong to; `damaged_files` must be importable."""


@cache
def exported():
    """A .pt2 file."""
    file = io.BytesIO()
    torch.export.save(torch.export.export(network(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), file)
    return file.getvalue()


@cache
def safetensors():
    """Weights."""
    return save(network().state_dict())


@cache
def keras(ending):
    """A .keras or .h5 file, made by Keras in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made.{ending}"
        environment = {"KERAS_BACKEND": "torch", "PATH": "/usr/bin:/bin", "HOME": folder, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE_KERAS, path], check=True, env=environment, capture_output=True)
        return path.read_bytes()


MAKE_KERAS = """
import sys, keras
from keras import layers
keras.utils.set_random_seed(0)
x = given = keras.Input((8, 8, 1), name="image")
x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
x = layers.Add(name="sum")([x, layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)])
x = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D(name="pool")(x))
keras.Model(given, x).save(sys.argv[1])
"""


@cache
def script():
    """TorchScript."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch.jit", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 1, 8, 8)), file)
    return file.getvalue()


@cache
def checkpoint():
    """Weights as torch saves them."""
    file = io.BytesIO()
    torch.save(network().state_dict(), file)
    return file.getvalue()


def flipped(random, content, places):
    """Some bytes changed."""
    changed = bytearray(content)
    for place in random.choice(places, int(random.integers(1, 9))):
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed)


def head_flipped(random, content):
    return flipped(random, content, min(256, len(content)))


def anywhere_flipped(random, content):
    return flipped(random, content, len(content))


def truncated(random, content):
    return content[: int(random.integers(0, len(content)))]


def swapped(random, content):
    """Two blocks change places."""
    size = int(random.integers(1, max(2, len(content) // 4)))
    one, other = sorted(int(place) for place in random.integers(0, max(1, len(content) - size), 2))
    other = max(other, min(one + size, len(content) - size))
    return content[:one] + content[other : other + size] + content[one + size : other] + content[one : one + size] + content[other + size :]


def overwritten(random, content):
    """A number of four or eight bytes becomes an extreme one."""
    extreme = int(random.choice(EXTREMES))
    number = struct.pack("<q", extreme)[: int(random.choice((4, 8)))]
    place = int(random.integers(0, max(1, len(content) - 8)))
    return content[:place] + number + content[place + len(number) :]


def lengthened(random, content):
    """A block is there twice."""
    one, other = sorted(int(place) for place in random.integers(0, len(content), 2))
    return content[:other] + content[one:other] + content[other:]


IN_BYTES = (head_flipped, anywhere_flipped, truncated, swapped, overwritten, lengthened)


def in_json(random, value):
    """One thing in a tree of lists and dictionaries is left out, or replaced by something odd or by another part of the tree."""
    places = list(_places(value))
    if not places:
        return ODD[random.integers(len(ODD))]
    owner, key = places[random.integers(len(places))]
    way = random.integers(4)
    if way == 0:
        del owner[key]
    elif way == 1 and isinstance(owner[key], int) and not isinstance(owner[key], bool):
        owner[key] = int(random.choice(EXTREMES))
    elif way == 2:
        other, name = places[random.integers(len(places))]
        owner[key] = json.loads(json.dumps(other[name])) if other is not owner or name != key else None
    else:
        owner[key] = ODD[random.integers(len(ODD))]
    return value


def _places(value):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(inner)


def in_hdf5(random, content):
    """An attribute's JSON changed, or a tensor given another shape or left out."""
    if random.integers(2):
        return in_hdf5_numbers(random, content)
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        name = picked(random, [name for name, value in opened.attrs.items() if str(value).startswith("{")])
        opened.attrs[name] = in_text(random, opened.attrs[name].encode()).decode("utf-8", "replace").replace("\0", "")
    return file.getvalue()


def in_hdf5_numbers(random, content):
    """A tensor has another shape, which may be beyond all bounds while nothing is stored, or is left out."""
    file, tensors = io.BytesIO(content), []
    with h5py.File(file, "r+") as opened:
        opened.visititems(lambda name, item: tensors.append(name) if isinstance(item, h5py.Dataset) else None)
        name = picked(random, tensors)
        del opened[name]
        shape = picked(random, [None, (2**33,), (1, 2, 3), (), (2**20, 2**12)])
        if shape is not None:
            opened.create_dataset(name, shape, "f4", chunks=(1024,) * len(shape) if max(shape, default=0) >= 2**20 else None)
    return file.getvalue()


def in_archive(random, content):
    """One entry of a zip archive is damaged, its check sum put right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name, inner in entries.items() if inner]
    if any(name.endswith(".h5") for name in names) and random.integers(3) == 0:
        entries["model.weights.h5"] = in_hdf5_numbers(random, entries["model.weights.h5"])
        return archived(entries)
    programs = [name for name in names if name.endswith(".json")]
    name = str(random.choice(programs if programs and random.integers(3) else names))
    if random.integers(12) == 0:
        del entries[name]
    else:
        entries[name] = in_text(random, entries[name]) if name.endswith(".json") else _in_bytes(random, entries[name])
    return archived(entries)


def archived(entries, compression=zipfile.ZIP_STORED):
    """A zip archive's bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, inner in entries.items():
            archive.writestr(name, inner)
    return file.getvalue()


def in_text(random, content):
    """JSON with one thing changed, or no JSON any more."""
    return _in_bytes(random, content) if random.integers(8) == 0 else json.dumps(in_json(random, json.loads(content))).encode()


def _in_bytes(random, content):
    return IN_BYTES[random.integers(len(IN_BYTES))](random, content)


def in_safetensors(random, content):
    """The header changed, its length put right."""
    size = struct.unpack("<Q", content[:8])[0]
    header = in_text(random, content[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def picked(random, values):
    return values[random.integers(len(values))]


def extreme(random):
    return int(random.choice(EXTREMES))
