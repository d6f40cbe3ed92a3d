"""``.npz`` files that lie about what they hold: one line each, and no more memory than the file deserves."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hwnas._errors import DataError
from hwnas.data import load_data

X = np.arange(240, dtype=np.uint8).reshape(20, 3, 4)
Y = np.repeat([0, 1], 10)
BROKEN = "cannot be read (damaged, or Python objects); write it with numpy.savez"


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def declared(text: str, body: bytes = b"") -> bytes:
    """An array with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin-1") + body


def shape(text: str, kind: str = "|u1") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {text}, }}"


def archive(path: Path, how: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in ({"x_train": npy(X), "y_train": npy(Y)} | members).items():
            file.writestr(f"{name}.npy", content)
    return path


def refused(path: Path) -> str:
    """The reason; found quickly, in little memory."""
    start = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        load_data(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**20 + 4 * path.stat().st_size
    assert time.perf_counter() - start < 5
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400 + len(str(path))
    return text.removeprefix(f"data {path}: ")


def test_a_bomb_is_told_by_its_list_of_contents(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("y_train.npy", npy(np.arange(100_000) % 2))
        with file.open("x_train.npy", "w") as member:
            member.write(declared(shape("(100000, 32, 32, 1)")))
            for _ in range(100):
                member.write(bytes(1_024_000))
    assert refused(path) == (
        "its array x_train unpacks to 102,400,082 bytes, more than 100 times the file; write it with numpy.savez, "
        "which does not compress"
    )


@pytest.mark.parametrize(
    "header",
    [
        shape("(1000000000, 3, 4)"),
        shape("(99999999999999999999, 3, 4)"),
        shape(f"({'9' * 5000}, 3, 4)"),
        shape(f"({'1, ' * 3000})"),
        shape("()"),
        shape("(-20, 3, 4)"),
        shape("(20, 3, 4)", kind="|O"),
        shape("(20, 3, 4)", kind="<U9"),
        shape("(20, 3, 4)", kind="|u9"),
        shape("(" * 5000),
        "__import__('os').system('touch x')",
        "",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (20, 3, 4)}",
        "{'descr': '|u1', 'fortran_order': " + "-" * 9000 + "1, 'shape': (20, 3, 4)}",
    ],
)
def test_headers_that_lie(tmp_path: Path, header: str) -> None:
    path = archive(tmp_path / "d.npz", x_train=declared(header, X.tobytes()))
    assert refused(path) == f"its array x_train {BROKEN}"


def test_other_packings_encryption_and_doubles(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    for how, name in ((zipfile.ZIP_LZMA, "lzma"), (zipfile.ZIP_BZIP2, "bzip2")):
        assert refused(archive(path, how)) == f"its array x_train is compressed by {name}; write it with numpy.savez"
    data = bytearray(archive(path).read_bytes())
    for mark, place in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        struct.pack_into("<H", data, data.find(mark) + place, 61)
    path.write_bytes(data)
    assert refused(path) == "its array x_train is compressed by method 61; write it with numpy.savez"
    data = bytearray(archive(path).read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.find(mark) + place] |= 1
    path.write_bytes(data)
    assert refused(path) == "its array x_train is encrypted; write it with numpy.savez"
    archive(path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("x_train.npy", npy(X))
    assert refused(path) == "holds two arrays x_train; write it with numpy.savez"


def test_a_renamed_array_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(npy(X))
    assert refused(path) == "is a single array (.npy), whatever its name says; write it with numpy.savez"
    for content in (b"", b"PK\x05\x06", b"not a zip" * 100, b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        assert refused(path) in (
            "is not a readable .npz file; write it with numpy.savez",
            "the array x_train is missing; it holds no known array",
        )
    with zipfile.ZipFile(path, "w") as file:
        for i in range(60_000):
            file.writestr(f"{i:070d}", b"")
    assert refused(path) == "is not a readable .npz file; write it with numpy.savez"


def test_a_wrong_checksum_is_noticed(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.npz", zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(X.tobytes()) + 17] ^= 4
    path.write_bytes(data)
    assert refused(path) == f"its array x_train {BROKEN}"


def test_labels_beyond_int64(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.npz", y_train=npy(Y.astype(np.uint64) + np.uint64(2**63)))
    assert refused(path) == "y_train holds the label 9223372036854775809; labels must be below 2**63"


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_orders_and_packings_agree(tmp_path: Path, kind: type) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 5, 4, 3), dtype=np.uint8)
    labels = np.arange(70) % 3
    values = images if kind is np.uint8 else (images / np.float32(255)).astype(kind)
    prints = set()
    for save in (np.savez, np.savez_compressed):
        for order in (np.ascontiguousarray, np.asfortranarray, lambda x: np.asfortranarray(x.transpose()).transpose()):
            save(tmp_path / "d.npz", x_train=order(values), y_train=labels, x_val=order(values[:9]), y_val=labels[:9])
            data = load_data(str(tmp_path / "d.npz"))
            np.testing.assert_array_equal(data.validation.images, images[:9].transpose(0, 3, 1, 2))
            prints.add(data.fingerprint)
    assert len(prints) == 1
