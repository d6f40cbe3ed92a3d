"""The commands on a device that is reached through a real ssh server on loopback."""

import json
import re

import pytest
from ssh_server import NAME, gone

from hwnas._cli import main
from hwnas._devices._make import make_backend
from latency_tables import load_table
from profilers import SamplingSettings

DEVICE = f"ssh://{NAME}"
SPACE = ["--space", "nasbench201", "--image-size", "8", "--space-option", "cells=1", "--space-option", "channels=4"]
TWO = SamplingSettings(min_rounds=2, max_rounds=2, inner_seconds=5e-5, warmup_runs=1)


@pytest.fixture(scope="module")
def device(ssh_server, tmp_path_factory):
    """The variables that make the server a device, and the shortest sampling; gives the device's cache folder."""
    cache = tmp_path_factory.mktemp("device") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ssh_server.environment(cache).items():
            patch.setenv(name, value)
        for module in ("profilers._profile", "hwnas._tables._validate"):
            patch.setattr(f"{module}.SamplingSettings", lambda: TWO)
        patch.setattr("hwnas._pipeline._time_networks.ROUNDS", 2)
        patch.setattr("hwnas._tables._verify.ROUNDS", 2)
        patch.setattr("hwnas._tables._verify.MOST_NETWORKS", 30)
        patch.setattr("hwnas._tables._references.TAIL_ROUNDS", 12)
        yield cache


@pytest.fixture(scope="module")
def table(device, tmp_path_factory):
    path = tmp_path_factory.mktemp("remote") / "board.json"
    command = ["profile", "--device", DEVICE, *SPACE, "--image-channels", "1", "--networks", "4", "-o", str(path)]
    assert main(command) == 0
    return path


def test_the_table_is_of_the_processor_and_holds_for_the_same_one_here(table, device):
    found = load_table(table)
    assert dict(found.identity) == make_backend("cpu", image_channels=1).identity()
    assert found.validation.networks == 4
    assert found.environment["calibration_op_ms"] > 0
    assert found.environment["reference_tails"]["p99"] >= found.environment["reference_tails"]["q10"] == 1.0
    assert 0.2 < found.environment["company"] < 5
    assert not any("not checked" in note for note in found.notes)
    assert gone(device)


def test_validate_and_verify_measure_there(table, device, capsys):
    assert main(["validate", str(table), "--device", DEVICE, "--networks", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["measurements"]) == 2
    assert 0.1 < record["slowness"] < 10
    try:
        code = main(["verify", str(table), "--device", DEVICE])
    except SystemExit as leaving:  # two rounds are too few for the numbers to be the same
        code = leaving.code
    assert code in (0, 1, 3)
    assert re.search(r"^(ok|MOVED) +reference op: ", capsys.readouterr().out, re.MULTILINE)


def test_a_search_takes_the_devices_table_and_measures_its_winners_there(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HWNAS_TABLES", str(table.parent))
    command = ["search", "--device", DEVICE, *SPACE, "--data-limit", "40", "--evaluator", "train", "--epochs", "1"]
    assert main([*command, "--samples", "1", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert f"latency table: {table}" in said
    assert re.search(rf"measuring \d networks? on {DEVICE}", said)
    networks = json.loads((tmp_path / "run" / "pareto.json").read_text())
    assert networks
    for network in networks:
        assert 0.001 < network["latency_ms"]["measured"] < 100
        assert network["arena_bytes"] > 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["profile", "--device", "ssh://-oProxyCommand=x"],
            "cannot read the device 'ssh://-oProxyCommand=x'; write it",
        ),
        (["profile", "--device", DEVICE, "--precision", "fp16"], "--precision fp16 is not available on device"),
        (["profile", "--device", DEVICE, "--channels-last"], "--protocol and --channels-last are options of GPUs"),
        (["profile", "--device", DEVICE, "--threads", "0"], "--threads must be 1 or more, got 0"),
        (["validate", "TABLE", "--device", "cpu"], "--device must be the address of the table's device, like ssh://"),
        (["device", "clean", "board"], "cannot read the device 'board'; write it like ssh://user@host"),
    ],
)
def test_one_line_each(command, message, table, capsys):
    assert main([str(table) if word == "TABLE" else word for word in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hwnas: error: {message}")


def test_clean(table, device, capsys):
    assert device.exists()
    assert main(["device", "clean", DEVICE]) == 0
    assert capsys.readouterr().out == f"{device} removed from {DEVICE}\n"
    assert not device.exists()
    assert main(["device", "clean", DEVICE]) == 0
    assert capsys.readouterr().out == f"{DEVICE} has no {device}: it is clean\n"
