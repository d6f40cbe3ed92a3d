"""Mutated data files are refused with one line or give images; never a traceback, never more memory or time.

``HWNAS_FUZZ_EXAMPLES=10000`` makes it the long version.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import shutil
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_data_cifar import binary, python2, python3

from hwnas._errors import DataError, EvaluatorError
from hwnas.data import ImageData, load_data
from hwnas.evaluators._benchmark import BenchmarkTable

EXAMPLES = int(os.environ.get("HWNAS_FUZZ_EXAMPLES", "200"))
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)
MOST_BYTES, MOST_SECONDS = 40 * 2**20, 10
TEXTS = [
    b"\x00",
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\x80",
    b"(" * 40,
    b"9" * 50,
    b"\n",
    b"(lp0\n",
    b"\x94",
    b"R",
    b"b",
    b".",
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, put in or exchanged; sometimes a file cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # half of the changes hit the first bytes, where headers are
        a = rng.randrange(min(len(found), 200) + 1 if rng.random() < 0.5 else len(found) + 1)
        b = min(len(found), a + rng.choice([0, 1, 2, 4, 40]))
        new = rng.choice([b"", bytes([rng.randrange(256)]), rng.randbytes(4), bytes(found[a:b]) * 2, rng.choice(TEXTS)])
        found[a:b] = new
    if rng.random() < 0.1:
        del found[rng.randrange(len(found) + 1) :]
    return bytes(found)


def checked(read: Callable[[], object], *errors: type[Exception]) -> object:
    """What is read, or None where it is refused in one line."""
    start, text, found = time.perf_counter(), "one line", None
    tracemalloc.start()
    try:
        found = read()
    except errors as error:
        text = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES
    assert time.perf_counter() - start < MOST_SECONDS
    assert len(text.splitlines()) == 1
    assert len(text.encode()) < 1500
    return found


def loads(spec: Path) -> None:
    data = checked(lambda: load_data(str(spec), image_size=8, limit=60), DataError)
    if data is not None:
        assert isinstance(data, ImageData)
        for part in (data.train, data.validation, data.test):
            assert part.images.dtype == np.uint8
            assert part.images.shape[2:] == (8, 8)
            assert len(part.images) == len(part.labels) > 0
            assert 0 <= part.labels.min() <= part.labels.max() < len(data.classes)


def pictures() -> dict[str, bytes]:
    """A file of each format and of the odder modes."""
    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    image, found = Image.fromarray(pixels), {}
    frames = {"save_all": True, "append_images": [Image.new("RGB", (12, 9), (9, 9, 9))]}
    for name, (made, form, how) in {
        "a.bmp": (image, "BMP", {}),
        "b.gif": (image, "GIF", frames),
        "c.jpg": (
            image,
            "JPEG",
            {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"},
        ),
        "d.png": (image.quantize(16), "PNG", {"transparency": 3}),
        "e.ppm": (image, "PPM", {}),
        "f.tiff": (image, "TIFF", {"compression": "tiff_lzw", **frames}),
        "g.webp": (image, "WEBP", {"lossless": True}),
        "h.png": (image.convert("RGBA"), "PNG", {}),
        "i.tif": (image.convert("CMYK"), "TIFF", {"compression": "tiff_deflate"}),
        "j.jfif": (image.convert("L"), "JPEG", {"progressive": True}),
    }.items():
        file = io.BytesIO()
        made.save(file, form, **how)
        found[name] = file.getvalue()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    root, files = tmp_path_factory.mktemp("fuzz"), pictures()
    for name in ("a", "b"):
        (root / name).mkdir()
        for file in list(files)[: 10 if name == "a" else 4]:
            (root / name / file).write_bytes(files[file])
    return root, files


@quick
@given(seeds)
def test_mutated_pictures(folder: tuple[Path, dict[str, bytes]], seed: int) -> None:
    root, files = folder
    rng = random.Random(seed)
    name = rng.choice(list(files))
    path = root / "a" / name
    try:
        path.write_bytes(mutated(files[rng.choice([name, rng.choice(list(files))])], rng))
        loads(root)
    finally:
        path.write_bytes(files[name])


@quick
@given(seeds)
def test_odd_trees_of_folders(tmp_path: Path, seed: int) -> None:
    root, rng = tmp_path / "tree", random.Random(seed)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    names = [
        b"train",
        b"test",
        b"val",
        b"valid",
        b"a",
        b"b",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"\xff",
        b"x\n",
        b".h",
        b"Train",
    ]
    places = [root]
    for _ in range(rng.randint(1, 14)):
        place = rng.choice(places) / os.fsdecode(rng.choice(names))
        if not os.path.lexists(place):
            place.mkdir()
        if place.is_dir():
            places.append(place)
    for place in places:
        for i in range(rng.choice([0, 0, 3, 5])):
            stem = rng.choice([b"%d.png", b"%d.PNG", b"%d.avif", b"%d", b"\xe9%d.png", b".%d.png"]) % i
            path = place / os.fsdecode(stem)
            if os.path.lexists(path):
                continue
            if rng.random() < 0.03:
                os.mkfifo(path)
            elif rng.random() < 0.03:
                path.symlink_to(rng.choice([".", "..", "nowhere", "/dev/zero", path.name]))
            else:
                path.write_bytes(PICTURE)
    loads(root)


PICTURE = pictures()["a.bmp"]


def rebuilt(data: bytes, rng: random.Random) -> bytes:
    """An archive with one member changed inside, so that its checksum holds, or its list of contents changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name in rng.sample(list(members), rng.randint(1, 2)):
        members[name] = mutated(members[name], rng)
        if rng.random() < 0.3:
            dims = ", ".join(str(rng.choice([0, 1, 3, 20, 2**31, 2**62, 10**30])) for _ in range(rng.randint(0, 5)))
            kind = rng.choice(["|u1", "<f4", ">f8", "<f2", "|O", "<i8", "|b1", "<c8", "<U3"])
            order = rng.choice(["True", "False"])
            head = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({dims},), }}".encode()
            members[name] = (
                b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + rng.randbytes(rng.choice([0, 240]))
            )
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", rng.choice([0, 8, 12, 14])) as file:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in members.items():
            file.writestr(rng.choice([name, name, name, "x_val.npy"]) if "test" in name else name, content)
    found = bytearray(out.getvalue())
    if rng.random() < 0.3:
        mark = rng.choice([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
        place = found.find(mark) + rng.randrange(4, 40)
        found[place : place + 2] = rng.choice([b"\xff\xff", b"\x00\x00", rng.randbytes(2)])
    return bytes(found)


@pytest.fixture(scope="module")
def archives() -> list[bytes]:
    rng, found = np.random.default_rng(0), []
    images = rng.integers(0, 256, (20, 4, 3), dtype=np.uint8)
    labels = np.arange(20) % 2
    for save, values in (
        (np.savez, images),
        (np.savez_compressed, images / 255),
        (np.savez, np.asfortranarray(images)),
    ):
        file = io.BytesIO()
        save(file, x_train=values, y_train=labels, x_test=values[:4], y_test=labels[:4])
        found.append(file.getvalue())
    return found


@quick
@given(seeds)
def test_mutated_archives(archives: list[bytes], tmp_path: Path, seed: int) -> None:
    rng, path = random.Random(seed), tmp_path / "d.npz"
    data = rng.choice(archives)
    path.write_bytes(rng.choice([mutated, rebuilt])(data, rng))
    loads(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("sets")
    return [binary(root / "binary"), python2(root / "python2"), python3(root / "python3"), python3(root / "python5", 5)]


def opcodes(data: bytes, rng: random.Random) -> bytes:
    """Opcodes put in among those of a pickle."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        a = rng.randrange(min(len(found), 400))
        code = bytes([rng.choice(list(OPCODES))])
        found[a:a] = (code + rng.randbytes(rng.choice([0, 1, 4]))) * rng.choice([1, 1, 1, 300])
    return bytes(found)


OPCODES = b"".join(
    getattr(pickle, name) for name in dir(pickle) if name.isupper() and isinstance(getattr(pickle, name), bytes)
)


@quick
@given(seeds)
def test_mutated_cifar(sets: list[Path], seed: int) -> None:
    rng = random.Random(seed)
    path = rng.choice(sorted(rng.choice(sets).iterdir()))
    whole = path.read_bytes()
    try:
        path.write_bytes(rng.choice([mutated, opcodes])(whole, rng))
        loads(path.parent)
    finally:
        path.write_bytes(whole)


@quick
@given(seeds)
def test_mutated_tables_of_benchmarks(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    text = b"arch,acc,ms\n" + b"".join(b"|a~%d|,%d.5,0.%d\n" % (i, i, i) for i in range(30))
    path = tmp_path / rng.choice(["a.csv", "a.csv.gz"])
    content = mutated(text, rng) if rng.random() < 0.5 else text
    if path.suffix == ".gz":
        content = gzip.compress(content)
        if rng.random() < 0.5:
            content = mutated(content, rng)
        if rng.random() < 0.2:
            content += gzip.compress(zlib.compress(content) * 10)
    path.write_bytes(content)
    table = checked(lambda: BenchmarkTable.load(path), EvaluatorError)
    if isinstance(table, BenchmarkTable) and "acc" in table.columns:
        checked(lambda: table.column("acc"), EvaluatorError)
