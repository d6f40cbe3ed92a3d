"""Benchmark files as spreadsheets and scripts write them: separators, decimal commas, units, repeats, spellings."""

import gzip
import os
import tracemalloc

import numpy as np
import pytest

from hwnas._cli import main
from hwnas._errors import EvaluatorError, HwnasError
from hwnas._tables._fit import fit_table
from hwnas.evaluators import BenchmarkTable, TableEvaluator, latency_unit
from hwnas.spaces import make_space
from latency_tables import SESSION

CELLS = make_space("nasbench201", image_size=8, cells=1, classes=4)
CONV = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
SPELLED = "|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
AGAIN = "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
SKIP = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("arch,acc,ms\na,1.5,2\nb,2,0.25\n", "utf-8"),
        ("arch;acc;ms\r\na;1,5;2\r\nb;2;0,25\r\n", "utf-8"),
        ("arch\tacc\tms\na\t1.5\t2\nb\t2\t0,25\n", "utf-8"),
        ('"arch";"acc";"ms"\n"a";"1,5";"2"\n"b";"2";"0,25"\n', "utf-8-sig"),
        ("sep=;\narch;acc;ms\na;1.5;2\nb;2;0.25\n;;\n", "utf-8"),
        ("arch\tacc\tms\na\t1,5\t2\nb\t2\t0,25\n", "utf-16"),
        ("acc;ms;arch\n1,5;2;a\n2;0,25;b\n", "utf-8"),
    ],
)
def test_separators_and_decimal_commas(tmp_path, text, encoding):
    table = BenchmarkTable.load(write(tmp_path / "t.csv", text, encoding))
    assert table.archs == ["a", "b"]
    np.testing.assert_array_equal(table.column("acc"), [1.5, 2.0])
    np.testing.assert_array_equal(table.column("ms"), [2.0, 0.25])


def test_texts_with_commas_are_quoted(tmp_path):
    table = BenchmarkTable.load(write(tmp_path / "t.csv", 'arch,ms\n"depth=2,width=3",1\n'))
    assert table.archs == ["depth=2,width=3"]


@pytest.mark.parametrize("cell", ["1,5", "1_000", "0x10", "1.234,5", "1,2,3", "nan", "inf", "1e999", "--"])
def test_what_is_no_number_is_none(tmp_path, cell):
    separator = "," if cell == "1_000" else ";"
    path = write(tmp_path / "t.csv", f"arch{separator}ms\na{separator}{cell}\n")
    if cell == "1,5":
        assert BenchmarkTable.load(path).column("ms") == [1.5]
        return
    with pytest.raises(EvaluatorError, match="line 2: column 'ms' holds"):
        BenchmarkTable.load(path).column("ms")


@pytest.mark.parametrize(
    ("column", "asked", "unit"),
    [
        ("latency_us", None, "us"),
        ("latency (µs)", None, "us"),
        ("Time [NS]", None, "ns"),
        ("ms", None, "ms"),
        ("s7_latency_ms", None, "ms"),
        ("latency-s", None, "s"),
        ("latency", None, "ms"),
        ("fps", None, "ms"),
        ("latency", "us", "us"),
        ("latency_us", "us", "us"),
    ],
)
def test_units_by_name(column, asked, unit):
    assert latency_unit(column, asked) == unit


def test_a_unit_that_contradicts_the_name_is_refused():
    with pytest.raises(EvaluatorError, match="column 'latency_us' is in us by its name, --unit says ms"):
        latency_unit("latency_us", "ms")


@pytest.mark.parametrize("value", ["-1", "0", "-0.0", "1e-320"])
def test_latencies_are_positive(tmp_path, value):
    table = BenchmarkTable.load(write(tmp_path / "t.csv", f"arch,a_us\nx,1\ny,{value}\n"))
    with pytest.raises(EvaluatorError, match=r"row 2: a_us of y (is|would be)"):
        table.latencies_ms("a_us")


def test_networks_are_found_by_any_spelling_and_their_rows_are_averaged(tmp_path):
    lines = ["arch,acc,ms", f"{SPELLED},0.5,3", f"{AGAIN},0.7,5", f"{SKIP},0.2,1", f"{SKIP},0.4,2", "x,0.1,9"]
    path = write(tmp_path / "t.csv", "\n".join(lines))
    evaluator = TableEvaluator(CELLS, path, column="acc", extra_columns=("ms",))
    found = evaluator.evaluate(CELLS.parse(CONV))
    assert (found.value, found.extra_columns["ms"]) == (pytest.approx(0.6), pytest.approx(4.0))
    assert evaluator.evaluate(CELLS.parse(SKIP)).value == pytest.approx(0.3)
    said = []
    evaluator.prepare(tmp_path, lambda done, total, text: said.append(text))
    assert said == [
        f"table {path}: 2 networks have 2 rows each; their mean is used; 1 rows are not networks of space nasbench201 "
        "and are left out"
    ]


def test_the_canonical_row_speaks_for_its_network(tmp_path):
    path = write(tmp_path / "t.csv", f"arch,acc\n{SPELLED},0.5\n{CELLS.format(CELLS.parse(CONV))},0.7\n")
    assert TableEvaluator(CELLS, path).evaluate(CELLS.parse(SPELLED)).value == 0.7


def test_a_table_of_another_space_is_refused(tmp_path):
    with pytest.raises(EvaluatorError, match="none of its 1 rows is a network of space nasbench201"):
        TableEvaluator(CELLS, write(tmp_path / "t.csv", "arch,acc\nw1.0_r32,0.5\n"))


def test_a_file_that_unpacks_to_far_more_than_text_does_is_refused_in_little_memory(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"arch,acc\n" + b"0" * 2**28))
    tracemalloc.start()
    try:
        with pytest.raises(EvaluatorError, match="unpacks to more than"):
            BenchmarkTable.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


def test_pipes_and_devices_are_no_benchmarks(tmp_path):
    os.mkfifo(tmp_path / "fifo.csv")
    for path in (tmp_path / "fifo.csv", "/dev/zero"):
        with pytest.raises(EvaluatorError, match=r"it is a (pipe|device), not a file"):
            BenchmarkTable.load(path)


def searched(path, out, *more):
    columns = ["--accuracy-column", "acc", "--samples", "2", "--strategy", "random", "--out", str(out)]
    return main(["search", "--space", "nasbench201", "--evaluator", f"table:{path}", *columns, *more])


def test_a_search_refuses_latencies_that_are_not_positive(tmp_path, capsys):
    path = write(tmp_path / "t.csv", f"arch,acc,ms\n{CONV},0.5,3\n{SKIP},0.2,-1\n")
    assert searched(path, tmp_path / "r", "--latency-column", "ms") == 2
    assert f"row 2: ms of {SKIP} is -1; latencies must be positive" in capsys.readouterr().err


def rows(column, factor, texts, values, separator=",", repeats=1):
    lines = [f"arch{separator}{column}"]
    for _ in range(repeats):
        lines += [f"{text}{separator}{value * factor:.9g}" for text, value in zip(texts, values, strict=True)]
    return "\n".join(lines) + "\n"


def test_fits_take_units_separators_and_repeats(tmp_path):
    texts = [CELLS.format(arch) for arch in dict.fromkeys(CELLS.sample(40, np.random.default_rng(0)))][:14]
    values = [1.0 + 0.1 * i for i in range(14)]
    plain = write(tmp_path / "ms.csv", rows("latency_ms", 1.0, texts, values))
    micro = write(tmp_path / "us.csv", rows("latency_us", 1e3, texts, values))
    commas = write(tmp_path / "comma.csv", rows("latency_us", 1e3, texts, values, ";").replace(".", ","))
    thrice = write(tmp_path / "thrice.csv", rows("latency_ms", 1.0, texts, values, repeats=3))
    said = []
    named = {plain: "latency_ms", micro: "latency_us", commas: "latency_us", thrice: "latency_ms"}
    found = [
        fit_table(CELLS, path, latency_column=column, device="x", progress=said.append)
        for path, column in named.items()
    ]
    prices = [table.entries[SESSION].q10_ms for table in found]
    assert prices == pytest.approx([prices[0]] * 4, rel=1e-6, abs=1e-12)
    assert any("latency_us is read in us" in line for line in said)
    assert [len(table.networks) for table in found] == [14] * 4
    assert "14 networks have several rows (42 in all); their mean is used" in found[3].notes
    with pytest.raises(HwnasError, match="--unit says ms"):
        fit_table(CELLS, micro, latency_column="latency_us", device="x", unit="ms")


@pytest.mark.parametrize("seed", ["-1", "1e308", str(2**63), "9" * 400])
@pytest.mark.parametrize(
    "command",
    [
        "fit x.csv --latency-column ms --device x -o t.json",
        "profile",
        "bundle -o b",
        "draw -o d",
        "search",
        "validate t.json",
        "verify t.json",
    ],
)
def test_seeds_are_checked_by_every_command(tmp_path, monkeypatch, capsys, command, seed):
    monkeypatch.chdir(tmp_path)
    try:
        code = main([*command.split(), "--seed", seed])
    except SystemExit as leaving:
        code = leaving.code
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(lines) == 1
    assert "--seed" in lines[0]
    assert len(lines[0]) < 600
    assert not list(tmp_path.iterdir())
