"""Searches for devices that are not available: fitted tables, and measured ones with --offline."""

import dataclasses
import json

import numpy as np
import pytest
from cells import as_version_1
from run_toys import create_run

from hwnas._cli import main
from hwnas.spaces import make_space
from latency_tables import load_table, save_table
from profilers import graph_macs

SMALL = ["--space", "mobilenetv3", "--resolution", "8", "--width", "0.5"]
SPACE = make_space("mobilenetv3", preset="tiny", resolution=[8], width=[0.5], image_channels=1)
SEARCH = ["search", *SMALL, "--epochs", "1", "--samples", "6"]


def phone_ms(arch):
    return 0.5 + graph_macs(SPACE.graph(arch)) / 1e5


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    source, path = folder / "measured.csv", folder / "phone.json"
    rows = {SPACE.format(arch): phone_ms(arch) for arch in SPACE.sample(20, np.random.default_rng(0))}
    source.write_text("arch,ms\n" + "".join(f"{arch},{ms:.5f}\n" for arch, ms in rows.items()))
    command = ["fit", str(source), *SMALL, "--image-channels", "1", "--latency-column", "ms", "--device", "my-phone"]
    assert main([*command, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def measured_elsewhere(fitted, tmp_path_factory):
    """As if it had been measured on another computer's processor."""
    path = tmp_path_factory.mktemp("elsewhere") / "board.json"
    identity = {"device": "cpu", "cpu": "Cortex-A53", "threads": 4, "batch": 1, "dtype": "float32", "protocol": "q10"}
    save_table(dataclasses.replace(load_table(fitted), identity=identity), path)
    return path


def fails(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def run(fitted, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "run"
    assert main([*SEARCH, "--table", str(fitted), "--latency-budget", "2.5ms", "--out", str(out)]) == 0
    return out


def test_a_fitted_table_gives_objective_and_budget(run):
    trials = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    assert len(trials) == 6
    for trial in trials:
        assert trial["values"]["latency_ms"] <= 2.5
        assert trial["values"]["latency_ms"] == pytest.approx(phone_ms(SPACE.parse(trial["arch"])), rel=0.15)


def test_networks_are_written_and_tested_but_no_latency_is_made_up(run):
    networks = json.loads((run / "pareto.json").read_text())
    assert networks
    for n in networks:
        assert n["accuracy"] == pytest.approx(n["torch_accuracy"], abs=0.002)
        assert (run / n["onnx"]).is_file()
        assert n["energy_mj"] is None
        assert n["arena_bytes"] is None
        latency = n["latency_ms"]
        assert latency["measured"] is None
        assert "measured_half_width" not in latency
        assert latency["low"] < latency["predicted"] < latency["high"]


def test_the_report_says_that_nothing_was_measured(run):
    page = (run / "report.html").read_text()
    line = "my-phone is not available: latencies are predictions of its table, and no network is measured on it."
    assert page.count(line) == 1
    assert "Latency was not measured" in page
    assert " ms predicted, the best at " in page
    assert " ms measured" not in page
    assert "predicted and measured latency differ" not in page
    assert (run / "front.png").exists()
    assert not (run / "latency.png").exists()


def test_it_is_said_before_and_after_the_search_and_on_resuming(run, fitted, capsys):
    before = (run / "trials.jsonl").read_bytes(), (run / "pareto.json").read_bytes()
    command = [*SEARCH, "--latency-budget", "2.5ms", "--out", str(run)]
    for table in (["--table", str(fitted)], []):  # the run has its own copy
        assert main([*command, *table]) == 0
        said = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
        assert (
            said[0]
            == "my-phone is not available: latencies are predictions of its table, and no network is measured on it"
        )
        unmeasured = " networks written; they are not measured: their device is not available"
        assert any(line.endswith(unmeasured) for line in said)
        assert not any("ms, measured" in line for line in said)
    assert ((run / "trials.jsonl").read_bytes(), (run / "pareto.json").read_bytes()) == before


@pytest.mark.parametrize("pick", ["fastest", "knee", "best"])
def test_export_says_that_the_latency_is_predicted(run, tmp_path, capsys, pick):
    assert main(["export", str(run), "--pick", pick, "-o", str(tmp_path / "n.onnx")]) == 0
    assert capsys.readouterr().out.endswith(" ms predicted, not measured\n")


def test_a_measured_table_of_another_device_wants_to_be_asked_for(measured_elsewhere, tmp_path, capsys):
    out = tmp_path / "run"
    command = [*SEARCH, "--table", str(measured_elsewhere), "--out", str(out)]
    assert fails(capsys, *command).endswith(
        "; measure a table for it with `hwnas profile`, or search on its predictions alone with --offline"
    )
    assert not (out / "evaluator").exists()
    assert main([*command, "--offline"]) == 0
    assert "Cortex-A53 is not available: latencies are predictions" in capsys.readouterr().err
    trials = (out / "trials.jsonl").read_bytes()
    assert all(n["latency_ms"]["measured"] is None for n in json.loads((out / "pareto.json").read_text()))
    assert fails(capsys, *command) == (
        f"hwnas: error: {out} contains a search with offline true, this one has false; choose another --out"
    )
    assert main([*command, "--offline"]) == 0
    assert (out / "trials.jsonl").read_bytes() == trials


def test_a_run_of_a_version_without_the_option_goes_on(run):
    from hwnas._runs._run import Run

    as_version_1(run, lambda record, trials: record["settings"].pop("offline"))
    opened = Run.open(run)
    assert create_run(run, opened.settings, opened.identity).settings.offline is False


@pytest.mark.parametrize(
    ("options", "identity", "message"),
    [
        (["--batch", "4"], {}, "{table} is for batch size 1, this search uses 4; add --batch 1"),
        (
            ["--precision", "int8"],
            {"dtype": "float32"},
            "{table} is for float32 networks, this search uses int8; add --precision fp32",
        ),
        ([], {"dtype": "int8"}, "{table} is for int8 networks, this search uses fp32; add --precision int8"),
    ],
)
def test_tables_of_other_networks_are_refused(fitted, tmp_path, capsys, options, identity, message):
    path = tmp_path / "t.json"
    table = load_table(fitted)
    save_table(dataclasses.replace(table, identity={**table.identity, **identity}), path)
    line = fails(capsys, *SEARCH, *options, "--table", path, "--out", tmp_path / "run")
    assert line == "hwnas: error: " + message.format(table=path)
    assert not (tmp_path / "run" / "evaluator").exists()


def test_a_table_of_another_space_is_refused_with_what_differs(fitted, tmp_path, capsys):
    wide = [word if word != "8" else "8,16" for word in SEARCH]
    line = fails(capsys, *wide, "--table", fitted, "--out", tmp_path / "run")
    assert line.startswith(f"hwnas: error: {fitted}: ")
    assert line.endswith(
        " has no price: its space has resolution [8], this search has [8, 16]; fit or measure a table for this space"
    )


def test_offline_needs_a_table(tmp_path, capsys):
    assert fails(capsys, *SEARCH, "--offline", "--out", tmp_path / "run") == (
        "hwnas: error: --offline needs --table FILE, the table of the device that is not available"
    )


@pytest.mark.parametrize("command", ["validate", "verify"])
def test_a_fitted_table_is_not_measured_again(fitted, capsys, command):
    assert fails(capsys, command, fitted) == (
        f"hwnas: error: {fitted} was fitted to networks that were measured on my-phone: it cannot be measured "
        "from here; `hwnas table show` says how well it fits"
    )


@pytest.mark.parametrize("name", ["offline", "not_here"])
def test_a_run_without_its_device_from_before_measuring_goes_on(fitted, tmp_path, name):
    from hwnas._pipeline._measuring import resolve_measuring
    from hwnas._runs._settings import SearchSettings

    record = SearchSettings(table=str(fitted), offline=True, measure="none").as_dict()
    for absent in ("measure", "latency_statistic", "offline"):
        del record[absent]
    settings = SearchSettings.from_dict({**record, name: True})
    assert (settings.offline, settings.measure, settings.latency_statistic) == (True, "none", "q10")
    assert SearchSettings.from_dict(record).measure == "winners"
    assert resolve_measuring(settings, tmp_path / "run") == settings


def test_predictions_of_a_fitted_table_are_q10(fitted, tmp_path):
    from hwnas._pipeline._measuring import resolve_measuring
    from hwnas._runs._settings import SearchSettings

    for given in (SearchSettings(table=str(fitted)), SearchSettings(table=str(fitted), measure="winners")):
        assert resolve_measuring(given, tmp_path / "run").latency_statistic == "q10"
    assert resolve_measuring(SearchSettings(), tmp_path / "run").latency_statistic == "median"
