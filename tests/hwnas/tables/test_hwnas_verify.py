"""A table that holds, and one that does not, on a simulated device."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from simulated_device import AdditiveBackend

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._costs._draw import draw_networks
from hwnas._pipeline._setup_table import require_grade
from hwnas._tables import _verify
from hwnas._tables._build import find_table
from hwnas._tables._verify import verify_table
from hwnas._tables._verify_result import Check, Verified
from hwnas.spaces import make_space
from latency_tables import load_table, save_table
from profilers import REFERENCE_OP, SamplingSettings, profile_ops
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


class RestlessDevice(AdditiveBackend):
    """A device like a real one: sessions differ by 1 %, its speed wanders, and other work comes in bursts.

    `speed` is how many times longer everything takes. `busy` is the share of the samples that a burst makes longer.
    """

    def __init__(self, seed, slower=None, speed=1.0, busy=0.05):
        super().__init__(noise=0.01, slower=slower)
        self.rng, self.speed, self.busy, self.wander = np.random.default_rng(seed), speed, busy, 0.0

    def load(self, graph, *, seed=0, tied=(), cold=False):
        runnable = super().load(graph, seed=seed, tied=tied, cold=cold)
        runnable.seconds *= np.exp(self.rng.normal(0.0, 0.01))
        inner = runnable.run

        def run(repeats):
            self.wander = 0.99 * self.wander + self.rng.normal(0.0, 0.002)
            burst = 1 + self.rng.exponential(0.5) if self.rng.random() < self.busy else 1.0
            return inner(repeats) * self.speed * np.exp(self.wander) * burst

        runnable.run = run
        return runnable


def verify_on(table, device, seed=0):
    return verify_table(table, SPACE, device, seed=seed)


def common_ops(table, least=0.1):
    """Return ops that are a large part of the networks that hold them."""
    chosen = _verify._choose(table, SPACE, device(), 0)
    held = {key: share[share > 0] for key, share in chosen.shares.items() if key in chosen.ops}
    return sorted(key for key, share in held.items() if 6 <= len(share) < 60 and share.mean() > least)


@pytest.mark.parametrize(("seed", "busy"), [(0, 0.05), (1, 0.3), (2, 0.5)])
def test_a_table_holds_on_its_device_and_beside_other_work(table, seed, busy):
    result = verify_on(table, RestlessDevice(seed, busy=busy), seed)
    assert result.verdict == "holds"
    assert result.moved == ()
    assert result.slowness == pytest.approx(1.0, abs=0.05)
    assert result.checks[0].name == "reference op"
    if busy < 0.5:
        assert 0.3 < result.covered <= 1.0


@pytest.mark.parametrize("speed", [0.6, 1.12, 2.5])
def test_a_slower_or_faster_machine_leaves_the_table_valid_at_another_speed(table, speed):
    result = verify_on(table, RestlessDevice(3, speed=speed))
    assert result.verdict == "holds"
    assert result.slowness == pytest.approx(speed, rel=0.05)
    assert result.checks[0].measured_ms / result.checks[0].table_ms == pytest.approx(speed, rel=0.06)
    how = "slower" if speed > 1 else "faster"
    assert result.lines()[0].startswith("this machine is now ")
    assert f"{how} than when the table was made" in result.lines()[0]


def test_lines_say_how_large_a_change_is_and_how_large_noise_may_be():
    checks = (
        Check("reference op", 0.08996, 0.1, 0.09245, 0.008996, holds=True),
        Check("slow networks against fast ones", 0.05, 0.05, 0.04961, 0.015, holds=True),
        Check("networks against each other", 0.05, 0.05, 0.0504, 0.002, holds=True),
        Check("an op", 0.004, 0.005, 0.0048, 0.00044, holds=False, of_ops=True),
    )
    result = Verified("changed", 1.12, 0.01, checks, covered=0.72, noise=0.008, networks=120, sessions=3)
    assert result.lines("ssh://pi@board") == [
        "ssh://pi@board is now 12 % slower than when the table was made",
        "ok    reference op: 0.08996 ms in the table, 0.09245 ms now at the table's speed (+2.8 %, noise: up to 10 %)",
        "ok    slow networks against fast ones: 0.78 % faster (noise: up to 30 %)",
        "ok    networks against each other: 0.8 % apart, in the same way in each session (noise: up to 4 %)",
        "MOVED an op: 0.004 ms in the table, 0.0048 ms now at the table's speed (+20 %, noise: up to 11 %)",
        "measured 120 networks in 3 sessions, noise 0.8 %; verify would find an op that became 20 % slower if it is "
        "among those that make up 72 % of the networks' time",
    ]
    once = dataclasses.replace(result, sessions=1)
    assert once.lines()[-1].startswith("measured 120 networks in 1 session, noise")


def test_an_op_that_became_dearer_is_named(table):
    ops = common_ops(table)
    assert len(ops) >= 5
    for seed, key in enumerate(ops[::3]):
        dearer = RestlessDevice(seed, lambda op, key=key: 1.2 if op.key == key else 1.0)
        result = verify_on(table, dearer, seed)
        assert result.verdict == "changed"
        assert any(key in check.names for check in result.moved)
        (check,) = [check for check in result.checks if key in check.names]
        assert check.change == pytest.approx(0.2, abs=0.06)
        assert result.sessions == 3


def test_a_kind_of_ops_that_became_dearer_is_named(table):
    result = verify_on(table, RestlessDevice(0, lambda op: 1.3 if dict(op.attributes).get("kernel") == 7 else 1.0))
    assert result.verdict == "changed"
    assert "all mbconv kernel=7" in result.moved[0].names
    assert result.moved[0].change == pytest.approx(0.3, abs=0.06)


def test_the_reference_op_alone_tells_of_a_change_that_all_networks_share(table):
    """Every op of the networks takes longer, as with threads that only large graphs gain from."""
    own = {op.key for op in SPACE.ops()}
    result = verify_on(table, RestlessDevice(0, lambda op: 1.3 if op.key in own else 1.0))
    assert result.verdict == "changed"
    assert [check.name for check in result.moved] == ["reference op"]


def test_noise_that_hides_everything_is_said_to(table):
    class Erratic(RestlessDevice):
        def load(self, graph, **more):
            runnable = super().load(graph, **more)
            runnable.seconds *= np.exp(self.rng.normal(0.0, 0.3))
            return runnable

    result = verify_on(table, Erratic(0))
    assert result.verdict == "too noisy to tell"
    assert result.covered < 0.05


def simulated_runs(table, runs, plant=None, session_sd=0.01):
    """Decide `runs` times on ratios that are drawn directly; yield the results and what was planted."""
    chosen = _verify._choose(table, SPACE, device(), 0)
    names = [n.arch for n in chosen.networks]
    for run in range(runs):
        rng = np.random.default_rng((7, run))
        key = plant[run % len(plant)] if plant else None
        then = rng.normal(0.0, session_sd / np.sqrt(2), len(names))  # the table's own noise stays the same
        change = np.log1p(0.2 * chosen.shares[key]) if key else 0.0
        size = np.log(chosen.then_ms / np.median(chosen.then_ms)) * rng.normal(0.0, 0.02)

        def measure(number, rng=rng, fixed=change + size - then):
            noise = session_sd * rng.standard_t(4, len(names)) / np.sqrt(2)
            speed = rng.normal(0.0, 0.1)
            ratios = dict(zip(names, np.exp(fixed + noise + speed), strict=True))
            return ratios | {REFERENCE_OP: float(np.exp(speed + rng.normal(0.0, 0.025)))}

        yield _verify._decide(table, chosen, measure), key


def test_false_alarms_are_rarer_than_one_in_fifty(table):
    verdicts = Counter(result.verdict for result, _ in simulated_runs(table, 100))
    assert verdicts["changed"] <= 1
    assert verdicts["holds"] >= 98


def test_nineteen_in_twenty_dearer_ops_are_found_where_the_result_says_so(table):
    found = sure = 0
    for result, key in simulated_runs(table, 60, common_ops(table)):
        (check,) = [check for check in result.checks if key in check.names]
        sure += check.sure
        found += check.sure and result.verdict == "changed" and any(key in c.names for c in result.moved)
    assert sure >= 20
    assert found >= 0.95 * sure


def test_prices_are_measured_again_where_a_table_has_no_networks(tmp_path):
    cells = make_space("nasbench201", image_size=8)
    settings = SamplingSettings(min_rounds=8, max_rounds=12)
    named = {"name": cells.name, "settings": cells.settings}
    table = profile_ops(device(), cells.ops(), [], tmp_path / "samples.jsonl", space=named, settings=settings)
    (pool,) = [op for op in table.entries if table.entries[op].op.kind == "global_pool"]
    alone = dataclasses.replace(table, entries={pool: table.entries[pool]})
    result = verify_table(alone, cells, device())
    assert [check.name for check in result.checks] == ["reference op", table.entries[pool].op.key]
    assert result.verdict == "holds"
    told = result.as_dict()
    assert (told["covered"], told["noise"], told["networks"], told["sessions"]) == (None, None, 0, 1)
    assert not any(line.startswith("measured ") for line in result.lines())
    slow = verify_table(table, cells, device(lambda op: 3.0))
    assert (slow.verdict, round(slow.slowness, 1)) == ("holds", 3.0)
    (chosen, *_) = [check.name for check in slow.checks if check.of_ops]
    one = verify_table(table, cells, device(lambda op: 2.0 if op.key == chosen else 1.0))
    assert one.verdict == "changed"
    assert chosen in [check.name for check in one.moved]


def test_ops_that_the_runtime_refuses_stand_around_none_that_is_verified(tmp_path):
    nodes = [node for probe in design_probes(SPACE.ops()) for node in probe.graph.nodes]
    around = Counter(node.op for node in nodes if node.name.startswith("context."))
    lost = max(around, key=lambda op: (around[op], op.key))
    backend = AdditiveBackend(noise=0.002, refuses=lambda op: op == lost)
    settings = SamplingSettings(min_rounds=8, max_rounds=12)
    named = {"name": SPACE.name, "settings": SPACE.settings}
    table = profile_ops(backend, SPACE.ops(), [], tmp_path / "samples.jsonl", space=named, settings=settings)
    assert not table.entries[lost].priced
    for seed in range(4):
        assert verify_on(table, backend, seed).verdict == "holds"


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
    environment = {**table.environment, "cold_caches": cold}
    verify_on(dataclasses.replace(table, entries=heavy, environment=environment, networks=table.networks[:3]), watched)
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
    assert verify_on(dataclasses.replace(table, entries=heavy), watched).verdict == "holds"
    assert watched.asked == when_profiled == {(True, False), (False, False)}


def test_the_command_says_so_and_its_exit_code_too(monkeypatch, table, tmp_path, capsys):
    path = tmp_path / "t.json"
    save_table(dataclasses.replace(table), path)
    heavy = device(lambda op: 2.0 if dict(op.attributes).get("kernel") == 7 else 1.0)
    for backend, code, first, last in (
        (device(), 0, "as fast as when the table was made", f"{path} is still valid on this device"),
        (device(lambda op: 2.0), 0, "now 100 % slower than when", f"{path} is still valid on this device"),
        (heavy, 1, "MOVED all mbconv kernel=7: ", f"{path} is no longer valid on this device: "),
    ):
        monkeypatch.setattr("hwnas._api._tables.backend_of", lambda *where, backend=backend: backend)
        assert exit_code("verify", str(path)) == code
        lines = capsys.readouterr().out.splitlines()
        assert any(first in line for line in lines)
        assert lines[-1].startswith(last)
    assert exit_code("verify", str(path), "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["verdict"] == "changed"
    (moved,) = [check for check in data["checks"] if not check["holds"] and "kernel=7" in check["name"]][:1]
    assert moved["change"] == pytest.approx(1.0, abs=0.3)
    assert moved["measured_ms"] / moved["at_table_speed_ms"] == pytest.approx(data["slowness"])


def exit_code(*command):
    """Return the exit code of a command."""
    try:
        return main(list(command))
    except SystemExit as leaving:
        return leaving.code


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
