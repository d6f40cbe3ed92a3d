"""A table that holds, and one that does not, on a simulated device."""

import dataclasses
import hashlib

import numpy as np
import pytest

from hwnas import _verify
from hwnas._cli import main
from hwnas._tables import draw_networks
from hwnas.spaces import make_space
from latency_tables import SESSION, save_table
from profilers import SamplingSettings, profile_ops

SPACE = make_space("mobilenetv3", preset="tiny", resolution=8, width=0.5)


class Device:
    """Adds its ops up; `slower` is what it takes longer than when it was profiled."""

    protocol, image_channels, batch, element_bytes, fast_cache_bytes = "simulated", 3, 1, 4, 0

    def __init__(self, slower=None):
        self.slower = slower or (lambda op: 1.0)

    def identity(self):
        return {"device": "simulated"}

    def environment(self):
        return {}

    def warnings(self):
        return []

    def load(self, graph, *, seed=0, tied=()):
        def seconds(op):
            return 1e-6 * (1 + hashlib.sha256(op.key.encode()).digest()[0] % 50) * self.slower(op)

        total = seconds(SESSION) + sum(seconds(op) * n for op, n in graph.op_counts.items())
        rng = np.random.default_rng(seed)

        class Runnable:
            def run(self, repeats):
                return repeats * total * (1 + 0.002 * rng.exponential())

        return Runnable()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return profile_ops(
        Device(),
        SPACE.ops(),
        draw_networks(SPACE, 14, 0),
        tmp_path_factory.mktemp("t") / "samples.jsonl",
        space={"name": SPACE.name, "settings": SPACE.settings},
        settings=SamplingSettings(min_rounds=8, max_rounds=12),
    )


def verify_on(monkeypatch, table, device, seed=0):
    monkeypatch.setattr(_verify, "backend_of", lambda table, space: device)
    return _verify.verify_table(table, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_table_holds_on_its_device(monkeypatch, table, seed):
    checks = verify_on(monkeypatch, table, Device(), seed)
    assert len(checks) == 7
    assert (checks[0].name, checks[-1].name.split()[0]) == ("calibration op", "network")
    assert all(check.holds for check in checks)


def test_a_slower_device_is_noticed(monkeypatch, table):
    checks = {check.name.split()[0]: check.holds for check in verify_on(monkeypatch, table, Device(lambda op: 1.3))}
    assert not checks["calibration"]
    assert not checks["network"]


def test_a_change_of_one_kind_of_op_is_noticed_where_it_is(monkeypatch, table):
    slow = Device(lambda op: 2.0 if op.kind == "mbconv" else 1.0)
    checks = {check.name: check.holds for check in verify_on(monkeypatch, table, slow)}
    assert checks["calibration op"]
    assert not any(holds for name, holds in checks.items() if name.startswith("network"))
    assert sum(not holds for name, holds in checks.items() if name.startswith("mbconv")) >= 3


def test_the_command_says_so_and_its_exit_code_too(monkeypatch, table, tmp_path, capsys):
    path = tmp_path / "t.json"
    save_table(dataclasses.replace(table), path)
    for device, code, last in (
        (Device(), 0, f"{path} holds here"),
        (Device(lambda op: 2.0), 1, f"{path} does not hold here: "),
    ):
        monkeypatch.setattr(_verify, "backend_of", lambda table, space, device=device: device)
        monkeypatch.setattr("hwnas._validate.backend_of", lambda table, space, device=device: device)
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
    assert capsys.readouterr().out == f"{len(table.entries)} prices and 14 networks in {target}\n"
