import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables import (
    INPUT,
    SESSION,
    Entry,
    GraphBuilder,
    IdentityMismatchError,
    LatencyTable,
    NetworkMeasurement,
    Op,
    TableFormatError,
    UnmeasuredOpError,
    agreement,
    dump_table,
    load_table,
    noise_floor,
    parse_table,
    save_table,
)
from latency_tables._validation import conformal_spread, shrunk_scale
from profilers import ops

SHAPE = (8, 4, 4)
CONV, RELU = ops.conv(SHAPE, 8, 3), ops.activation(SHAPE, "relu")


def entry(op, ms, status="ok", reason=""):
    return Entry(op, status, ms, ms, ms, 0.9 * ms, 1.1 * ms, 20, "converged", reason)


def make_table(**changes):
    entries = {op: entry(op, ms) for op, ms in ((SESSION, 0.002), (CONV, 0.05), (RELU, 0.01))}
    networks = [
        NetworkMeasurement(f"net{i}", "calibration" if i < 10 else "held-out", 1.0 + i, 1.1 * (1 + i), 1.111 * (1 + i))
        for i in range(30)
    ]
    table = LatencyTable(
        identity={"device": "cpu", "cpu": "Some CPU", "threads": 1, "isa": ["avx2"]},
        environment={"governor": "performance", "kernel": "6.1"},
        settings={"min_rounds": 20},
        space={"name": "mobilenetv3", "settings": {"preset": "tiny"}},
        entries=entries,
        networks=tuple(networks),
        created="2026-01-01T00:00:00+00:00",
    )
    return dataclasses.replace(table, **changes)


def graph(*kinds):
    builder, x = GraphBuilder(SHAPE), INPUT
    for i, op in enumerate(kinds):
        x = builder.add(f"n{i}", op, x)
    return builder.build(x)


def test_a_graph_costs_the_session_and_the_sum_of_its_live_ops():
    table = make_table(networks=())
    builder = GraphBuilder(SHAPE)
    x = builder.add("a", CONV, INPUT)
    builder.add("dead", CONV, x)
    x = builder.add("b", RELU, x)
    assert table.price(builder.build(x)).value_ms == pytest.approx(0.062)


def test_calibration_networks_set_the_scale_and_the_interval_and_held_out_ones_do_not():
    table = make_table()
    assert table.scale == pytest.approx(1.1 ** (10 / 12))
    price = table.price(graph(CONV))
    assert price.value_ms == pytest.approx(0.052 * table.scale)
    assert price.high_ms / price.value_ms == pytest.approx(1.1 ** (2 / 11))  # each left out: 9 / (9 + 2)
    assert make_table(networks=()).price(graph(CONV)).low_ms is None
    other = [dataclasses.replace(n, measured_ms=9.0) if n.split == "held-out" else n for n in table.networks]
    assert dataclasses.replace(table, networks=tuple(other)).scale == table.scale


def test_the_report_of_held_out_networks():
    report = make_table().validation
    assert (report.networks, report.calibration_networks) == (20, 10)
    assert report.additive.mape == pytest.approx(1 - 1 / 1.1)
    assert report.additive.within_5 == 0.0
    assert report.additive.within_10 == 1.0
    assert report.additive.spearman == pytest.approx(1.0)
    assert report.noise_floor.median == pytest.approx(0.011 / 1.1055)
    assert report.calibrated.mape < report.additive.mape
    assert report.interval_coverage == 1.0


@given(st.lists(st.sampled_from([CONV, RELU, ops.conv(SHAPE, 8, 5), ops.conv(SHAPE, 8, 1)]), min_size=1, max_size=6))
def test_no_silent_miss(kinds):
    table = make_table()
    missing = {op.key for op in kinds if op not in table.entries}
    if not missing:
        assert table.price(graph(*kinds)).value_ms > 0
        return
    with pytest.raises(UnmeasuredOpError) as caught:
        table.price(graph(*kinds))
    assert set(caught.value.keys) == missing
    assert all(key in str(caught.value) for key in missing)


@pytest.mark.parametrize("status", ["unsupported", "timeout"])
def test_an_op_without_a_price_is_a_miss_with_its_reason(status):
    table = make_table(entries={SESSION: entry(SESSION, 0.1), CONV: entry(CONV, 0.0, status, "no kernel")})
    with pytest.raises(UnmeasuredOpError, match=r"conv .*\(no kernel\)"):
        table.price(graph(CONV))
    with pytest.raises(UnmeasuredOpError, match="no kernel"):
        table.additive_ms(CONV)


def test_another_device_is_refused_with_the_fact_that_differs():
    table = make_table()
    table.require_identity(dict(table.identity))
    with pytest.raises(IdentityMismatchError) as caught:
        table.require_identity({**table.identity, "threads": 2, "isa": []})
    assert str(caught.value) == (
        "the latency table was measured with threads 1, here it is 2; measure a table of your own with `hwnas profile`"
    )
    with pytest.raises(IdentityMismatchError, match="with provider unknown, here it is CUDA"):
        table.require_identity({**table.identity, "provider": "CUDA"})


def test_volatile_facts_only_warn():
    lines = make_table().environment_changes({"governor": "powersave", "kernel": "6.1"})
    assert len(lines) == 1
    assert lines[0].startswith("governor was performance when the table was measured and is powersave now")


def test_a_saved_table_is_read_back(tmp_path):
    table = make_table()
    path = tmp_path / "table.json"
    save_table(table, path)
    assert load_table(path) == table
    assert dump_table(load_table(path)) == path.read_text()


def test_saving_into_a_missing_folder_leaves_nothing_behind(tmp_path):
    with pytest.raises(FileNotFoundError):
        save_table(make_table(), tmp_path / "no" / "table.json")
    assert list(tmp_path.iterdir()) == []


TEXT = dump_table(make_table())


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.sampled_from(list('0123456789"{}[],.:-ex \n')), st.booleans())
def test_a_mutated_file_is_refused_or_means_the_same(position, character, insert):
    text = TEXT[:position] + character + TEXT[position + (0 if insert else 1) :]
    try:
        read = parse_table(text)
    except TableFormatError:
        return
    assert read == parse_table(TEXT)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TEXT) - 2))
def test_a_truncated_file_is_refused(length):
    with pytest.raises(TableFormatError, match=r"truncated or not JSON|not a latency table"):
        parse_table(TEXT[:length])


def rehashed(change):
    """A table file with a change that its author also put into the content hash."""
    from latency_tables._format import _content_hash

    body = json.loads(TEXT)
    del body["content_hash"]
    change(body)
    return json.dumps({**body, "content_hash": _content_hash(body)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b["entries"][0].update(q10_ms=-1.0), "is not a time"),
        (lambda b: b["entries"][0].update(q10_ms=True), "is not a time"),
        (lambda b: b["entries"][0].update(op="nonsense"), "not an op key"),
        (lambda b: b["entries"][0].update(status="fine"), "unknown status"),
        (lambda b: b["entries"].append(b["entries"][0]), "two rows"),
        (lambda b: b["networks"][0].update(measured_ms=0), "is not a time"),
        (lambda b: b["networks"][0].update(split="train"), "unknown split"),
        (lambda b: b.pop("identity"), "identity"),
        (lambda b: b.update(version=99), "format version 99"),
        (lambda b: b.update(format="other"), "is not a latency table"),
    ],
)
def test_well_hashed_nonsense_is_refused(change, message):
    with pytest.raises(TableFormatError, match=message):
        parse_table(rehashed(change))


def test_agreement_by_hand():
    found = agreement([1.0, 2.16, 2.76], [1.0, 2.0, 3.0])
    assert found.mape == pytest.approx((0 + 0.08 + 0.08) / 3)
    assert (found.within_5, found.within_10) == pytest.approx((1 / 3, 1.0))
    assert found.bias == 0.0
    assert found.spearman == found.kendall == pytest.approx(1.0)
    assert agreement([1.0], [2.0]).spearman == 0.0


def test_noise_floor_is_symmetric():
    assert noise_floor([1.0, 2.0], [1.02, 2.0]) == noise_floor([1.02, 2.0], [1.0, 2.0])
    assert noise_floor([1.0], [1.0]).p90 == 0.0


def test_scale_shrinks_towards_one():
    assert shrunk_scale([], []) == 1.0
    few, many = shrunk_scale([1.0], [2.0]), shrunk_scale([1.0] * 50, [2.0] * 50)
    assert 1.0 < few < many < 2.0


def test_conformal_spread_is_the_right_order_statistic():
    # ratios of 1, but for one: the scale of the others stays 1, so the residuals are the log ratios
    ratios = [1.0] * 18 + [math.exp(0.3), math.exp(0.4)]
    assert conformal_spread([1.0] * 20, ratios) == pytest.approx(0.3)  # the 19th of 20
    assert conformal_spread([1.0] * 5, ratios[-5:]) == pytest.approx(0.4)


def test_op_keys_of_the_file_are_the_ops(tmp_path):
    for record in json.loads(TEXT)["entries"]:
        assert Op.parse(record["op"]) in make_table().entries
