"""Trials measured on a device that is reached through a real ssh server on loopback, while this machine evaluates."""

import threading

import pytest
from measured_toys import DELIVERY, Shape, exact_table, search, unhurried  # noqa: F401
from ssh_server import NAME, Killer, gone

from hwnas.run_directories import read_run
from profilers import DeviceUnavailableError, SshBackend


def connect(**options):
    """The device, which notes the seeds of what it loads: trials have their number."""
    backend = SshBackend(f"ssh://{NAME}", **{"waits_s": (0.05, 0.1, 0.2, 0.4, 0.8, 1.6), **options})
    backend.loaded, load = [], backend.load

    def noted(graph, *, seed=0, **more):
        if seed < DELIVERY:
            backend.loaded.append(seed)
        return load(graph, seed=seed, **more)

    backend.load = noted
    return backend


def test_no_trial_is_lost_or_measured_twice_when_connections_die(ssh_device, ssh_server, tmp_path):
    said, threads = [], set()
    backend = connect(progress=said.append)
    load = backend.load

    def seen(graph, *, seed=0, **more):
        if seed < DELIVERY:
            threads.add((seed > 0, threading.current_thread().name))
        return load(graph, seed=seed, **more)

    backend.load = seen
    table = exact_table(identity=backend.identity())
    killer = Killer(backend.device, ssh_server, times=4)
    killer.start()
    try:
        result = search(tmp_path / "run", backend, table, samples=20)
    finally:
        killer.over = True
        killer.join()
    assert {"client", "server"} <= set(killer.killed)
    assert backend.device.lost >= 2
    assert sorted(backend.loaded) == [*[0] * 6, *range(1, 20)]  # the references and the reference op have no seed
    # trials in the background; what stays loaded, and trial 0, which has the same seed, in either thread
    assert threads == {(True, "measuring trials"), (False, "MainThread"), (False, "measuring trials")}
    records = read_run(result.path).trials
    assert [record.number for record in records] == list(range(20))
    for record in records:
        facts = record.measurements["latency_ms"]
        assert 5 <= facts["samples"] <= 150  # a busy machine repeats rounds
        assert 0 < facts["q10"] < 100
        assert record.values["latency_ms"] == facts["at_table_speed_median"]
    backend.device.close()
    assert gone(ssh_device)


def test_a_device_that_stays_away_ends_the_search_and_a_resumed_one_continues(ssh_device, ssh_server, tmp_path):
    backend = connect(waits_s=(0.01,))
    table = exact_table(identity=backend.identity())
    seen = []

    def unplug(arch):
        seen.append(arch)
        if len(seen) == 11:  # the first one of the second batch, which is being measured
            backend.device._connect = raising
            backend.device.close()

    def raising():
        raise DeviceUnavailableError("cannot reach it")

    with pytest.raises(DeviceUnavailableError, match="cannot reach it"):
        search(tmp_path / "run", backend, table, evaluator=Shape(unplug), samples=20)
    before = read_run(tmp_path / "run").trials
    told = len(before)
    assert told in (10, 15)  # the second batch may have been measured before its first evaluation
    again = connect()
    search(tmp_path / "run", again, table, samples=20)
    after = read_run(tmp_path / "run").trials
    assert after[:told] == before
    assert len(after) == 20
    assert sorted(again.loaded) == [*[0] * 5, *range(told, 20)]
    again.device.close()


def test_a_search_that_ends_leaves_no_measurement_behind(ssh_device, ssh_server, tmp_path):
    backend = connect()
    table = exact_table(identity=backend.identity())

    def stop(arch):
        assert measurements()  # evaluated meanwhile
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="0 trials are safe"):
        search(tmp_path / "run", backend, table, evaluator=Shape(stop), samples=20)
    assert not measurements()
    assert len(backend.loaded) < 5 + 10 + 1
    backend.device.close()


def measurements():
    return [thread for thread in threading.enumerate() if thread.name == "measuring trials"]
