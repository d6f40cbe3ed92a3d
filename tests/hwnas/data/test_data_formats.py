"""What Pillow may be asked to open, and what odd images of the accepted formats become."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas._errors import DataError
from hwnas.data import load_data
from hwnas.data._pixels import decode

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        decode(path, None)
    assert str(caught.value).startswith(f"data {path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"data {path}: ")


def test_postscript_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither through a search path nor through what Pillow has found before."""
    marker, program = tmp_path / "was_run", tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = tmp_path / "a.png"
    path.write_bytes(EPS)
    assert refused(path) == "cannot be read as an image (unknown format or damaged header); repair or remove the file"
    assert not marker.exists()
    with Image.open(path) as image, pytest.raises(OSError, match=r".*"):
        image.load()
    assert marker.exists()  # Pillow alone does start it


def other_formats() -> list[str]:
    Image.init()
    names = {"AVIF", "BLP", "DDS", "ICNS", "ICO", "JPEG2000", "MSP", "PCX", "PDF", "SGI", "TGA", "XBM"}
    return sorted(names & set(Image.SAVE))


@pytest.mark.parametrize("name", other_formats())
def test_formats_outside_the_list_are_one_line(tmp_path: Path, name: str) -> None:
    image = Image.new("1" if name in ("MSP", "XBM") else "P" if name == "BLP" else "RGB", (16, 16))
    file = io.BytesIO()
    try:
        image.save(file, name)
    except (OSError, ValueError):
        pytest.skip(f"this Pillow writes no {name}")
    path = tmp_path / "a.jpg"
    path.write_bytes(file.getvalue())
    assert "unknown format or damaged header" in refused(path)


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    for name, what in (("a.png", "pipe"), ("b.png", "device")):
        assert refused(tmp_path / name) == (
            f"cannot be read as an image (it is a {what}, not a file); repair or remove the file"
        )


def test_modes_have_their_values(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], dtype=np.uint8)
    rgb = Image.fromarray(colours)
    clear = Image.fromarray(np.dstack([colours, np.array([[0, 255], [128, 255]], dtype=np.uint8)]))
    cases = {"rgb.png": rgb, "palette.png": rgb.quantize(4), "alpha.png": clear, "alpha.tif": clear}
    for name, image in cases.items():
        image.save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name, None).pixels, colours, err_msg=name)
        assert decode(tmp_path / name, None).clear == name.startswith("alpha")
    rgb.convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_allclose(decode(tmp_path / "cmyk.tif", None).pixels, colours, atol=2)
    grey = np.array([[0, 100], [200, 255]], dtype=np.uint8)
    for name, image in {"g.png": Image.fromarray(grey), "ga.png": Image.fromarray(grey).convert("LA")}.items():
        image.save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name, None).pixels[..., 0], grey)
    Image.fromarray(grey > 150).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decode(tmp_path / "bits.png", None).pixels[..., 0], [[0, 0], [255, 255]])


def test_modes_without_8_bits_are_one_line(tmp_path: Path) -> None:
    for name, values in {"a.png": np.zeros((4, 4), np.uint16), "b.tif": np.zeros((4, 4), np.float32)}.items():
        Image.fromarray(values).save(tmp_path / name)
        assert refused(tmp_path / name).endswith("; convert the image to 8 bits a channel")


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("RGB", (6, 6), (i, 0, 0)).save(tmp_path / name / f"{i}.png")
    frames = [Image.new("RGB", (6, 6), (200, 90 * i, 0)) for i in range(3)]
    for name in ("a.gif", "a.webp", "a.tif"):
        frames[0].save(tmp_path / "cat" / name, save_all=True, append_images=frames[1:])
    Image.new("RGBA", (6, 6)).save(tmp_path / "dog" / "clear.png")
    frames[0].save(tmp_path / "dog" / "phone.jpg", format="MPO", save_all=True, append_images=frames[1:])
    data = load_data(str(tmp_path))
    assert data.notes == (
        "only the first frame is read of 3 files with several frames",
        "transparency is dropped from 1 file",
    )
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 15


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, packed: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5_000, 9_000, 12_000, 20_000, 2**31 - 1])
def test_images_far_larger_than_their_file_are_not_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(side, side, zlib.compress(bytes(100_000))))
    found = refused(path)
    assert found.startswith("cannot be read as an image (")
    if side < 9_400:
        assert f"{side}x{side} pixels in {path.stat().st_size:,} bytes" in found


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_cut_files_are_one_line(tmp_path: Path, form: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    path, whole = tmp_path / "a.png", file.getvalue()
    path.write_bytes(whole)
    assert decode(path, None).pixels.shape == (32, 32, 3)
    for size in (0, 1, 10, len(whole) // 2):
        path.write_bytes(whole[:size])
        assert refused(path).endswith("; repair or remove the file")
