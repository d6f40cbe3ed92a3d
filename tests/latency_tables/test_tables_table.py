import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables import (
    INPUT,
    SESSION,
    CacheCurve,
    Correction,
    Entry,
    GraphBuilder,
    IdentityMismatchError,
    LatencyTable,
    NetworkMeasurement,
    TableFormatError,
    UnmeasuredOpError,
    agreement,
    dump_table,
    load_table,
    noise_floor,
    parse_table,
    save_table,
)
from latency_tables._correction import fit_correction, predictive_spread
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


def test_some_networks_set_the_correction_and_the_interval_and_held_out_ones_do_not():
    table = make_table()
    assert 0.9 * math.log(1.1055) < table.correction.shift < math.log(1.1055)
    assert table.correction.tilt == pytest.approx(0.0, abs=1e-9)  # a factor explains everything
    earlier = dataclasses.replace(table, version=2)
    assert earlier.correction == table.correction
    price = earlier.price(graph(CONV))
    assert price.value_ms == pytest.approx(0.052 * math.exp(table.correction.shift))
    assert table.price(graph(CONV)).value_ms == price.value_ms
    assert 1.02 < price.high_ms / price.value_ms < 1.03
    assert price.high_ms / price.value_ms == pytest.approx(price.value_ms / price.low_ms)
    assert make_table(networks=()).price(graph(CONV)).low_ms is None
    other = [dataclasses.replace(n, measured_ms=9.0) if n.split == "held-out" else n for n in table.networks]
    assert dataclasses.replace(table, networks=tuple(other)).correction == table.correction


def test_a_working_set_beyond_the_caches_costs_extra():
    curve = CacheCurve(1000, (0.0, 10_000.0, 20_000.0), (0.0, 0.0, 0.1))
    rows = {
        SESSION: entry(SESSION, 0.002),
        CONV: dataclasses.replace(entry(CONV, 0.05), weight_bytes=4000, kernels=1, activation_bytes=1000),
        RELU: dataclasses.replace(entry(RELU, 0.01), kernels=1, activation_bytes=500),
    }
    table = make_table(networks=(), entries=rows, cache=curve)
    assert table.unfitted_graph_ms(graph(CONV)) == pytest.approx(0.052)  # 6000 bytes
    three = graph(CONV, CONV, RELU, CONV)  # 12000 of weights, 4 kernels, the larger activations: 17000 bytes
    costs = table.pricing.part_costs(three)
    assert (costs.touched_bytes, costs.activation_bytes) == (16_000, 1000)
    assert costs.ops_ms == pytest.approx(0.16)
    assert table.unfitted_graph_ms(three) == pytest.approx(0.162 + 0.07)
    assert parse_table(dump_table(table)) == table


def test_a_cache_curve_goes_on_along_its_last_piece():
    curve = CacheCurve(0, (0.0, 10.0, 20.0), (0.0, 1.0, 3.0))
    assert curve.ms([0.0, 5.0, 15.0, 25.0]).tolist() == [0.0, 0.5, 2.0, 4.0]
    for knots, values in (
        ((0.0,), (0.0,)),
        ((0.0, 1.0), (0.0, -1.0)),
        ((0.0, 0.0), (0.0, 1.0)),
        ((1.0, 2.0), (0.0, 1.0)),
    ):
        with pytest.raises(ValueError, match="cache curve"):
            CacheCurve(0, knots, values)


def test_the_report_of_held_out_networks():
    report = make_table().validation
    assert (report.networks, report.correction_networks) == (20, 10)
    assert report.unfitted.mape == pytest.approx(1 - 1 / math.sqrt(1.1 * 1.111))
    assert report.unfitted.within_5 == 0.0
    assert report.unfitted.within_10 == 1.0  # the mean of both measurements is 10.5 % above
    assert report.unfitted.spearman == pytest.approx(1.0)
    assert report.noise_floor.median == pytest.approx(0.011 / 1.1055)
    assert report.predicted.mape < report.unfitted.mape
    assert report.interval_coverage == 1.0


@settings(deadline=None)
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
        table.op_ms(CONV)


def test_another_device_is_refused_with_the_fact_that_differs():
    table = make_table()
    table.require_identity(dict(table.identity))
    with pytest.raises(IdentityMismatchError) as caught:
        table.require_identity({**table.identity, "threads": 2, "isa": []})
    assert str(caught.value) == (
        "the latency table was measured with threads 1, but threads is 2 here; "
        "give --threads 1, or measure a table for it with `hwnas profile`"
    )
    with pytest.raises(IdentityMismatchError, match="with provider unknown, but provider is CUDA here"):
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


def test_ten_thousand_mutations_are_refused_or_mean_the_same():
    rng, original = np.random.default_rng(0), parse_table(TEXT)
    letters = np.frombuffer(TEXT.encode("ascii"), dtype=np.uint8)
    refused = 0
    for _ in range(10_000):
        mutated = letters.copy()
        places = rng.integers(0, len(letters), size=rng.integers(1, 4))
        kind = rng.integers(3)
        if kind == 0:
            mutated[places] = rng.integers(32, 127, size=len(places))
        elif kind == 1:
            mutated = np.delete(mutated, places)
        else:
            mutated = np.insert(mutated, places, rng.choice(letters, size=len(places)))
        try:
            assert parse_table(mutated.tobytes().decode("ascii")) == original
        except TableFormatError:
            refused += 1
    assert refused > 9_000  # most of the text matters


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TEXT) - 2))
def test_a_truncated_file_is_refused(length):
    with pytest.raises(TableFormatError, match=r"truncated or not JSON|not a latency table"):
        parse_table(TEXT[:length])


def rehashed(change):
    """A table file with a change that its author also put into the content hash."""
    from latency_tables import content_hash

    body = json.loads(TEXT)
    del body["content_hash"]
    change(body)
    return json.dumps({**body, "content_hash": content_hash(body)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b["entries"][0].update(q10_ms=-1.0), "is not a time"),
        (lambda b: b["entries"][0].update(q10_ms=True), "is not a time"),
        (lambda b: b["entries"][0].update(op="nonsense"), "not an op key"),
        (lambda b: b["entries"][0].update(status="fine"), "unknown status"),
        (lambda b: b["entries"][0].update(kernels=-1), "is not a count"),
        (lambda b: b.update(cache={"kernel_bytes": 0, "working_bytes": [0, 1], "extra_ms": [0]}), "two or more knots"),
        (lambda b: b["entries"].append(b["entries"][0]), "two rows"),
        (lambda b: b["networks"][0].update(measured_ms=0), "is not a time"),
        (lambda b: b["networks"][0].update(split="train"), "unknown split"),
        (lambda b: b["entries"][0].update(on_one_core=1), "must be true, false or null"),
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


def test_calibration_shrinks_towards_nothing():
    assert fit_correction([], []) == Correction()
    few, many = fit_correction([1.0], [1.2]), fit_correction([1.0] * 50, [1.2] * 50)
    assert 0.0 < few.shift <= many.shift < math.log(1.2) + 1e-12
    rng = np.random.default_rng(0)
    noisy = [fit_correction(np.ones(n), np.exp(0.2 + rng.normal(0, 0.2, n))).shift for n in (2, 200)]
    assert noisy[0] < noisy[1]


@pytest.mark.parametrize("tilt", [0.0, 0.15])
def test_a_tilt_is_fitted_where_it_helps(tilt):
    rng = np.random.default_rng(1)
    predicted = np.geomspace(0.1, 1.0, 10)
    measured = predicted * 1.05 * (predicted / 0.3) ** tilt * np.exp(rng.normal(0, 0.01, 10))
    found = fit_correction(predicted, measured)
    assert found.tilt == pytest.approx(tilt, abs=0.03)
    assert found.apply(0.3) == pytest.approx(0.315, rel=0.015)


def test_one_network_hit_by_a_burst_hardly_moves_the_calibration():
    predicted = np.geomspace(0.1, 1.0, 10)
    measured = 1.05 * predicted
    measured[4] *= 3
    assert fit_correction(predicted, measured).shift == pytest.approx(math.log(1.05), abs=0.012)


def test_many_networks_give_the_right_order_statistic():
    # most ratios are 1: the others' calibration stays near 1, so the residuals are near the log ratios
    ratios = [1.0] * 178 + [math.exp(0.3)] * 12 + [math.exp(0.4)] * 10
    assert predictive_spread([1.0] * 200, ratios) == pytest.approx(0.3, abs=0.02)  # the 181st of 200


def test_interval_networks_widen_the_interval_and_change_no_prediction():
    table = make_table()
    calm = [NetworkMeasurement(f"calm{i}", "interval", 1.0, 1.1, 1.111) for i in range(40)]
    wild = [dataclasses.replace(n, measured_ms=1.1 * (1.2 if i % 2 else 0.8)) for i, n in enumerate(calm)]
    narrow, wide = (dataclasses.replace(table, networks=(*table.networks, *more)) for more in (calm, wild))
    assert narrow.correction == wide.correction == table.correction
    assert narrow.spread < table.spread < wide.spread
    assert narrow.spread < 0.02
    assert (wide.validation.networks, wide.validation.correction_networks) == (20, 10)
    assert wide.validation.interval_networks == 50
    assert parse_table(dump_table(wide)) == wide


def shares_held(error, networks, seed, draws, more=0):
    """Share of networks, in each draw, inside the interval from ten calibration networks and `more` others."""
    rng = np.random.default_rng(seed)
    held, first = [], 10 + more
    for _ in range(draws):
        predicted = rng.uniform(0.1, 1.0, networks)
        measured = predicted * np.exp(rng.normal(0, error, networks))
        fitted = fit_correction(predicted[:10], measured[:10])
        spread = predictive_spread(predicted[:10], measured[:10], (predicted[10:first], measured[10:first]))
        held.append(np.mean(np.abs(np.log(measured[first:] / fitted.apply(predicted[first:]))) <= spread))
    return held


@pytest.mark.parametrize("error", [0.01, 0.04])
def test_seventy_networks_give_intervals_that_hold_nine_of_ten_others_each_time(error):
    held = shares_held(error, networks=270, seed=3, draws=200, more=60)
    assert np.mean(held) == pytest.approx(0.9, abs=0.045)  # what is expected of a table widens those of a better one
    assert np.mean([0.83 < share < 0.97 for share in held]) > 0.9


def test_files_of_the_first_version_are_read_but_know_no_interval_networks():
    def older(body):
        body["version"] = 1
        for row in body["entries"]:
            del row["on_one_core"]

    assert parse_table(rehashed(older)) == make_table(version=2)

    def mixed(body):
        older(body)
        body["networks"][0]["split"] = "interval"

    with pytest.raises(TableFormatError, match="unknown split 'interval'"):
        parse_table(rehashed(mixed))


@pytest.mark.parametrize(("error", "least", "most"), [(0.01, 0.95, 1.0), (0.025, 0.88, 0.94), (0.06, 0.82, 0.92)])
def test_ten_networks_give_intervals_that_hold_about_nine_of_ten_others(error, least, most):
    assert least < np.mean(shares_held(error, networks=60, seed=2, draws=300)) < most


def test_fewer_networks_give_wider_intervals():
    ratios = [1.01, 0.99] * 5
    spreads = [predictive_spread([1.0] * n, ratios[:n]) for n in (1, 2, 6, 10)]
    assert spreads == sorted(spreads, reverse=True)
    assert 0.01 < spreads[-1] < spreads[0] < 0.1


def test_a_table_with_held_out_networks_alone_is_not_judged_by_intervals_that_it_lacks():
    networks = tuple(
        NetworkMeasurement(f"n{i}", "held-out", 1.0 + i, (1.0 + i) * (1 + 0.002 * (-1) ** i), 1.0 + i)
        for i in range(20)
    )
    entry = Entry(SESSION, "ok", 0.1, 0.1, 0.1, 0.1, 0.1, 9, "converged")
    table = LatencyTable({"device": "cpu"}, {}, {}, {"name": "s", "settings": {}}, {SESSION: entry}, networks)
    assert table.interval is None
    text = "\n".join(table.report_lines())
    assert "quality of the table: good" in text
    assert "interval" not in text
    assert "corrected with" not in text


def test_nothing_costs_nothing_whatever_the_correction():
    correction = Correction(0.1, -0.2, 2.0)
    assert correction.apply([0.0, 2.0]).tolist() == pytest.approx([0.0, 2.0 * math.exp(0.1)])
    assert np.isfinite(correction.slope([0.0, 2.0])).all()
    with pytest.raises(ValueError, match="must rise by bytes"):
        CacheCurve(0, (0.0, 5e-324), (0.0, 1.0))
