"""Files of unknown origin: what is no regular file is not opened, what unpacks without end is refused."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from hwnas._common._bounded import SMALL, UnpackedSizeError, read_unpacked
from hwnas._errors import EvaluatorError
from hwnas.evaluators._benchmark import BenchmarkTable
from latency_tables import NotAFileError, open_regular


def test_plain_and_packed_files(tmp_path: Path) -> None:
    text = b"arch,acc\n" + b"a,1\n" * 10_000
    (tmp_path / "a.csv").write_bytes(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text[:100]) + gzip.compress(text[100:]))
    (tmp_path / "link.csv").symlink_to("a.csv")
    assert {read_unpacked(tmp_path / name) for name in ("a.csv", "a.csv.gz", "link.csv")} == {text}


def test_pipes_devices_and_folders_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, Path("/dev/zero")):
        with pytest.raises(NotAFileError, match=r"it is a (pipe|folder|device), not a file"):
            open_regular(path)
    with pytest.raises(EvaluatorError) as caught:
        BenchmarkTable.load(tmp_path / "pipe.csv")
    assert str(caught.value) == f"table {tmp_path / 'pipe.csv'}: cannot be read (it is a pipe, not a file)"


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"arch,acc\n")
        for _ in range(12):
            file.write(b"0" * (SMALL // 8))
    tracemalloc.start()
    with pytest.raises(UnpackedSizeError):
        read_unpacked(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * SMALL
    with pytest.raises(EvaluatorError) as caught:
        BenchmarkTable.load(path)
    assert str(caught.value) == (
        f"table {path}: unpacks to more than {SMALL:,} bytes, 100 times its size; unpack it yourself if you trust it"
    )
