"""A folder of pictures: decoded only when a batch needs them, divided by class, and a bad picture is named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from compress.data.images import Images
from targets.errors import UserError

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def paint(file, colour, size=(10, 8)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)


@pytest.fixture
def folder(tmp_path):
    """Ten pictures of one colour in each of three classes."""
    for name, colour in COLOURS.items():
        for number in range(10):
            paint(tmp_path / "pictures" / name / f"{number}.png", colour)
    return tmp_path / "pictures"


def test_pictures_arrive_as_float_nchw_with_the_class_of_their_folder(folder):
    data = Images(folder, (4, 6))()
    assert data.labels == ("blue", "green", "red")
    assert (data.training.samples, data.calibration.samples, data.evaluation.samples) == (12, 12, 6)
    (batch,), labels = next(data.evaluation.batches())
    assert batch.shape == (6, 3, 4, 6)
    assert batch.dtype == np.float32
    assert sorted(labels) == [0, 0, 1, 1, 2, 2]
    for picture, label in zip(batch, labels, strict=True):
        expected = np.zeros((3, 4, 6), np.float32)
        expected[2 - label] = 1
        assert np.allclose(picture, expected)


def test_mean_std_scale_and_grey(folder):
    (batch,), _ = next(Images(folder, (2, 2), mean=(0.5,), std=(0.5,))().training.batches())
    assert set(np.unique(batch)) == {-1.0, 1.0}
    (grey,), labels = next(Images(folder, (2, 2), channels=1, scale=1.0)().training.batches())
    assert grey.shape[1:] == (1, 2, 2)
    luma = {0: 29, 1: 150, 2: 76}  # ITU-R BT.601, as Pillow converts
    assert [round(float(picture[0, 0, 0])) for picture in grey] == [luma[label] for label in labels]


def test_crop_keeps_the_middle_and_stretch_keeps_everything(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 255
    for number in range(6):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "a" / f"{number}.png")
    (cropped,), _ = next(Images(tmp_path, (8, 8))().evaluation.batches())
    (stretched,), _ = next(Images(tmp_path, (8, 8), fit="stretch")().evaluation.batches())
    assert cropped.min() == 1
    assert abs(stretched.mean() - 1 / 3) < 0.01


def test_parts_of_their_own_never_mix(tmp_path):
    for part, colour, samples in (("train", (10, 10, 10), 12), ("test", (200, 200, 200), 5), ("calibration", (90, 90, 90), 4)):
        for name in ("cat", "dog"):
            for number in range(samples):
                paint(tmp_path / part / name / f"{number}.jpg", colour)
    data = Images(tmp_path, (2, 2), scale=1.0)()
    for part, value, samples in ((data.training, 10, 24), (data.evaluation, 200, 10), (data.calibration, 90, 8)):
        (batch,), _ = next(part.batches())
        assert len(batch) == samples
        assert np.allclose(batch, value, atol=1)


def test_pictures_are_decoded_when_a_batch_needs_them(folder):
    batches = Images(folder, (4, 4))().evaluation.batches(1)
    next(batches)
    for file in folder.rglob("*.png"):
        file.write_bytes(b"gone bad since")
    with pytest.raises(UserError, match=r"\d\.png: can't be decoded"):
        next(batches)


def test_only_the_batch_in_use_is_in_memory(tmp_path):
    import tracemalloc

    for number in range(60):
        paint(tmp_path / "one" / f"{number}.jpg", (number, 0, 0), (200, 200))
    split = Images(tmp_path, (200, 200))().training
    tracemalloc.start()
    for (batch,), _ in split.batches(2):
        assert batch.nbytes == 2 * 3 * 200 * 200 * 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < split.samples * 3 * 200 * 200 * 4 / 2


def test_the_fingerprint_follows_names_bytes_and_size(folder):
    first = Images(folder, (4, 4))().fingerprint
    assert Images(folder, (4, 4))().fingerprint == first
    assert Images(folder, (4, 5))().fingerprint != first
    paint(folder / "red" / "3.png", (254, 0, 0))
    changed = Images(folder, (4, 4))().fingerprint
    assert changed != first
    (folder / "red" / "3.png").rename(folder / "red" / "z.png")
    assert Images(folder, (4, 4))().fingerprint not in (first, changed)


def test_hidden_and_foreign_files_are_left_out(folder):
    (folder / ".cache").mkdir()
    (folder / "red" / ".hidden.png").write_bytes(b"")
    (folder / "red" / "notes.txt").write_text("not a picture")
    assert Images(folder, (4, 4))().labels == ("blue", "green", "red")


def bomb(width, height):
    """A PNG whose header promises more pixels than it has."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused(folder, side):
    for file in folder.rglob("*.png"):
        file.write_bytes(bomb(side, side))
    with pytest.raises(UserError, match=r"\d\.png: has more than [\d,]+ pixels; make it smaller"):
        next(Images(folder, (4, 4))().training.batches())


def test_truncated_and_deep_pictures_are_named(folder):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for file in folder.rglob("*.png"):
        Image.fromarray(noise).save(file)
        file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"\d\.png: can't be decoded \(.*\); repair or remove it"):
        next(Images(folder, (4, 4))().training.batches())
    for file in folder.rglob("*.png"):
        Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(file)
    with pytest.raises(UserError, match="more than 8 bits a channel"):
        next(Images(folder, (4, 4))().training.batches())


def test_folders_without_classes_or_pictures_are_refused(tmp_path):
    with pytest.raises(UserError, match="folder does not exist"):
        Images(tmp_path / "none", (4, 4))()
    with pytest.raises(UserError, match="holds no folders"):
        Images(tmp_path, (4, 4))()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no pictures"):
        Images(tmp_path, (4, 4))()


def test_parts_with_different_classes_are_refused(tmp_path):
    paint(tmp_path / "train" / "cat" / "1.png", (1, 2, 3))
    paint(tmp_path / "train" / "dog" / "1.png", (1, 2, 3))
    paint(tmp_path / "test" / "cat" / "1.png", (1, 2, 3))
    with pytest.raises(UserError, match="class 'dog' is not in both train and test"):
        Images(tmp_path, (4, 4))()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (0, 4)}, "size: .height, width."),
        ({"size": (4,)}, "size: .height, width."),
        ({"size": (4, 4), "fit": "crp"}, "did you mean 'crop'"),
        ({"size": (4, 4), "channels": 4}, "channels: 1 .grey. or 3"),
        ({"size": (4, 4), "mean": (0.1, 0.2)}, "mean has 2 numbers and the input 3 channels"),
        ({"size": (4, 4), "std": (1, 1, 0)}, "std: numbers above 0"),
        ({"size": (4, 4), "calibration": 0}, "calibration: at least 1"),
    ],
)
def test_impossible_options_die_at_construction(options, words):
    with pytest.raises(UserError, match=words):
        Images("anywhere", **options)
