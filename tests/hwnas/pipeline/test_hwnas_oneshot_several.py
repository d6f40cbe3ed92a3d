"""A one-shot method in a search for several devices: one training, distributions, proposals and a front for each."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from made_tables import made_table
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas._runs._metrics import value_of
from hwnas.costs import SpaceCosts
from hwnas.oneshot import read_training
from hwnas.testing._oneshot import KnownSpace
from latency_tables import load_table, save_table

torch.set_num_threads(1)
SPACE = KnownSpace()
GRID = SPACE.canonical_codes(np.indices(SPACE.cardinalities).reshape(len(SPACE.choices), -1).T)
NAMES = ("phone", "board")


def prices_of(path):
    costs = SpaceCosts(SPACE, load_table(path)).latency_ms(GRID).tolist()
    return dict(zip(map(tuple, GRID.tolist()), costs, strict=True))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    files = [folder / f"{name}.json" for name in NAMES]
    for seed, file in enumerate(files):
        save_table(made_table(SPACE, None, seed), file)
    return files


@pytest.fixture(scope="module")
def prices(tables):
    return {name: prices_of(table) for name, table in zip(NAMES, tables, strict=True)}


@pytest.fixture(scope="module")
def budgets(prices):
    """Each device admits less than half of all networks."""
    shares = {"phone": 0.45, "board": 0.35}
    return {name: float(np.quantile(list(own.values()), shares[name])) for name, own in prices.items()}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    without_pictures(monkeypatch)


def without_pictures(patch):
    patch.setattr("hwnas._report._write._pictures", lambda shown: {})
    patch.setattr("hwnas._report._several._pictures", lambda training: {})


def search(out, tables, lines=None, **more):
    told = (lines if lines is not None else []).append
    options = {"strategy": "dmasking", "samples": 14, "epochs": 2, "data_limit": 80, "offline": True, **more}
    return hwnas.search(SPACE, data="digits", tables=tables, out=out, progress=told, **options)


def rows(out):
    return [tuple(json.loads(line)["codes"]) for line in (out / "trials.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tables, budgets):
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        out, lines = tmp_path_factory.mktemp("several") / "both", []
        result = search(out, tables, lines, latency_budget=budgets)
        return out, lines, result


def test_one_training_gives_a_distribution_and_a_front_for_each_device(whole, prices, budgets):
    out, lines, result = whole
    record = read_training(out / "evaluator" / "oneshot.json")
    assert list(record.devices) == list(NAMES)
    assert {name: part.reference for name, part in record.devices.items()} == budgets
    assert not any("loss" in line for line in lines if line.startswith(NAMES))
    for name in NAMES:
        networks = result.devices[name]
        assert networks
        own = out / "devices" / name
        found = {tuple(SPACE.encode(SPACE.parse(network["arch"])).tolist()) for network in networks}
        assert max(prices[name][row] for row in found) <= budgets[name]
        alone = read_training(own / "evaluator" / "oneshot.json")
        assert alone == record.of(name)
        page = (own / "report.html").read_text()
        assert "<h2>How the distribution developed</h2>" in page
        assert alone.cost_line in page
    assert json.loads((out / "devices" / "phone" / "settings.json").read_text())["settings"]["strategy"] == "dmasking"


def test_the_terminal_and_the_report_tell_what_each_device_came_to(whole):
    out, lines, _ = whole
    record = read_training(out / "evaluator" / "oneshot.json")
    assert lines.count(record.cost_line) == 1
    for name in NAMES:
        (line,) = [line for line in lines if line.startswith(f"{name}: expected latency ")]
        assert re.search(r"expected latency \S+ ?ms \(budget \S+ ?ms\), entropy \d+%", line)
    page = (out / "report.html").read_text()
    assert page.count("<h2>How the distributions developed</h2>") == 1
    assert [page.count(f"<h3>Distribution of {name}</h3>") for name in NAMES] == [1, 1]


def test_each_device_proposes_from_its_own_distribution_within_its_own_budget(whole, prices, budgets):
    out, _, _ = whole
    record = read_training(out / "evaluator" / "oneshot.json")
    found = rows(out)
    assert len(set(found)) == len(found) == 14
    assert all(any(prices[name][row] <= budgets[name] for name in NAMES) for row in found)
    best = []
    for name in NAMES:
        snapshot = record.devices[name].snapshots[0]
        within = [row for row, price in prices[name].items() if price <= budgets[name]]
        best.append(max(within, key=lambda row: sum(np.log(snapshot[c][code]) for c, code in enumerate(row))))
        assert sum(prices[name][row] <= budgets[name] for row in found) >= 6
    assert set(found[:2]) == set(best)


def test_more_samples_continue_and_nothing_is_trained_again(whole, tables, budgets, tmp_path):
    out, lines = tmp_path / "both", []
    shutil.copytree(whole[0], out)
    trained = (out / "evaluator" / "oneshot.json").read_bytes()
    search(out, tables, lines, latency_budget=budgets, samples=17)
    assert rows(out)[:14] == rows(whole[0])
    assert len(rows(out)) == 17
    assert (out / "evaluator" / "oneshot.json").read_bytes() == trained
    assert not any("loss" in line for line in lines)


class Killed(BaseException):
    """The process ends here."""


def test_a_search_that_is_cut_ends_as_the_whole_one(whole, tables, budgets, tmp_path, monkeypatch):
    from hwnas.training import _loop

    save, saved = _loop._save, []

    def cut_training(job, optimizer, average, epoch):
        save(job, optimizer, average, epoch)
        saved.append(epoch)
        if len(saved) == 2:
            raise Killed

    monkeypatch.setattr(_loop, "_save", cut_training)
    with pytest.raises(Killed):
        search(tmp_path / "both", tables, latency_budget=budgets)
    assert saved == [0, 1]
    again = search(tmp_path / "both", tables, latency_budget=budgets)
    assert saved == [0, 1, 2]
    first, second = (read_training(out / "evaluator" / "oneshot.json") for out in (whole[0], tmp_path / "both"))
    assert first.devices == second.devices
    assert rows(tmp_path / "both") == rows(whole[0])
    assert again.devices["board"] == whole[2].devices["board"]


def test_a_delivery_that_was_cut_after_the_copy_has_its_distribution(whole, tables, budgets, tmp_path):
    out = tmp_path / "both"
    shutil.copytree(whole[0], out)
    own = out / "devices" / "phone"
    (own / "trials.jsonl").unlink()
    (own / "evaluator" / "oneshot.json").unlink()
    search(out, tables, latency_budget=budgets)
    assert (own / "evaluator" / "oneshot.json").read_bytes() == (
        whole[0] / "devices" / "phone" / "evaluator" / "oneshot.json"
    ).read_bytes()


def test_ddpnas_learns_one_distribution_that_each_device_solves(tables, prices, budgets, tmp_path):
    lines = []
    result = search(tmp_path / "both", tables, lines, strategy="ddpnas", epochs=3, latency_budget=budgets)
    record = read_training(tmp_path / "both" / "evaluator" / "oneshot.json")
    assert record.is_shared
    assert "one distribution serves phone, board" in lines
    assert all(result.devices[name] for name in NAMES)
    assert "One distribution serves all devices" in (tmp_path / "both" / "report.html").read_text()


def test_a_device_without_a_budget_and_other_budgets(tables, prices, budgets, tmp_path):
    options = {"latency_budget": {"board": budgets["board"]}, "budgets": {"params": 5e3}, "samples": 10}
    search(tmp_path / "both", tables, strategy="pvnas", **options)
    phone, board = read_training(tmp_path / "both" / "evaluator" / "oneshot.json").devices.values()
    assert (phone.cost, phone.is_budget, phone.counts) == ("params", True, True)
    assert (board.cost, board.reference) == ("latency_ms", budgets["board"])


class Device(AdditiveBackend):
    """A device with a name."""

    def __init__(self, name, times):
        super().__init__(image_channels=1, slower=lambda op: times)
        self.name = name

    def identity(self):
        return {"device": "simulated", "chip": self.name}


def test_networks_are_measured_on_the_device_that_is_here(tmp_path):
    phone, board = Device("phone", 1.0), Device("board", 3.0)
    tables = [tmp_path / "phone.json", tmp_path / "board.json"]
    for device, table in zip((phone, board), tables, strict=True):
        hwnas.profile(SPACE, device, out=table, networks=2)
    result = search(tmp_path / "both", tables, strategy="dash", device=phone, offline=False, samples=10)
    for name, networks in result.devices.items():
        assert {network["latency_ms"]["measured"] is not None for network in networks} == {name == "phone"}
        assert all(value_of(network, "test") is not None for network in networks)
    assert read_training(tmp_path / "both" / "evaluator" / "oneshot.json").is_shared  # no budgets


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--measure", "trials"], "--measure trials measures one device, but --tables names 2"),
        (["--latency-budget", "pad=4ms"], "--tables has no device 'pad'; its devices are phone, board"),
        (["--warm-start", "other"], "leave out --warm-start"),
        (["--evaluator", "train"], "needs --evaluator supernet, got train"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(tables, tmp_path, capsys, more, line):
    command = ["search", "--strategy", "dmasking", "--tables", *map(str, tables), "--out", str(tmp_path / "run")]
    assert main([*command, *more]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_budget_that_no_network_meets_names_the_device(tables, tmp_path):
    with pytest.raises(hwnas.HwnasError, match="no network of the space meets --latency-budget board="):
        search(tmp_path / "run", tables, latency_budget={"board": "0.001us"})


def test_budgets_that_no_network_meets_together_name_the_device_before_the_training(tables, prices, tmp_path):
    """The fastest network of board has more parameters than the smallest one."""
    params = dict(zip(map(tuple, GRID.tolist()), SpaceCosts(SPACE, None).cost("params")(GRID).tolist(), strict=True))
    fastest = min(prices["board"], key=prices["board"].__getitem__)
    assert params[fastest] > min(params.values())
    budget = {"board": 1.0001 * prices["board"][fastest]}
    lines = []
    with pytest.raises(hwnas.HwnasError, match="board: no network of the space meets --params-budget and --latency-b"):
        search(tmp_path / "run", tables, lines, latency_budget=budget, budgets={"params": min(params.values())})
    assert not any("loss" in line for line in lines)


def test_a_damaged_record_stops_the_search(whole, tables, budgets, tmp_path):
    out = tmp_path / "both"
    shutil.copytree(whole[0], out)
    (out / "evaluator" / "oneshot.json").write_text("{}")
    with pytest.raises(hwnas.HwnasError, match=r"oneshot.json is missing or damaged; restore it"):
        search(out, tables, latency_budget=budgets, samples=20)
