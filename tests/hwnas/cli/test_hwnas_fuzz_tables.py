"""Tables with a right hash and nonsense in them: every command that takes one says so in one line, and soon.

``HWNAS_FUZZ_EXAMPLES=10000`` makes it the long version.
"""

import contextlib
import copy
import io
import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_device import AdditiveBackend
from test_hwnas_fuzz import a_place

from hwnas import HwnasError, SearchSettings
from hwnas._cli import main
from hwnas._costs._space_costs import SpaceCosts
from hwnas._runs._offline import elsewhere_line, require_usable
from hwnas._tables._validate import backend_of, space_of, validate_table
from hwnas._tables._verify import verify_table
from hwnas.spaces import make_space
from latency_tables import LatencyTableError, content_hash, dump_table, load_table
from profilers import ProfilerError, SamplingSettings

EXAMPLES = int(os.environ.get("HWNAS_FUZZ_EXAMPLES", "80"))
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DATA = Path(__file__).resolve().parents[3] / "latency_tables" / "data"
ARCHS = {
    "mobilenetv3": "w1.0_r32_k3e2_k3e2_k3e2_k3e2_k3e2",
    "nasbench201": "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|skip_connect~2|",
}
SPACES = {"mobilenetv3": make_space("mobilenetv3", resolution=32), "nasbench201": make_space("nasbench201")}
ODD = [
    *(None, True, False, -1, 0, 1, 2, 10**6, 10**18, 10**400, 1.5, 1e300, 1e-300, 5e-324, -0.0, "", "x", "1", "cpu"),
    *("nan", "é\ud800\x1b]0;t\x07", "a" * 300, [], {}, [[]], [1], ["x"], [None], {"a": 1}, {"": None}, "nasbench201"),
]
SECONDS = 20.0


@pytest.fixture(scope="module")
def bodies():
    """Small tables of both spaces, as files hold them."""
    found = []
    for name in ("mobilenetv3-tiny-32px-1-thread-intel-xeon", "nasbench201-32px-1-thread-intel-xeon"):
        table = load_table(DATA / f"{name}.json")
        for version in (2, 3):
            few = replace(table, networks=table.networks[:12], version=version)
            found.append(json.loads(dump_table(few)))
    return found


def change(tree, rng):
    """Put something odd in one place of a tree, move a value there, or take it away."""
    tree, keys, key = a_place(tree, rng)
    if not keys:
        return
    kind = rng.random()
    if kind < 0.15:
        del tree[key]
    elif kind < 0.3:
        tree[key] = copy.deepcopy(tree[rng.choice(keys)])
    elif kind < 0.4 and isinstance(tree, dict):
        tree[rng.choice(["name", "cells", "x", "batch", "device"])] = copy.deepcopy(rng.choice(ODD))
    elif kind < 0.5 and type(tree[key]) in (int, float):
        tree[key] = tree[key] * rng.choice([1e-6, 1e-3, 1e3, 1e6, 1e12])
    else:
        tree[key] = copy.deepcopy(rng.choice(ODD))


def rehashed(body):
    body = {name: value for name, value in body.items() if name != "content_hash"}
    return json.dumps({**body, "content_hash": content_hash(body)})


def run(*arguments):
    """The command's exit code; what it printed in the end, which is one line where it failed."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    began = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(map(str, arguments)))
    assert time.monotonic() - began < SECONDS, arguments
    assert code in (0, 2), (arguments, err.getvalue())
    if code == 2:
        assert err.getvalue().splitlines()[-1].startswith("hwnas: error: ")
        assert "Traceback" not in err.getvalue()
    return code


@quick
@given(st.integers(0, 2**32 - 1))
def test_nonsense_under_a_right_hash(bodies, tmp_path, seed):
    rng = random.Random(seed)
    body = copy.deepcopy(rng.choice([*bodies, *4 * bodies[2:]]))  # those of cells are read faster
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        part = rng.choice([body, body, body["identity"], body["space"], body["networks"], body["environment"]])
        with contextlib.suppress(IndexError, TypeError, KeyError):
            change(part, rng)
        if not all(isinstance(body.get(name), dict) for name in ("identity", "space", "environment")):
            break
        if not isinstance(body.get("networks"), list):
            break
    path, merged = tmp_path / "t.json", tmp_path / "m.json"
    path.write_text(rehashed(body))
    name = body["space"].get("name") if isinstance(body.get("space"), dict) else None
    arch = ARCHS.get(name if isinstance(name, str) else None, "x")
    readable = run("table", "show", path) == 0
    assert readable or run("predict", path, arch) == 2
    if readable:
        run("predict", path, arch)
    if rng.random() < 0.3:
        assert (run("merge", path, path, "-o", merged) == 0) == readable
        assert not readable or run("table", "show", merged) == 0  # what is written can be read
    with contextlib.suppress(HwnasError, LatencyTableError, ProfilerError):
        price_as_a_search_does(load_table(path), rng.choice(list(SPACES)))


def price_as_a_search_does(table, name):
    """What a search does with a table of a device that is not here."""
    space = SPACES[name]
    asked = SearchSettings(space=name, table="t.json", offline=True)
    elsewhere_line(table)
    require_usable(table, asked, space)
    table.report_lines()
    codes = space.encode(space.parse(ARCHS[name]))
    assert np.isfinite(SpaceCosts(space, table).latency_ms(codes[None])).all()


class Claimed(AdditiveBackend):
    """A simulated device that is the one which the table was measured on."""

    facts = {}  # noqa: RUF012

    def identity(self):
        return dict(self.facts)


@settings(parent=quick, max_examples=max(10, EXAMPLES // 20))
@given(st.integers(0, 2**32 - 1))
def test_nonsense_is_measured_or_refused(bodies, tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    body = copy.deepcopy(bodies[0])
    part = rng.choice(["identity", "space", "networks", "environment", "cache", "settings"])
    with contextlib.suppress(IndexError, TypeError):
        change(body[part], rng)
    path = tmp_path / "t.json"
    path.write_text(rehashed(body))
    few = SamplingSettings(min_rounds=2, max_rounds=2)
    monkeypatch.setattr("hwnas._tables._verify_prices.QUICK", few)
    monkeypatch.setattr("hwnas._tables._verify.ROUNDS", 2)
    with contextlib.suppress(HwnasError, LatencyTableError, ProfilerError):
        table = load_table(path)
        space = space_of(table)
        backend_of(table, space)
        device = Claimed(noise=0.0)
        device.facts = table.identity
        monkeypatch.setattr("hwnas._tables._validate.backend_of", lambda *rest: device)
        verify_table(table, space, device)
        assert validate_table(table, networks=2, settings=few).report_lines()


def test_a_space_of_a_million_cells_is_refused_at_once(bodies, tmp_path):
    body = copy.deepcopy(bodies[2])
    body["space"]["settings"]["cells"] = 10**6
    path = tmp_path / "t.json"
    path.write_text(rehashed(body))
    began = time.monotonic()
    assert run("predict", path, ARCHS["nasbench201"]) == 2
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "command", ["table show {}", "predict {} x", "merge {} {} -o m.json", "verify {}", "validate {}"]
)
def test_pipes_and_devices_are_no_tables(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    for place in ("fifo", "/dev/zero", "."):
        assert run(*command.format(place, place).split()) == 2
