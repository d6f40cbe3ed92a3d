"""A table that holds, and one that does not, on a simulated device."""

import dataclasses
from collections import Counter

import pytest
from simulated_device import AdditiveBackend

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._costs._draw import draw_networks
from hwnas._pipeline._setup_table import require_grade
from hwnas._tables._build import find_table
from hwnas._tables._verify import verify_table
from hwnas.spaces import make_space
from latency_tables import load_table, save_table
from profilers import SamplingSettings, profile_ops
from profilers._design import design_probes

SPACE = make_space("mobilenetv3", preset="tiny", resolution=8, width=0.5)


def device(slower=None):
    return AdditiveBackend(noise=0.002, slower=slower)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return profile_ops(
        device(),
        SPACE.ops(),
        draw_networks(SPACE, 14, 0),
        tmp_path_factory.mktemp("t") / "samples.jsonl",
        space={"name": SPACE.name, "settings": SPACE.settings},
        settings=SamplingSettings(min_rounds=8, max_rounds=12),
    )


def verify_on(table, device, seed=0):
    return verify_table(table, SPACE, device, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_table_holds_on_its_device(table, seed):
    checks = verify_on(table, device(), seed)
    assert len(checks) == 7
    assert (checks[0].name, checks[-1].name.split()[0]) == ("reference op", "network")
    assert all(check.holds for check in checks)


def test_ops_that_no_graph_is_made_for_are_measured_again_too(tmp_path):
    cells = make_space("nasbench201", image_size=8)
    settings = SamplingSettings(min_rounds=8, max_rounds=12)
    named = {"name": cells.name, "settings": cells.settings}
    table = profile_ops(device(), cells.ops(), [], tmp_path / "samples.jsonl", space=named, settings=settings)
    (pool,) = [op for op in table.entries if table.entries[op].op.kind == "global_pool"]
    alone = dataclasses.replace(table, entries={pool: table.entries[pool]})
    checks = verify_table(alone, cells, device())
    assert [check.name for check in checks] == ["reference op", table.entries[pool].op.key]
    assert all(check.holds for check in checks)


def test_ops_that_the_runtime_refuses_stand_around_none_that_is_verified(tmp_path):
    nodes = [node for probe in design_probes(SPACE.ops()) for node in probe.graph.nodes]
    around = Counter(node.op for node in nodes if node.name.startswith("context."))
    lost = max(around, key=lambda op: (around[op], op.key))
    backend = AdditiveBackend(noise=0.002, refuses=lambda op: op == lost)
    settings = SamplingSettings(min_rounds=8, max_rounds=12)
    named = {"name": SPACE.name, "settings": SPACE.settings}
    networks = draw_networks(SPACE, 4, 0)
    table = profile_ops(backend, SPACE.ops(), networks, tmp_path / "samples.jsonl", space=named, settings=settings)
    assert not table.entries[lost].priced
    for seed in range(4):
        assert all(check.holds for check in verify_on(table, backend, seed))


class WatchedDevice(AdditiveBackend):
    """Notes how graphs are asked for."""

    def load(self, graph, *, seed=0, tied=(), cold=False):
        self.asked.add((bool(tied), cold))
        return super().load(graph, seed=seed, tied=tied, cold=cold)


@pytest.mark.parametrize("cold", [False, True])
def test_caches_are_as_cold_as_when_the_table_was_measured(table, cold):
    """Weights are tied where probes are warm: all probes of a table were, or none."""
    watched = WatchedDevice(noise=0.002, fast_cache_bytes=2**24)
    watched.asked = set()
    assert table.environment["cold_caches"] is False
    heavy = {op: entry for op, entry in table.entries.items() if entry.weight_bytes > 2**17}
    assert len(heavy) >= 5
    found = dataclasses.replace(table, entries=heavy, environment={**table.environment, "cold_caches": cold})
    verify_on(found, watched)
    networks_and_reference_op, probes = (False, False), {(False, True)} if cold else {(True, False), (False, False)}
    assert watched.asked == {networks_and_reference_op, *probes}


def test_weights_are_shared_as_when_a_table_without_networks_was_measured(tmp_path):
    settings = SamplingSettings(min_rounds=8, max_rounds=12)
    named = {"name": SPACE.name, "settings": SPACE.settings}
    watched = WatchedDevice(noise=0.002, fast_cache_bytes=2**24)
    watched.asked = when_profiled = set()
    table = profile_ops(watched, SPACE.ops(), [], tmp_path / "samples.jsonl", space=named, settings=settings)
    watched.asked = set()
    heavy = {op: entry for op, entry in table.entries.items() if entry.weight_bytes > 2**17}
    assert all(check.holds for check in verify_on(dataclasses.replace(table, entries=heavy), watched))
    assert watched.asked == when_profiled == {(True, False), (False, False)}


def test_a_slower_device_is_noticed(table):
    checks = {check.name.split()[0]: check.holds for check in verify_on(table, device(lambda op: 1.3))}
    assert not checks["reference"]
    assert not checks["network"]


def test_a_change_of_one_kind_of_op_is_noticed_where_it_is(table):
    slow = device(lambda op: 2.0 if op.kind == "mbconv" else 1.0)
    checks = {check.name: check.holds for check in verify_on(table, slow)}
    assert checks["reference op"]
    assert not any(holds for name, holds in checks.items() if name.startswith("network"))
    assert sum(not holds for name, holds in checks.items() if name.startswith("mbconv")) >= 3


def test_the_command_says_so_and_its_exit_code_too(monkeypatch, table, tmp_path, capsys):
    path = tmp_path / "t.json"
    save_table(dataclasses.replace(table), path)
    for backend, code, last in (
        (device(), 0, f"{path} is still valid on this device"),
        (device(lambda op: 2.0), 1, f"{path} is no longer valid on this device: "),
    ):
        monkeypatch.setattr("hwnas._api._tables.backend_of", lambda *where, backend=backend: backend)
        try:
            found = main(["verify", str(path)])
        except SystemExit as leaving:
            found = leaving.code
        assert found == code
        assert capsys.readouterr().out.splitlines()[-1].startswith(last)


def test_merge_command(table, tmp_path, capsys):
    path, target = tmp_path / "t.json", tmp_path / "m.json"
    save_table(table, path)
    assert main(["merge", str(path), str(path), "-o", str(target)]) == 0
    assert capsys.readouterr().out == f"{len(table.entries)} prices and 84 networks in {target}\n"


def test_an_unusable_table_is_used_only_where_it_is_asked_for(table, tmp_path):
    environment = {**table.environment, "calibration_op_drift": 1.69}
    bad, good, said = dataclasses.replace(table, environment=environment), table, []
    for name, one in (("bad", bad), ("good", good)):
        save_table(one, tmp_path / f"{name}.json")
    assert find_table(SPACE, device(), tmp_path).source == tmp_path / "good.json"
    (tmp_path / "good.json").unlink()
    assert find_table(SPACE, device(), tmp_path) is None
    loaded = load_table(tmp_path / "bad.json")
    with pytest.raises(HwnasError, match=r"bad.json: quality of the table: unusable: the reference op drifted by 169%"):
        require_grade(loaded, asked=False, progress=said.append)
    assert said == []
    require_grade(loaded, asked=True, progress=said.append)
    assert any("is used because you named it" in line for line in said)


@pytest.mark.parametrize("command", ["table show {}", "predict {} w0.5_r8_k3e2_k3e2_k3e2_k3e2_k3e2"])
def test_a_bad_grade_is_said_wherever_a_table_is_used(table, tmp_path, capsys, command):
    environment = {**table.environment, "calibration_op_drift": 0.2}
    save_table(dataclasses.replace(table, environment=environment), tmp_path / "t.json")
    assert main(command.format(tmp_path / "t.json").split()) == 0
    assert "quality of the table: shaky: the reference op drifted by 20%" in capsys.readouterr().out
