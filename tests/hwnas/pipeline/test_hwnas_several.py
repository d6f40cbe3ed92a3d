"""A search for several devices: one set of trials, priced by every table; a front and a delivery for each device."""

import json
from dataclasses import replace

import numpy as np
import pytest
from simulated_device import AdditiveBackend

import hwnas
from hwnas import HwnasError
from hwnas._api._settings import search_settings
from hwnas._cli._listing import run_lines
from hwnas._pipeline import _deliver_several
from hwnas._runs._run import Run
from latency_tables import load_table, save_table
from search import nondominated


class Chains(hwnas.Space):
    """Chains of wide or of deep parts: which are fast differs between devices."""

    name, settings = "chains", {}
    choices = tuple(hwnas.Choice(f"kernel{i}", (1, 3, 5)) for i in range(4))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((3, 8, 8)), hwnas.INPUT
        for i, kernel in enumerate(arch.values):
            x = builder.add(f"conv{i}", hwnas.ops.conv(builder.shape(x), 8 + i, kernel, act="relu"), x)
        return builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 10), x))


class Large(hwnas.Evaluator):
    """Large kernels are good."""

    name, settings = "large", {}
    asked = 0

    def evaluate(self, arch):
        type(self).asked += 1
        return hwnas.Evaluation(sum(arch.values) / 25)


class Device(AdditiveBackend):
    """A device with a name on which kernels of one size are slow."""

    def __init__(self, name, slow):
        super().__init__(slower=lambda op: 20.0 if op.integers("kernel", 1, 1) == (slow,) * 1 else 1.0)
        self.name = name

    def identity(self):
        return {"device": "simulated", "chip": self.name}


SPACE = Chains()
PHONE, BOARD = Device("phone", 3), Device("board", 5)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A table of each device."""
    folder = tmp_path_factory.mktemp("tables")
    for device in (PHONE, BOARD):
        hwnas.profile(SPACE, device, out=folder / f"{device.name}.json", networks=4)
    return [folder / "phone.json", folder / "board.json"]


@pytest.fixture
def search(tables, tmp_path, monkeypatch):
    """Searches without pictures; what they tell is collected."""
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    told = []

    def run(**more):
        told.clear()
        given = {"samples": 30, "tables": tables, "device": PHONE, "seed": 1, **more}
        return hwnas.search(SPACE, evaluator=Large(), out=tmp_path / "run", progress=told.append, **given), list(told)

    return run


def predicted(tables, archs):
    return np.array([[hwnas.predict(table, arch, space=SPACE).latency_ms for table in tables] for arch in archs])


def test_one_search_gives_a_front_and_a_delivery_for_each_device(search, tables, tmp_path):
    before = Large.asked
    result, told = search()
    assert Large.asked - before == 30
    assert result.networks == ()
    objectives = ("accuracy", "latency_ms", "latency_ms.board")
    assert all(tuple(trial.values) == objectives for trial in result.trials)
    archs = [trial.text for trial in result.trials]
    prices = predicted(tables, archs)
    assert np.array([[t.values[name] for name in objectives[1:]] for t in result.trials]) == pytest.approx(prices)
    values = np.array([trial.values["accuracy"] for trial in result.trials])
    assert list(result.devices) == ["phone", "board"]
    for number, (name, networks) in enumerate(result.devices.items()):
        front = nondominated(np.column_stack([values, -prices[:, number]]))
        assert {n["arch"] for n in networks} <= {arch for arch, kept in zip(archs, front, strict=True) if kept}
        assert {n["latency_ms"]["measured"] is not None for n in networks} == {name == "phone"}
        own = Run.open(tmp_path / "run" / "devices" / name)
        assert own.settings.devices == {}
        assert len((own.path / "trials.jsonl").read_text().splitlines()) == 30
    assert {n["arch"] for n in result.devices["phone"]} != {n["arch"] for n in result.devices["board"]}
    assert any(line.startswith("board: not measured here") for line in told)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Front of phone" in page
    assert "devices/board/report.html" in page


def test_more_samples_continue_all_and_the_same_command_repeats_nothing(search, tmp_path):
    first, _ = search(samples=16)
    before = Large.asked
    again, _ = search(samples=16)
    assert Large.asked == before
    assert again.devices["board"] == first.devices["board"]
    more, _ = search(samples=24)
    assert Large.asked == before + 8
    assert [t.values for t in more.trials[:16]] == [t.values for t in first.trials]
    for name in ("phone", "board"):
        assert len((tmp_path / "run" / "devices" / name / "trials.jsonl").read_text().splitlines()) == 24


def test_a_delivery_follows_what_can_be_measured_now(search, tmp_path):
    first, _ = search(samples=16)
    assert all(network["latency_ms"]["measured"] is None for network in first.devices["board"])
    other, told = search(samples=16, device=BOARD)
    assert all(network["latency_ms"]["measured"] is not None for network in other.devices["board"])
    assert other.devices["phone"] == first.devices["phone"]  # measured, though it is not available any more
    assert any("its delivery stays as it was measured earlier" in line for line in told)
    more, _ = search(samples=24, device=BOARD)
    assert all(network["latency_ms"]["measured"] is None for network in more.devices["phone"])


def test_each_device_has_its_budget_and_a_trial_keeps_one_of_them(search, tables, tmp_path):
    prices = predicted(tables, [SPACE.format(a) for a in SPACE.sample(200, np.random.default_rng(0))])
    upper = np.quantile(prices, 0.3, axis=0)
    result, _ = search(latency_budget=f"phone={upper[0]:.6f}ms,board={upper[1]:.6f}ms", measure="none")
    found = predicted(tables, [trial.text for trial in result.trials])
    assert (found <= upper * (1 + 1e-4)).any(axis=1).all()
    assert not (found <= upper).all(axis=1).all()
    for number, (name, networks) in enumerate(result.devices.items()):
        assert networks
        assert (predicted(tables, [n["arch"] for n in networks])[:, number] <= upper[number] * (1 + 1e-4)).all()
        settings = json.loads((tmp_path / "run" / "devices" / name / "settings.json").read_text())["settings"]
        assert settings["budgets"] == {"latency_ms": pytest.approx(upper[number], rel=1e-4)}


def test_a_device_without_a_network_is_said_to_be_over_its_budget(search, tables, tmp_path, monkeypatch):
    def none_for_board(setup, study, device):
        return 0 if device.device.name == "board" else usable(setup, study, device)

    usable = _deliver_several._usable_trials
    monkeypatch.setattr(_deliver_several, "_usable_trials", none_for_board)
    result, told = search(samples=10, measure="none")
    assert "board: no trial is within its latency budget; nothing is delivered for it" in told
    assert result.over_budgets == {"board": "no trial is within its latency budget"}
    assert result.over_budget == "board: no trial is within its latency budget"


def test_it_is_finished_when_its_devices_are(search, tmp_path, monkeypatch):
    def stop(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hwnas._report.write_devices", stop)
        with pytest.raises(KeyboardInterrupt):
            search(samples=10, measure="none", latency_budget="phone=5ms")
    (stopped,) = (info for info in hwnas.runs(tmp_path) if info.name == "run")
    assert (stopped.state, stopped.device_budgets) == ("stopped", {"phone": 5.0})
    assert "latency on phone 5 ms" in "\n".join(run_lines([stopped], "."))
    search(samples=10, measure="none", latency_budget="phone=5ms")
    (done,) = (info for info in hwnas.runs(tmp_path) if info.name == "run")
    assert done.state == "finished"


def test_more_samples_train_no_finished_network_again(search, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=np.arange(60) % 10)
    data = str(tmp_path / "data.npz")
    options = {"data": data, "finalize": "train", "final_epochs": 1, "measure": "none"}
    search(samples=3, **options)
    folder = tmp_path / "run" / "devices"
    written = {file: file.stat().st_mtime_ns for file in folder.glob("*/final/*/networks/*.pt")}
    assert {file.relative_to(folder).parts[0] for file in written} == {"phone", "board"}
    search(samples=4, **options)
    assert {file: file.stat().st_mtime_ns for file in written} == written
    assert len(list(folder.glob("*/deploy/network.onnx"))) == 2


def test_a_start_without_trials_leaves_no_tables_behind(search, tables, tmp_path, monkeypatch):
    def stop(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Large, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt, match="0 trials are safe"):
            search(samples=10, measure="none")
    copies = sorted((tmp_path / "run" / "tables").iterdir())
    old = [copy.read_bytes() for copy in copies]
    new = [tmp_path / table.name for table in tables]
    for path, table in zip(new, tables, strict=True):
        record = load_table(table)
        save_table(replace(record, entries={op: doubled(entry) for op, entry in record.entries.items()}), path)
    search(samples=10, measure="none", tables=new)
    assert [copy.read_bytes() for copy in copies] != old
    told = [load_table(copy).entries for copy in copies]
    assert told == [load_table(path).entries for path in sorted(new)]


def doubled(entry):
    """A price of an op that has become twice as slow."""
    times = {name: 2 * getattr(entry, name) for name in ("q10_ms", "low_ms", "high_ms")}
    return replace(entry, **times)


def test_the_run_goes_on_without_its_tables_but_not_with_others(search, tables, tmp_path):
    search(samples=10)
    moved = [tmp_path / "moved" / table.name for table in tables]
    moved[0].parent.mkdir()
    for old, new in zip(tables, moved, strict=True):
        new.write_bytes(old.read_bytes())
    assert len(search(samples=11, tables=moved)[0].trials) == 11
    moved[1].write_bytes(tables[0].read_bytes())
    with pytest.raises(HwnasError, match="was started with another latency table"):
        search(samples=12, tables=moved)
    with pytest.raises(HwnasError, match="contains a search with devices board, phone, this one has other, phone;"):
        search(samples=12, tables=[tables[0], moved[1].rename(tmp_path / "other.json")])
    with pytest.raises(HwnasError, match=r"search with devices\.phone\.latency_budget_ms null, this one has 5"):
        search(samples=12, latency_budget="phone=5ms")


def test_an_unreachable_budget_names_the_device(search):
    with pytest.raises(HwnasError, match="no network of the space meets --latency-budget board=1e-06 ms: the fastest"):
        search(latency_budget={"board": "0.001us"})


def test_the_run_of_all_devices_exports_nothing_itself(search, tmp_path):
    search(samples=10)
    with pytest.raises(HwnasError, match=r"is a search for several devices; export from the run of one: .*phone, .*bo"):
        hwnas.export(tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tables": ["a.json"]}, r"--tables needs 2 to 6 latency tables, got 1; for one, use --table"),
        ({"tables": ["a.json", "x/a.json"]}, "--tables: two files are called a; rename one"),
        ({"tables": ["a.json", "b c.json"]}, "--tables: 'b c' cannot name a device"),
        ({"tables": "a.json"}, "--tables needs 2 to 6 latency tables, got 1"),
        ({"tables": [1, 2]}, r"tables must be paths, got \[1, 2\]"),
        ({"table": "c.json"}, "--tables names the latency table of each device; leave --table out"),
        ({"minimize": "macs"}, "--tables needs latency among --minimize"),
        ({"measure": "trials"}, "--measure trials measures one device, but --tables names 2"),
        ({"memory_statistic": "arena"}, "--memory-statistic arena is measured on one device"),
        ({"latency_budget": "c=4ms"}, "--tables has no device 'c'; its devices are a, b"),
        ({"latency_budget": "a=4ms,a=5ms"}, "names a device twice"),
        ({"latency_budget": "a=4"}, "the latency '4' has no unit"),
        ({"latency_budget": {"a": -1.0}}, "budget latency must be a positive number"),
        ({"latency_budget": "4ms", "budgets": {"latency": "4ms"}}, "budget latency is given twice"),
    ],
)
def test_settings_that_several_devices_cannot_have(given, message):
    with pytest.raises(HwnasError, match=message):
        search_settings({"tables": ["a.json", "b.json"], **given})


@pytest.mark.parametrize(
    ("budget", "bounds"),
    [
        ({}, (None, None)),
        ({"latency_budget": "4ms"}, (4.0, 4.0)),
        ({"latency_budget": "b=250us"}, (None, 0.25)),
        ({"latency_budget": {"a": 3, "b": "2ms"}}, (3.0, 2.0)),
        ({"budgets": {"latency": 4.0, "params": "600k"}}, (4.0, 4.0)),
    ],
)
def test_budgets_of_several_devices(budget, bounds):
    settings = search_settings({"tables": ["x/a.json", "b.json"], **budget})
    assert [device.name for device in settings.several] == ["a", "b"]
    assert tuple(device.latency_budget_ms for device in settings.several) == bounds
    assert settings.table == "x/a.json"
    assert set(settings.budgets) <= {"params"}
    assert type(settings).from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


def test_tables_of_both_devices_differ(tables):
    assert load_table(tables[0]).identity != load_table(tables[1]).identity
