"""A device reached through a real ssh server on loopback: the same prices, and no round lost with a connection."""

import json
import math
import threading
import time

import numpy as np
import pytest
from ssh_server import NAME, Killer, gone, runners

from hwnas.spaces import make_space
from latency_tables import GraphBuilder
from profilers import (
    DeviceUnavailableError,
    EnergyUnavailableError,
    Network,
    OnnxRuntimeBackend,
    SamplingSettings,
    SshBackend,
    Timer,
    UnsupportedGraphError,
    clean_device,
    energy_mj,
    ops,
    profile_ops,
)
from profilers._onnxruntime import sweep_bytes
from profilers._plan import reference_graph

FEW = SamplingSettings(min_rounds=6, max_rounds=6, inner_seconds=5e-5)
SPACE = make_space("nasbench201", image_size=8, image_channels=1)
DEVICE = f"ssh://{NAME}"


def connect(**options):
    options = {"image_channels": 1, "waits_s": (0.05, 0.1, 0.2, 0.4, 0.8, 1.6), **options}
    return SshBackend(DEVICE, **options)


def graphs(count):
    return [SPACE.graph(arch) for arch in SPACE.sample(count, np.random.default_rng(0))]


def tiny_network(length):
    """A few convolutions of one kind, and nothing else."""
    builder = GraphBuilder((1, 8, 8))
    x = builder.add("entry", ops.conv((1, 8, 8), 16, 3, act="relu"), "input")
    for i in range(length):
        x = builder.add(f"conv{i}", ops.conv((16, 8, 8), 16, 3, act="relu"), x)
    return builder.build(x)


def small_profile(backend, journal):
    networks = [Network(str(i), tiny_network(i), "held-out" if i > 1 else "calibration") for i in range(4)]
    targets = list(networks[-1].graph.op_counts)
    return profile_ops(backend, targets, networks, journal, space={"name": "few", "settings": {}}, settings=FEW)


def require_two_whole_passes(journal):
    """The journal holds the rounds of both passes, in their order: six, and on a busy machine disturbed ones again."""
    rounds = [line for line in map(json.loads, journal.read_text().splitlines()) if "round" in line]
    numbers = [line["round"] for line in rounds]
    second = numbers.index(0, 1)
    for passed in (numbers[:second], numbers[second:]):
        assert passed == list(range(len(passed)))
        assert 6 <= len(passed) <= 9
    assert all(math.isfinite(s) and s > 0 for line in rounds for s in line["seconds"].values())


def test_the_device_is_this_machine_and_says_so(ssh_device):
    backend, here = connect(), OnnxRuntimeBackend(image_channels=1)
    assert backend.identity() == here.identity()
    assert backend.environment().keys() == here.environment().keys()
    assert backend.fast_cache_bytes == here.fast_cache_bytes
    (runner,) = runners(ssh_device)
    assert runner.status() != "zombie"
    del backend
    assert gone(ssh_device)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_round_is_one_request_and_models_travel_once(ssh_device, precision, monkeypatch):
    backend = connect(precision=precision)
    loaded = {str(i): backend.load(graph, seed=1) for i, graph in enumerate(graphs(3))}
    asked = []
    monkeypatch.setattr(backend.device, "_once", spy(asked, backend.device._once))
    samples = Timer(loaded, FEW).run()
    assert [request["do"] for request, _ in asked] == ["fastest", *["round"] * 6]
    assert all(len(one.seconds) == 6 and min(one.seconds) > 1e-6 for one in samples.values())
    del asked[:]
    again = backend.load(graphs(1)[0], seed=1)
    assert again.run(3) > 0
    assert "put" not in [request["do"] for request, _ in asked]
    number = again.number
    del again
    backend.environment()
    assert asked[-1][0]["do"] == "facts"
    with pytest.raises(KeyError):
        backend.device._models[number]


def test_networks_with_several_inputs_and_of_other_ranks_travel(ssh_device):
    builder = GraphBuilder({"sound": (2, 16), "clip": (3, 4, 4, 4)})
    heard = builder.add("hear", ops.conv((2, 16), 4, 3, act="relu"), "sound")
    seen = builder.add("see", ops.conv((3, 4, 4, 4), 4, (1, 3, 3), act="relu"), "clip")
    assert connect().load(builder.build(heard, seen)).run(2) > 0


def test_the_device_is_told_what_to_sweep(ssh_device, monkeypatch):
    backend, asked = connect(), []
    monkeypatch.setattr(backend.device, "_once", spy(asked, backend.device._once))
    loaded = [backend.load(graphs(1)[0], cold=cold) for cold in (True, False)]
    opened = {request["session"]: request["sweep"] for request, _ in asked if request["do"] == "open"}
    assert opened == {loaded[0].number: sweep_bytes(backend.fast_cache_bytes, 1), loaded[1].number: 0}
    assert min(one.run(3) for one in loaded) > 0


def spy(asked, call):
    def once(link, request, payload=b"", **limits):
        asked.append((request, len(payload)))
        return call(link, request, payload, **limits)

    return once


def test_what_the_device_measures_is_what_this_machine_measures(ssh_device):
    remote, here = connect(), OnnxRuntimeBackend(image_channels=1)
    both = {}
    for graph in graphs(3):
        both[str(len(both))] = here.load(graph), remote.load(graph)
    ratios = []
    for mine, theirs in both.values():  # one beside the other: this machine has other work
        pairs = [(mine.run(20), theirs.run(20)) for _ in range(12)]
        ratios.append(min(b for _, b in pairs) / min(a for a, _ in pairs))
    assert 0.5 < np.median(ratios) < 2


def test_a_profile_loses_nothing_when_connections_die_at_random(ssh_device, ssh_server, tmp_path):
    said = []
    backend = connect(progress=said.append)
    killer = Killer(backend.device, ssh_server, times=6)
    killer.start()
    try:
        table = small_profile(backend, tmp_path / "samples.jsonl")
    finally:
        killer.over = True
        killer.join()
    assert {"client", "server"} <= set(killer.killed)
    assert backend.device.lost >= 2
    assert all(entry.priced for entry in table.entries.values())
    assert any(f"connection to the device was lost {backend.device.lost} times" in note for note in table.notes)
    assert any(line.startswith(f"connection to {DEVICE} lost (") for line in said)
    require_two_whole_passes(tmp_path / "samples.jsonl")
    backend.device.close()
    assert gone(ssh_device)


def test_a_device_that_stays_away_is_given_up_and_its_rounds_stay(ssh_device, ssh_server, tmp_path, monkeypatch):
    backend = connect(waits_s=(0.01, 0.01))
    journal = tmp_path / "samples.jsonl"
    count = 0
    ask = backend.device.ask

    def lose_it_in_round_4(what, *arguments, **options):
        nonlocal count
        count += what == "round"
        if count == 4:
            monkeypatch.setenv("HWNAS_SSH", "false")
            backend.device._link.process.kill()
        return ask(what, *arguments, **options)

    monkeypatch.setattr(backend.device, "ask", lose_it_in_round_4)
    before = dict(ssh_server.environment(ssh_device))
    with pytest.raises(DeviceUnavailableError, match=r"was lost \(.*run the same command again to resume$"):
        small_profile(backend, journal)
    assert sum("round" in json.loads(line) for line in journal.read_text().splitlines()) == 3
    monkeypatch.setenv("HWNAS_SSH", before["HWNAS_SSH"])
    table = small_profile(connect(), journal)
    assert all(entry.priced for entry in table.entries.values())
    assert not any("was lost" in note for note in table.notes)
    require_two_whole_passes(journal)


def test_a_runner_ends_in_the_middle_of_a_measurement_when_its_connection_does(ssh_device):
    backend = connect()
    loaded = backend.load(reference_graph(1))
    threading.Timer(0.4, lambda: backend.device._link.process.kill()).start()
    backend.device._waits_s = ()
    with pytest.raises(DeviceUnavailableError, match="ssh was stopped by signal 9"):
        loaded.run(10**7)
    assert gone(ssh_device)


def test_models_come_back_when_the_cache_folder_is_gone(ssh_device):
    backend = connect(precision="int8")
    loaded = backend.load(graphs(1)[0])
    backend.device.close()
    assert clean_device(DEVICE) == (True, str(ssh_device))
    assert not ssh_device.exists()
    assert loaded.run(1) > 0
    assert clean_device(DEVICE) == (True, str(ssh_device))
    assert clean_device(DEVICE) == (False, str(ssh_device))


def test_folders_of_others_are_left_alone(ssh_device):
    ssh_device.mkdir(parents=True)
    (ssh_device / "thesis.txt").write_text("mine")
    with pytest.raises(DeviceUnavailableError, match="was not made by hwnas, so it is not removed"):
        clean_device(DEVICE)
    with pytest.raises(DeviceUnavailableError, match="holds files of other programs; name another folder"):
        connect()
    assert (ssh_device / "thesis.txt").read_text() == "mine"


def test_a_graph_that_the_device_refuses(ssh_device, tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(UnsupportedGraphError, match="ONNX Runtime cannot execute the graph"):
        connect().load_trained(reference_graph(1), {}, str(path))


def test_arenas_fusions_and_energy_come_from_the_device(ssh_device, tmp_path):
    from profilers import build_onnx, random_weights

    backend, here = connect(), OnnxRuntimeBackend(image_channels=1)
    graph = graphs(1)[0]
    path = tmp_path / "n.onnx"
    path.write_bytes(build_onnx(graph, random_weights(graph)).SerializeToString())
    assert backend.arena_bytes([path, path]) == here.arena_bytes([path, path])
    assert backend.execution_notes({"n": graph}) == here.execution_notes({"n": graph}) == []
    assert energy_of(backend, graph) == energy_of(here, graph)


def energy_of(backend, graph):
    """That it can be had, or why not."""
    try:
        return energy_mj(backend.load(graph), backend.energy_counter()) > 0
    except EnergyUnavailableError as error:
        return str(error)


class TestRefusals:
    """One line each, at once."""

    def refused(self, match, **options):
        began = time.monotonic()
        with pytest.raises(DeviceUnavailableError, match=match) as found:
            connect(waits_s=(30.0,), **options)
        assert "\n" not in str(found.value)
        assert time.monotonic() - began < 25

    def test_an_unknown_host_key(self, ssh_device, ssh_server, monkeypatch):
        monkeypatch.setenv("HWNAS_SSH", ssh_server.environment(ssh_device, known_hosts="nobody")["HWNAS_SSH"])
        self.refused(rf"cannot reach {DEVICE}: Host key verification failed\.; .* run `ssh {NAME} true` once and")
        assert not (ssh_server.folder / "nobody").exists()

    def test_a_missing_package(self, ssh_device, tmp_path, monkeypatch):
        """A Python that finds everything but psutil and numpy."""
        import sys

        python = tmp_path / "python"
        (tmp_path / "hidden").mkdir()
        (tmp_path / "hidden" / "sitecustomize.py").write_text(
            "import sys\n"
            "class Hide:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name in ('psutil', 'numpy'):\n"
            "            raise ModuleNotFoundError(name)\n"
            "import importlib.util as u\n"
            "find = u.find_spec\n"
            "u.find_spec = lambda name, *rest: None if name in ('psutil', 'numpy') else find(name, *rest)\n"
        )
        python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "hidden"} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        monkeypatch.setenv("HWNAS_DEVICE_PYTHON", str(python))
        self.refused(rf"^{DEVICE} lacks numpy, psutil; run: ssh {NAME} '\S+ -m pip install numpy psutil'$")
        assert gone(ssh_device)

    def test_no_python(self, ssh_device, monkeypatch):
        monkeypatch.setenv("HWNAS_DEVICE_PYTHON", "python3.99")
        self.refused(r"exit code 127.*; install Python 3\.9 or newer there as python3\.99, or name one with ")

    def test_no_ssh(self, ssh_device, monkeypatch):
        monkeypatch.setenv("HWNAS_SSH", "/nowhere/ssh")
        self.refused(r"cannot start '/nowhere/ssh': No such file or directory; install OpenSSH")

    def test_nobody_listens(self, ssh_device, monkeypatch):
        monkeypatch.setenv("HWNAS_SSH", "ssh -F none")
        with pytest.raises(DeviceUnavailableError, match=r"cannot reach ssh://127\.0\.0\.1:1: .*Connection refused"):
            SshBackend("ssh://127.0.0.1:1")

    def test_too_many_threads_and_a_provider_that_is_not_there(self, ssh_device):
        self.refused(rf"--threads must be 1 to \d+ \(the usable cores of {DEVICE}\), got 999", threads=999)
        self.refused("has no execution provider 'npu'; choose one of ", provider="npu")
