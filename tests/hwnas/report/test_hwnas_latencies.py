"""Tables of latency distributions, with the fields of this version and of earlier ones; estimates of trials."""

import re

import numpy as np
import pytest
from reports import SPACE, make_report, measured
from run_toys import trial_record

from hwnas._report._curves import measured_pairs
from hwnas._report._latencies import estimates_and_measurements, estimates_plot, latencies_section
from hwnas._report._networks import networks_section
from hwnas._report._write import write_report
from hwnas._runs._journal import TrialRecord
from hwnas._runs._run import Run

EARLIER = {"predicted": 1.0, "low": 0.9, "high": 1.1, "measured": 1.2, "measured_half_width": 0.01}
AT_SPEED = {"q10": 1.05, "median": 1.1, "p90": 1.3, "p99": 2.0}
RAW = {name: 1.12 * ms for name, ms in AT_SPEED.items()}
NOW = EARLIER | {"measured": 1.1, "statistic": "median", "at_table_speed": AT_SPEED, "raw": RAW}
NOW |= {"after_pause": 3.25, "slowness": 1.12, "slowness_half_width": 0.008}


def rows(*latencies):
    """The cells of the table, row by row, without markup; the marks are left out."""
    section = latencies_section([{"id": f"t{i}<", "latency_ms": latency} for i, latency in enumerate(latencies)])
    head = re.findall("<th>(.*?)</th>", section)
    body = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr.*?</tr>", section)[1:]]
    return section, head, [[re.sub("<svg.*</svg>", "mark", cell) for cell in row] for row in body]


def test_all_that_a_delivery_measured_is_in_the_table():
    section, head, body = rows(NOW)
    ahead = ["network", "speed", "q10", "median", "p90", "p99", "after a pause", "predicted q10 (90 % interval)"]
    assert head == [*ahead, "distribution"]
    predicted = "1 (0.9 to 1.1, holds)"
    assert body == [
        ["t0&lt;", "at the table's speed", "1.05", "1.1", "1.3", "2", "-", predicted, "mark"],
        ["", "as timed (12 ± 0.9 % slower)", "1.176", "1.232", "1.456", "2.24", "3.25", "-", "mark"],
    ]
    assert "means: as the machine was when the latency table was made. The q10 is divided by the slowness" in section
    assert section.count("<svg") == 2
    assert section.count("class=guess ") == 1


def test_the_marks_share_a_scale_and_keep_the_order():
    section, _, _ = rows(NOW, NOW | {"at_table_speed": {**AT_SPEED, "p99": 8.0}})
    spans = [tuple(map(float, pair)) for pair in re.findall(r"class=span x1=([\d.]+) x2=([\d.]+)", section)]
    middles = [float(x) for x in re.findall(r"class=middle x1=([\d.]+)", section)]
    assert len({span[0] for span in spans}) == 1
    assert spans[2][1] > spans[0][1]
    assert all(0 <= low < middle < high <= 120 for (low, high), middle in zip(spans, middles, strict=True))


def test_networks_of_earlier_versions_have_their_one_value():
    section, head, body = rows(EARLIER)
    assert head == ["network", "speed", "q10", "predicted q10 (90 % interval)"]
    assert body == [["t0&lt;", "as timed", "1.2", "1 (0.9 to 1.1, <b>missed</b>)"]]
    assert "divided by" not in section


@pytest.mark.parametrize(
    "latency",
    [
        {"predicted": 1.0, "low": None, "high": None, "measured": None},
        {**EARLIER, "raw": {"q10": "1"}, "at_table_speed": [1]},
        {**EARLIER, "statistic": "median"},
    ],
)
def test_nothing_is_made_up(latency):
    assert latencies_section([{"id": "t0", "latency_ms": latency}]) == ""


def test_a_prediction_without_interval_and_values_out_of_range():
    _, head, body = rows(
        {**NOW, "low": None, "high": None, "after_pause": 10**400, "slowness": 10**400, "raw": {"p99": 0}}
    )
    assert head == ["network", "speed", "q10", "median", "p90", "p99", "predicted q10 (90 % interval)", "distribution"]
    assert body == [["t0&lt;", "at the table's speed", "1.05", "1.1", "1.3", "2", "1", "mark"]]


def test_plots_compare_predictions_with_q10_at_the_tables_speed():
    pairs = measured_pairs([{"latency_ms": NOW}, {"latency_ms": EARLIER}, {"latency_ms": {**NOW, "predicted": None}}])
    assert pairs.tolist() == [[1.0, 0.9, 1.1, 1.05], [1.0, 0.9, 1.1, 1.2]]


def test_the_table_of_networks_says_which_statistic(tmp_path):
    run, _ = make_report(tmp_path / "run", deliver=lambda entries: measured(entries, statistic="p90"))
    page = networks_section(run, run.pareto())
    assert "<th>measured latency (p90, ms)</th>" in page
    assert "<th>predicted (q10, 90 % interval, ms)</th>" in page
    text = (run.path / "report.html").read_text()
    assert "<h2>Latency of the delivered networks</h2>" in text
    assert (
        "<p>Delivered networks: when they were measured, the machine was 12 % slower than when the table was " in text
    )


def trial(number, estimate, q10):
    facts = {"q10": 2 * q10, "at_table_speed_q10": q10, "at_table_speed_median": 1.1 * q10, "half_width": 0.01}
    estimates = {} if estimate is None else {"latency_ms": estimate}
    return TrialRecord(
        number, (0,), "a", {"accuracy": 0.5}, seconds=1.0, estimates=estimates, measurements={"latency_ms": facts}
    )


def test_estimates_are_read_where_a_trial_has_both():
    records = [trial(0, 1.0, 1.1), trial(1, 2.0, 2.2), trial(2, None, 1.0), trial_record(3)]
    assert estimates_and_measurements(records, "q10").tolist() == [[1.0, 1.1], [2.0, 2.2]]
    assert estimates_and_measurements(records, "median") == pytest.approx(np.array([[1.0, 1.21], [2.0, 2.42]]))
    assert estimates_and_measurements([], "q10").shape == (0, 2)


def test_estimates_are_drawn_from_ten_trials_on():
    pairs = np.array([[ms, 1.05 * ms] for ms in np.linspace(1, 2, 10)])
    assert estimates_plot(pairs[:9], "q10") is None
    assert estimates_plot(pairs, "q10").startswith(b"\x89PNG")


def test_measured_trials_are_called_measured_in_the_report(tmp_path, monkeypatch):
    run, study = make_report(tmp_path / "run", deliver=measured)
    assert "Estimated against measured" not in (run.path / "report.html").read_text()
    records = [trial(t.number, t.values["latency_ms"], t.values["latency_ms"]) for t in study.trials]
    monkeypatch.setattr("hwnas._report._write.read_trials", lambda path, unhashed: records)
    labels = []
    monkeypatch.setattr("hwnas._report._plots.add_legend", lambda axes, shown, **style: labels.extend(shown))
    write_report(Run.open(run.path), study, SPACE)
    page = (run.path / "report.html").read_text()
    assert "<img alt='Estimated against measured latency of the trials'" in page
    assert '"trial_latency":"measured"' in page
    names = [name for _, name in labels]
    assert "front (measured, validation)" in names
    assert "40 trials, off by 9.1 % in the median" in names
