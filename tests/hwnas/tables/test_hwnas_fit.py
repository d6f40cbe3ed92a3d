"""`hwnas fit`: a latency table from whole-network latencies alone."""

import csv
import dataclasses
import gzip
import zlib

import numpy as np
import pytest

from hwnas import HwnasError
from hwnas._costs._space_costs import SpaceCosts
from hwnas._tables._build import require_coverage
from hwnas._tables._fit import UNSEEN, fit_table, written_price
from hwnas._tables._fit_networks import FIXED_PART, choice_op, describe
from hwnas.evaluators import BenchmarkTable
from hwnas.spaces import make_space
from latency_tables import SESSION, UnmeasuredOpError, agreement, dump_table, load_table, noise_floor, save_table

SPACES = {
    "nasbench201": make_space("nasbench201", image_size=8, cells=2, classes=4),
    "mobilenetv3": make_space("mobilenetv3", preset="tiny", resolution=[8, 16], width=[0.5], image_channels=1),
}
spaces = pytest.mark.parametrize("name", SPACES)
CELLS = SPACES["nasbench201"]
EDGE_MS = {"none": 0.1, "skip_connect": 0.02, "nor_conv_1x1": 0.7, "nor_conv_3x3": 1.5, "avg_pool_3x3": 0.6}
WRITTEN_TEXT = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"


def device_ms(space, archs):
    """A device whose ops cost what they do, each off by up to a fifth in a way of its own."""
    networks = describe(space, archs)
    prices = networks.work.sum(axis=1) @ [2e-7, 1e-6, 2e-3]
    own = [0.8 + 0.4 * (zlib.crc32(op.key.encode()) % 1000) / 1000 for op in networks.ops]
    return 0.05 + networks.counts @ (prices * own)


def written_ms(arch):
    """A device that executes every edge of a cell, dead or not."""
    return 2.0 + sum(EDGE_MS[operation] for operation in arch.values)


def draw_texts(count, seed=0):
    """Cells as anybody may write them, connected ones."""
    rng = np.random.default_rng(seed)
    texts = []
    while len(texts) < count:
        text = WRITTEN_TEXT.format(*rng.choice(list(EDGE_MS), 6))
        if CELLS.valid_codes(CELLS.encode(CELLS.parse(text))[None])[0]:
            texts.append(text)
    return texts


def write(path, texts, latencies, column="board_ms", archs="arch"):
    rows = [(archs, column), *zip(texts, latencies, strict=True)]
    text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def fit(space, path, **options):
    return fit_table(space, path, **{"latency_column": "board_ms", "device": "board", **options})


@pytest.fixture
def cells(tmp_path):
    """Fourteen cells on a device that executes what is written, two of them isomorphic and written the same way."""
    texts = draw_texts(14)
    return write(tmp_path / "cells.csv", texts, [round(written_ms(CELLS.parse(text)), 6) for text in texts])


@spaces
def test_a_few_networks_price_a_whole_space(name, tmp_path):
    space = SPACES[name]
    archs = list(dict.fromkeys(space.sample(160, np.random.default_rng(1))))
    texts, latency = [space.format(arch) for arch in archs], device_ms(space, archs)
    errors = []
    for samples in (12, 100):
        path = write(tmp_path / f"{samples}.csv", texts[:samples], latency[:samples])
        table = fit(space, path)
        predicted = np.array([table.price(space.graph(arch)).value_ms for arch in archs[100:]])
        errors.append(agreement(predicted, latency[100:]))
    assert errors[0].mape < 0.15
    assert errors[0].spearman > 0.9
    assert errors[1].mape < 0.04
    require_coverage(table, space)
    save_table(table, tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == table
    codes = np.array([space.encode(arch) for arch in archs[100:]])
    assert SpaceCosts(space, table).latency_ms(codes) == pytest.approx(predicted)
    assert table.identity == {
        "device": "board",
        "protocol": "whole-network-fit-v1",
        "batch": 1,
        "source": "100.csv",
        "column": "board_ms",
    }


def test_dead_branches_that_ran_are_priced_where_they_are_written(cells):
    table = fit(CELLS, cells)
    assert table.settings["dead_code"] == "executed"
    assert any("dead branches" in note for note in table.notes)
    texts = draw_texts(100, seed=1)
    archs = [CELLS.parse(text) for text in texts]
    predicted = np.array([written_price(table, CELLS, arch).value_ms for arch in archs])
    assert np.abs(predicted / [written_ms(arch) for arch in archs] - 1).max() < 0.05
    live = np.array([table.price(CELLS.graph(arch)).value_ms for arch in archs])
    dead = np.array([arch.values.count("none") for arch in archs]) >= 1
    assert np.median(live[dead] / predicted[dead]) < 0.99
    assert table.entries[choice_op("nor_conv_3x3")].q10_ms > table.entries[choice_op("nor_conv_1x1")].q10_ms > 0
    assert table.entries[FIXED_PART].priced


def test_dead_branches_that_did_not_run_are_not_priced(tmp_path):
    texts = draw_texts(30)
    latency = device_ms(CELLS, [CELLS.parse(text) for text in texts])
    table = fit(CELLS, write(tmp_path / "live.csv", texts, latency))
    assert table.settings["dead_code"] == "removed"
    assert choice_op("none") not in table.entries
    archs = [CELLS.parse(text) for text in draw_texts(50, seed=1)]
    predicted = np.array([written_price(table, CELLS, arch).value_ms for arch in archs])
    assert np.abs(predicted / device_ms(CELLS, archs) - 1).mean() < 0.05
    forced = fit(CELLS, tmp_path / "live.csv", dead_code="executed")
    assert forced.settings["dead_code"] == "executed"
    assert np.abs(np.log(forced.correction.apply([n.unfitted_ms for n in forced.networks]) / latency)).mean() > 0.05


def test_texts_without_dead_branches_say_nothing_of_dead_code(tmp_path):
    archs = CELLS.sample(15, np.random.default_rng(0))
    path = write(tmp_path / "live.csv", map(CELLS.format, archs), device_ms(CELLS, archs))
    assert fit(CELLS, path).settings["dead_code"] == "not in the samples"


def test_another_spaces_table_gives_no_written_price(cells, tmp_path):
    space = SPACES["mobilenetv3"]
    with pytest.raises(UnmeasuredOpError):
        written_price(fit(CELLS, cells), space, space.sample(1, np.random.default_rng(0))[0])


def test_ops_in_no_sample_are_priced_and_flagged(tmp_path):
    space = SPACES["mobilenetv3"]
    kernels = [i for i, choice in enumerate(space.choices) if choice.name.endswith("kernel")]
    codes = np.array([space.encode(arch) for arch in space.sample(30, np.random.default_rng(0))])
    codes[:, kernels] = 0
    small = [space.decode(row) for row in codes]
    path = write(tmp_path / "small.csv", map(space.format, small), device_ms(space, small))
    table = fit(space, path)
    unseen = [entry for entry in table.entries.values() if entry.status != "ok"]
    seen = {op for arch in small for op in space.graph(arch).op_counts}
    assert {entry.op for entry in unseen} == set(space.ops()) - seen
    assert {entry.reason for entry in unseen} == {UNSEEN}
    assert all(entry.q10_ms > 0 and entry.priced and entry.samples == 0 for entry in unseen)
    assert all(entry.low_ms <= entry.q10_ms <= entry.high_ms for entry in table.entries.values())
    assert any(f"{len(unseen)} of {len(space.ops())} ops are in no sample" in note for note in table.notes)
    large = [arch for arch in space.sample(200, np.random.default_rng(1)) if 7 in arch.values]
    predicted = np.array([table.price(space.graph(arch)).value_ms for arch in large])
    assert np.median(np.abs(predicted / device_ms(space, large) - 1)) < 0.25


def test_isomorphic_twins_give_the_noise_floor_and_the_repeats(tmp_path):
    texts = draw_texts(12)
    swapped = WRITTEN_TEXT.format(*["skip_connect", "nor_conv_1x1", "none", "none", "nor_conv_3x3", "avg_pool_3x3"])
    twin = WRITTEN_TEXT.format(*["nor_conv_1x1", "skip_connect", "none", "none", "avg_pool_3x3", "nor_conv_3x3"])
    assert CELLS.format(CELLS.parse(swapped)) == CELLS.format(CELLS.parse(twin))
    latency = [written_ms(CELLS.parse(text)) for text in [*texts, swapped, twin]]
    latency[-1] *= 1.04
    table = fit(CELLS, write(tmp_path / "twins.csv", [*texts, swapped, twin], latency))
    floor = noise_floor([1.0], [1.04])
    assert table.notes[1] == (
        f"noise floor median {floor.median:.2%}, p90 {floor.p90:.2%} between 1 pairs of isomorphic networks"
    )
    by_text = {network.arch: network for network in table.networks}
    assert by_text[swapped].repeat_ms == by_text[twin].measured_ms
    assert by_text[twin].repeat_ms == by_text[swapped].measured_ms
    assert by_text[texts[0]].repeat_ms == by_text[texts[0]].measured_ms
    alone = fit(CELLS, write(tmp_path / "alone.csv", texts, latency[:12]))
    assert "unavailable" in alone.notes[1]


def test_the_samples_are_predicted_by_fits_that_have_not_seen_them(cells, tmp_path):
    table = fit(CELLS, cells)
    bent = [network.measured_ms * (1.3 if i == 3 else 1.0) for i, network in enumerate(table.networks)]
    other = fit(CELLS, write(tmp_path / "bent.csv", [network.arch for network in table.networks], bent))
    assert {network.split for network in table.networks} == {"calibration"}
    assert other.networks[3].unfitted_ms == pytest.approx(table.networks[3].unfitted_ms)
    assert other.networks[4].unfitted_ms != pytest.approx(table.networks[4].unfitted_ms, rel=1e-9)
    assert other.spread > table.spread


def test_intervals_hold_new_networks(tmp_path):
    inside = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        archs = [CELLS.parse(text) for text in draw_texts(60, seed)]
        latency = np.array([written_ms(arch) for arch in archs]) * rng.lognormal(0, 0.05, 60)
        path = write(tmp_path / f"{seed}.csv", draw_texts(12, seed), latency[:12])
        table = fit(CELLS, path, dead_code="executed")
        prices = [written_price(table, CELLS, arch) for arch in archs[12:]]
        inside += [price.low_ms <= ms <= price.high_ms for price, ms in zip(prices, latency[12:], strict=True)]
    assert 0.8 < np.mean(inside) <= 1.0


def test_disconnected_cells_are_skipped_and_counted(cells):
    dead = WRITTEN_TEXT.format(*["none"] * 6)
    cells.write_text(cells.read_text() + f"{dead},1.0\n")
    table = fit(CELLS, cells)
    assert len(table.networks) == 14
    assert "1 rows of disconnected cells skipped" in table.notes


def test_units_and_packed_files_make_no_difference(cells, tmp_path):
    rows = read(cells)
    texts = [row["arch"] for row in rows]
    packed = write(tmp_path / "cells.csv.gz", texts, [float(row["board_ms"]) / 1e3 for row in rows], "board")
    one, two = fit(CELLS, cells), fit(CELLS, packed, unit="s", latency_column="board")
    for op, entry in one.entries.items():
        assert two.entries[op].q10_ms == pytest.approx(entry.q10_ms, rel=1e-6, abs=1e-9)


def test_a_whole_millisecond_clock_is_noted(cells, tmp_path):
    rows = read(cells)
    path = write(tmp_path / "phone.csv", [r["arch"] for r in rows], [round(5 * float(r["board_ms"])) for r in rows])
    table = fit(CELLS, path)
    assert table.settings["quantum_ms"] == 1.0
    assert any("resolution is 1 ms" in note for note in table.notes)
    assert fit(CELLS, cells).settings["quantum_ms"] == 0.0


def test_the_same_samples_and_seed_give_the_same_table(cells):
    one, two = (dataclasses.replace(fit(CELLS, cells, seed=3), created="") for _ in range(2))
    assert dump_table(one) == dump_table(two)
    other = fit(CELLS, cells, seed=4)
    assert other.entries[SESSION].q10_ms == one.entries[SESSION].q10_ms
    assert other.entries[choice_op("none")].high_ms != one.entries[choice_op("none")].high_ms


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: rows, {"latency_column": "other_ms"}, "no column 'other_ms'"),
        (
            lambda rows: [(rows[0][0], "-1"), *rows[1:]],
            {},
            r"row 1: board_ms of \|.* is -1; latencies must be positive",
        ),
        (lambda rows: [*rows[:2], (rows[2][0], "0"), *rows[3:]], {}, "row 3: board_ms of"),
        (lambda rows: [(rows[0][0], "nan"), *rows[1:]], {}, "line 2: column 'board_ms' holds 'nan'"),
        (lambda rows: rows[:9], {}, "9 connected networks; a fit needs 10 or more"),
        (lambda rows: [*rows, ("|conv~0|", "1.0")], {}, r"row 15: .* cannot read '\|conv~0\|'"),
        (lambda rows: [rows[0]] * 12, {}, "all samples are the same network"),
        (lambda rows: rows, {"unit": "h"}, "cannot use unit 'h'"),
        (lambda rows: rows, {"dead_code": "maybe"}, "--dead-code must be one of .*, got 'maybe'"),
        (lambda rows: rows, {"batch": 0}, "--batch must be 1 to .*, got 0"),
    ],
)
def test_what_cannot_be_used_is_one_line(cells, change, options, message):
    rows = [(row["arch"], row["board_ms"]) for row in read(cells)]
    write(cells, *zip(*change(rows), strict=True))
    with pytest.raises(HwnasError, match=message) as caught:
        fit(CELLS, cells, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_column_of_architectures_is_one_line(cells, tmp_path):
    with pytest.raises(HwnasError, match="no such file"):
        fit(CELLS, tmp_path / "absent.csv")
    with pytest.raises(HwnasError, match="no column 'arch'"):
        fit(CELLS, write(tmp_path / "names.csv", ["a"], [1.0], archs="network"))


@pytest.mark.parametrize("column", ["titanxp_1_latency_ms", "samsung_a50_latency_ms", "eyeriss_latency_ms"])
def test_ten_rows_of_a_benchmark_predict_the_others(benchmark_file, tmp_path, column):
    space, benchmark = make_space("nasbench201"), BenchmarkTable.load(benchmark_file)
    latency = benchmark.column(column)
    found = []
    for seed in range(2):
        rows = np.random.default_rng(seed).permutation(len(latency))[:400].tolist()
        valid = [row for row in rows if space.valid_codes(space.encode(space.parse(benchmark.archs[row]))[None])[0]]
        few, rest = valid[:10], valid[10:]
        path = write(tmp_path / "ten.csv", [benchmark.archs[row] for row in few], latency[few], column)
        table = fit_table(space, path, latency_column=column, device="phone")
        predicted = [written_price(table, space, space.parse(benchmark.archs[row])).value_ms for row in rest]
        found.append(agreement(predicted, latency[rest]).spearman)
    assert np.mean(found) > 0.9
