"""Answers of devices that lie: numbers that can be, or one line; within bounded time and memory.

``HWNAS_FUZZ_EXAMPLES=10000`` makes it the long version.
"""

import copy
import json
import math
import os
import random
import resource
import time

import pytest
from fake_device import FACTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profilers import DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError
from profilers._remote._address import Address
from profilers._remote._backend import RemoteGroup, RemoteMeter, RemoteRunnable
from profilers._remote._device import RemoteDevice
from profilers._remote._facts import read_sizes

EXAMPLES = int(os.environ.get("HWNAS_FUZZ_EXAMPLES", "200"))
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ODD = [
    *(None, True, False, -1, 0, 1, 1.5, 2**31, 2**62, 10**400, -1e300, 1e300, float("nan"), float("inf")),
    *("", "x", "\x1b[31m\n", "\ud800", "x" * 300_000, "absent", "unsupported", "energy", "bug"),
    *([], [None], [[]], ["x"] * 5000, {}, {"a": {"b": 1}}, {"alive": True}),
]
BYTES = [
    *(b"\x00", b"\xff\xfe", b"\n", b"{", b"}", b'"', b"[" * 5000, b"9" * 5000, b"NaN", b"1e999", b'{"alive": true}\n'),
    *(b'"bytes": 99, ', b'"bytes": 2000000000, ', b'"bytes": -1, ', b"x" * 300_000, b'{"hwnas-runner": 1}\n'),
]
NAMES = ["error", "text", "bytes", "id", "alive", "missing", "old_python", "python", "seconds", "x"]


class Recorded(Address):
    """A device that says what a file holds, whatever it is asked."""

    def command(self):
        return ["sh", "-c", 'cat "$0"; exec >&-; cat >/dev/null', self.user]


def answers():
    """What a sound device says, in the order in which it is asked."""
    said = [{"hwnas-runner": 1, "missing": [], "python": "python3"}, FACTS, {}, {}, {"seconds": [1e-3]}]
    said += [{"name": "RAPL"}, {"mj": 2.5}, {}, {"sizes": [None]}, {}, {"bytes": 7}]
    return copy.deepcopy([said[0], *({"id": number, **answer} for number, answer in enumerate(said[1:], 1))])


def told(messages):
    return b"".join(json.dumps(one).encode() + b"\n" for one in messages) + b"a model"


def lies(rng):
    """Answers with values, names or bytes changed."""
    messages = answers()
    if rng.random() < 0.6:
        for _ in range(rng.choice([1, 1, 2])):
            place = rng.choice(messages)
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = rng.choice(keys) if keys else None
                if key is not None and isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
                    place = place[key]
                    continue
                if isinstance(place, dict) and (key is None or rng.random() < 0.3):
                    place[rng.choice(NAMES)] = copy.deepcopy(rng.choice(ODD))
                elif key is not None and rng.random() < 0.15:
                    del place[key]
                elif key is not None:
                    place[key] = copy.deepcopy(rng.choice(ODD))
                break
        return told(messages)
    data = bytearray(told(messages))
    for _ in range(rng.choice([1, 1, 2, 3])):
        a = rng.randrange(len(data) + 1)
        b = min(len(data), a + rng.choice([0, 0, 1, 2, 40]))
        data[a:b] = rng.choice([b"", bytes([rng.randrange(256)]), bytes(data[a:b]) * 2, rng.choice(BYTES)])
    return bytes(data)


def everything(path):
    """Ask a device all that can be asked."""
    device = RemoteDevice(Recorded("device", str(path)), threads=1, waits_s=(), silence_s=2.0)
    try:
        runnable = RemoteRunnable(device, RemoteGroup(device), lambda: b"model", 0)
        seconds = runnable.run(1)
        millijoules = RemoteMeter(device).inference_mj(runnable)
        model = [("0" * 64, lambda: b"model")]
        answer, _ = device.ask("arena", {"digests": ["0" * 64]}, models=model)
        sizes = read_sizes(answer.get("sizes"), 1, "it")
        optimised = device.ask("optimised", {"digest": "0" * 64}, models=model, most_payload=1000)[1]
        return device.facts, seconds, millijoules, sizes, optimised
    finally:
        device.close()


@pytest.fixture(autouse=True)
def _short_endings(monkeypatch):
    monkeypatch.setattr("profilers._remote._link._ENDING_S", 0.01)


def test_a_device_that_does_not_lie(tmp_path):
    (tmp_path / "said").write_bytes(told(answers()))
    facts, seconds, millijoules, sizes, optimised = everything(tmp_path / "said")
    assert facts.cpu == FACTS["cpu"]
    assert (seconds, millijoules, sizes, optimised) == (1e-3, 2.5, [None], b"a model")


@quick
@given(st.integers(0, 2**32 - 1))
def test_devices_that_lie(tmp_path, seed):
    path = tmp_path / "said"
    path.write_bytes(lies(random.Random(seed)))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        found, said = everything(path), ""
    except (DeviceUnavailableError, UnsupportedGraphError, EnergyUnavailableError) as error:
        found, said = None, str(error)
    assert time.monotonic() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert said.isprintable()
    assert len(said) < 1500
    if found is not None:
        facts, seconds, millijoules, sizes, optimised = found
        assert 0 < seconds < math.inf
        assert 0 <= millijoules < math.inf
        assert sizes == [None] or sizes[0] >= 0
        assert len(optimised) <= 1000
        assert 0 <= facts.core_cache_bytes < 2**62
        assert all(isinstance(value, str | int | float | None) for value in facts.environment.values())
