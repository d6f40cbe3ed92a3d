"""`BenchmarkTable`: reading published numbers, and one-line refusals."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from hwnas._errors import EvaluatorError
from hwnas.evaluators import BenchmarkTable

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nasbench201.csv.gz"


def write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_columns_and_values(tmp_path: Path, name: str) -> None:
    table = BenchmarkTable.load(write(tmp_path / name, "acc,arch,ms\n90.5,a|b,1\n\n80, c ,2.5\n"))
    assert table.archs == ["a|b", "c"]
    assert table.columns == ["acc", "ms"]
    assert len(table) == 2
    np.testing.assert_array_equal(table.column("acc"), [90.5, 80.0])
    np.testing.assert_array_equal(table.column("ms"), [1.0, 2.5])
    assert table.column("ms").dtype == np.float64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "table {path}: no column 'arch' in its first line"),
        ("", "table {path}: no column 'arch' in its first line"),
        ("arch,b\n", "table {path}: no rows"),
        ("arch,b,b\nx,1,2\n", "table {path}: two columns are called 'b'; rename one"),
        ("arch,b\nx,1\ny\n", "table {path}, line 3: 1 cells, the header has 2; is the file cut off?"),
        ('arch,b\n"x,1\n', "table {path}, line 2: unexpected end of data; it is not a readable CSV file"),
    ],
)
def test_no_table(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(EvaluatorError, match="^" + re.escape(message.format(path=path)) + "$"):
        BenchmarkTable.load(path)


@pytest.mark.parametrize("cell", ["abc", "", "nan", "inf"])
def test_cell_is_no_number(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path / "t.csv", f"arch,b\nx,1\ny,{cell}\n")
    message = f"table {path}, line 3: column 'b' holds {cell!r}, not a number"
    with pytest.raises(EvaluatorError, match="^" + re.escape(message) + "$"):
        BenchmarkTable.load(path).column("b")


@pytest.mark.parametrize("name", ["c", "arch"])
def test_unknown_column(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "t.csv", "arch,b,d\nx,1,2\n")
    message = f"table {path}: no column {name!r} of numbers; it has b, d"
    with pytest.raises(EvaluatorError, match="^" + re.escape(message) + "$"):
        BenchmarkTable.load(path).column(name)


def test_missing_damaged_and_binary_files(tmp_path: Path) -> None:
    whole = gzip.compress(b"arch,b\n" + b"".join(b"x%d,%d\n" % (i, i) for i in range(1000)))
    cases = {
        "missing.csv": (None, "no such file"),
        "cut.csv.gz": (whole[: len(whole) // 2], "it is not a valid gzip file; copy it again"),
        "plain.csv.gz": (b"arch,b\nx,1\n", "it is not a valid gzip file; copy it again"),
        "flipped.csv.gz": (
            whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
            "it is not a valid gzip file; copy it again",
        ),
        "binary.csv": (b"\xff\xfe\x00", "not a text file; a table is a .csv or .csv.gz file"),
    }
    for name, (data, reason) in cases.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(EvaluatorError, match="^" + re.escape(f"table {path}: {reason}") + "$"):
            BenchmarkTable.load(path)
    with pytest.raises(
        EvaluatorError, match="^" + re.escape(f"table {tmp_path}: cannot be read (it is a folder, not a file)") + "$"
    ):
        BenchmarkTable.load(tmp_path)


@pytest.mark.skipif(not REAL.is_file(), reason="the published NAS-Bench-201 numbers are not beside the checkout")
def test_real_table() -> None:
    table = BenchmarkTable.load(REAL)
    assert len(table) == len(set(table.archs)) == 15625
    assert table.column("cifar10_test_acc").max() == pytest.approx(94.37, abs=0.01)
