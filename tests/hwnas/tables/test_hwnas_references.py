"""A profile knows its references, and a validation is at the speed of the table's making."""

from dataclasses import replace

import pytest
from run_toys import create_run
from simulated_device import AdditiveBackend

from hwnas._pipeline._reference_tails import resolve_tails
from hwnas._pipeline._setup import SearchTable
from hwnas._runs._settings import SearchSettings
from hwnas._tables._build import build_table
from hwnas._tables._references import machine_of, percent_text, with_reference_tails
from hwnas._tables._validate import show_table, speed_lines, validate_table, validation_record
from hwnas.spaces import make_space
from latency_tables import load_table
from profilers import ReferenceTimer, SamplingSettings

SPACE = make_space("mobilenetv3", preset="tiny", resolution=8, width=0.5)
FEW = SamplingSettings(min_rounds=8, max_rounds=12)


class Tailed(AdditiveBackend):
    """A device on which one sample in eight takes half as long again, and everything `speed` times as long."""

    def __init__(self, speed=1.0, tail=0.125):
        super().__init__(noise=0.002)
        self.speed, self.tail, self.loaded = speed, tail, 0

    def load(self, graph, *, seed=0, tied=(), cold=False):
        runnable = super().load(graph, seed=seed, tied=tied, cold=cold)
        inner = runnable.run
        self.loaded += 1

        def run(repeats):
            return inner(repeats) * self.speed * (1.5 if self.rng.random() < self.tail else 1.0)

        runnable.run = run
        return runnable


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._tables._references.TAIL_ROUNDS", 120)
        return build_table(SPACE, Tailed(), tmp_path_factory.mktemp("t") / "t.json", networks=10, settings=FEW)


def test_a_profile_records_tails_of_single_inferences_and_the_speed_in_small_company(table):
    tails = table.environment["reference_tails"]
    assert tails["q10"] == 1.0
    assert tails["median"] == pytest.approx(1.0, abs=0.01)
    assert tails["p90"] == pytest.approx(1.5, abs=0.02)
    assert tails["p99"] == pytest.approx(1.5, abs=0.02)
    assert table.environment["company"] == pytest.approx(1.0, abs=0.01)
    (line,) = [line for line in show_table(table) if "single inferences" in line]
    assert line.startswith("single inferences right after the profile, relative to q10: median 1.00, p90 1.5")
    assert "the reference networks loaded alone took 1.00 times as long as beside all other loaded" in line
    read = load_table(table.source)
    assert read.environment == table.environment


@pytest.mark.parametrize(
    ("share", "text", "signed"),
    [
        (0.018, "1.8 %", "+1.8 %"),
        (0.12, "12 %", "+12 %"),
        (1.3, "130 %", "+130 %"),
        (0.0996, "10 %", "+10 %"),
        (-0.25, "-25 %", "-25 %"),
        (-1e-6, "0 %", "+0 %"),
    ],
)
def test_shares_have_two_digits(share, text, signed):
    assert (percent_text(share), percent_text(share, signed=True)) == (text, signed)


def test_a_machine_elsewhere_is_called_by_its_address():
    assert [machine_of(device) for device in (None, "cpu", "cuda:1")] == ["this machine"] * 3
    assert machine_of("ssh://pi@board") == "ssh://pi@board"


@pytest.mark.parametrize("busy", [0, 1])
def test_tails_are_those_of_the_calmer_session_wherever_they_are_measured(table, tmp_path, monkeypatch, busy):
    device, inner = Tailed(tail=0.0), ReferenceTimer.measure

    def measure(timer, runnables, settings, *, seed=0):
        device.tail = 0.5 if seed == busy else 0.0
        return inner(timer, runnables, settings, seed=seed)

    monkeypatch.setattr(ReferenceTimer, "measure", measure)
    bare = replace(table, environment={})
    measured = with_reference_tails(bare, SPACE, device).environment["reference_tails"]
    run = create_run(tmp_path / "run", SearchSettings(measure="winners", latency_statistic="p90"), {})
    said = []
    own = resolve_tails(run, SPACE, SearchTable(bare, device), said.append)
    assert max(*measured.values(), *own.values()) < 1.05
    assert measured.keys() == own.keys()
    assert said == ["measuring single inferences of 10 reference networks"]


def test_a_table_without_that_is_shown_without_the_line(table):
    bare = {name: value for name, value in table.environment.items() if name not in ("reference_tails", "company")}
    object.__setattr__(other := load_table(table.source), "environment", bare)
    assert not any("single inferences" in line for line in show_table(other))


@pytest.mark.parametrize("speed", [1.0, 1.25, 0.8])
def test_a_validation_is_at_the_tables_speed_and_says_both(table, speed):
    validated = validate_table(table, workload=SPACE, device=Tailed(speed, tail=0.0), networks=8, seed=3, settings=FEW)
    record = validation_record(validated)
    assert record["slowness"] == pytest.approx(speed, rel=0.01)
    assert record["mape"] < 0.02
    assert record["mape_as_measured"] == pytest.approx(abs(1 / speed - 1), abs=0.02)
    (line,) = speed_lines(validated)
    assert (
        f"predictions are off by {percent_text(record['mape_as_measured'])} as measured, and by "
        f"{percent_text(record['mape'])} at the table's speed" in line
    )
    said = {1.0: "as fast as when", 1.25: "now 25 % slower", 0.8: "now 25 % faster"}
    assert said[speed] in line
    assert {n.arch for n in validated.networks if n.split != "held-out"} == {
        n.arch for n in table.networks if n.split != "held-out"
    }
    assert speed_lines(table) == []
