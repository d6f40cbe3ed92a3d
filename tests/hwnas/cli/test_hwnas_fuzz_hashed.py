"""Files with nonsense in them and the right hash: one line or sense, never a traceback, within bounded time and memory.

``HWNAS_FUZZ_EXAMPLES=10000`` makes it the long version.
"""

import copy
import json
import os
import random
import resource
import shutil
import time

import pytest
from cells import arguments, search
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_hwnas_fuzz import change, read_or_refused
from test_hwnas_paths import rehashed

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._common._chain import Chain
from hwnas._runs._entries import digest_of
from hwnas._tables._bundle import import_result, make_bundle
from hwnas.spaces import make_space
from latency_tables import LatencyTableError, content_hash
from profilers import ProfilerError
from profilers._remote._requests import device_facts

EXAMPLES = int(os.environ.get("HWNAS_FUZZ_EXAMPLES", "80"))
SECONDS, KIBIBYTES = 10.0, 400_000
"""What one file may take."""
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)
NONSENSE = [
    *(2**31, 2**62, 10**15, 10**400, -1, 1e300, -1e300, 1e-300, 0.5, -0.0, 10**9, 1000),
    *("\x1b[31m\n", "\ud800", "x" * 70_000, "../../x", "/etc/passwd", "table:", "supernet", "nan", "latency_ms"),
    *(["x"] * 1000, {"x": {"y": [1]}}, [[0]], ["latency", "latency"], ["macs"], [None], {"accuracy": 1e300}),
]


def nonsense(tree, rng):
    """Put nonsense into one to three places of a tree."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if rng.random() < 0.5:
            change(tree, rng)
            continue
        place = tree
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place, dict) and rng.random() < 0.2:
                place[rng.choice(["x", "cheap", "unhashed", "phases", "measure", "metric", "score"])] = copy.deepcopy(
                    rng.choice(NONSENSE)
                )
            else:
                place[key] = copy.deepcopy(rng.choice(NONSENSE))
            break


class Bounded:
    """What happens inside takes little time and memory."""

    def __enter__(self):
        self.began, self.before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self

    def __exit__(self, *error):
        assert time.process_time() - self.began < SECONDS  # not of other work on this machine
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.before < KIBIBYTES


def outcome(capsys, *command):
    """The exit code of a command, which says at most one line about what is wrong."""
    capsys.readouterr()
    with Bounded():
        code = main([str(word) for word in command])
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("hwnas: ")]
    assert code in (0, 2), captured.err
    assert len(errors) == (code == 2), captured.err
    assert "Traceback" not in captured.err
    return code


@pytest.fixture(scope="module")
def whole(csv, tmp_path_factory):
    out = search(csv, tmp_path_factory.mktemp("hashed") / "run", samples=8)
    search(csv, out, samples=10, budget="5ms")
    (out / "models").mkdir()

    def ship(networks):
        for network in networks:
            (out / "models" / f"{network['id']}.onnx").write_bytes(b"a network")
            network |= {"onnx": f"models/{network['id']}.onnx", "onnx_sha256": digest_of(b"a network")}

    rehashed(out, ship)
    return out


@pytest.fixture
def run(whole, tmp_path):
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    return tmp_path / "run"


def copy_of(whole, run):
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    return run


def exercised(csv, run, rng, capsys):
    """Every command that reads a run; the search itself, which reads a large table, for one in ten."""
    assert outcome(capsys, "runs", run.parent) == 0
    outcome(capsys, "runs", run.parent, "--json")
    outcome(capsys, "compare", run, run)
    pick = rng.choice(["fastest", "knee", "best", "t0000"])
    outcome(capsys, "export", run, "--pick", pick, "-o", run.parent / "out" / "n.onnx")
    if rng.random() < 0.1:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hwnas._report._write._pictures", lambda shown: {})
            outcome(capsys, *arguments(csv, run, samples=10, budget="5ms"))


@pytest.mark.slow
@quick
@given(seeds)
def test_settings(csv, whole, run, capsys, seed):
    rng, out = random.Random(seed), copy_of(whole, run)
    record = json.loads((out / "settings.json").read_text())
    record.pop("content_hash")
    nonsense(record, rng)
    (out / "settings.json").write_text(json.dumps({**record, "content_hash": content_hash(record)}))
    exercised(csv, out, rng, capsys)


@quick
@given(seeds)
def test_trials(csv, whole, run, capsys, seed):
    rng, out = random.Random(seed), copy_of(whole, run)
    records = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    for record in records:
        record.pop("content_hash")
    nonsense(records, rng)
    chain, lines = Chain(), []
    for record in records:
        if isinstance(record, dict):
            lines.append(json.dumps({**record, "content_hash": content_hash([chain._before, record])}))
            chain.commit(record)
        else:
            lines.append(json.dumps(record))
    (out / "trials.jsonl").write_text("".join(line + "\n" for line in lines))
    exercised(csv, out, rng, capsys)


@quick
@given(seeds)
def test_networks(csv, whole, run, capsys, seed):
    rng, out = random.Random(seed), copy_of(whole, run)
    rehashed(out, lambda networks: nonsense(networks, rng))
    exercised(csv, out, rng, capsys)


SPACE = {"preset": "tiny", "resolution": [8], "width": [0.5], "image_channels": 1}
SETTING = {"threads": 1, "batch": 1, "precision": "fp32", "image_channels": 1, "core_cache_bytes": 2**20}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What a device would bring back, with made-up times."""
    folder, rng = tmp_path_factory.mktemp("result") / "bundle", random.Random(0)
    make_bundle(make_space("mobilenetv3", **SPACE), folder, SETTING, networks=2, seed=0)
    job = json.loads((folder / "job" / "job.json").read_text())
    job.pop("content_hash")
    names = [name for one in job["passes"] for name in one]
    samples = {
        name: {
            "repeats": 9,
            "seconds": [1e-5 * (1 + rng.random()) for _ in "12"],
            "moments": [2 * i, 2 * i + 1],
            "stop": "cap",
        }
        for i, name in enumerate(names)
    }
    return {
        "format": "hwnas-job-result",
        "version": 4,
        "job": {name: job[name] for name in job if name not in ("passes", "care")},
        "facts": device_facts(),
        "provider": "CPUExecutionProvider",
        "energy": {"energy_counter": None, "energy_unavailable": "there is none"},
        "samples": samples,
    }


def written(path, result, version=4):
    body = {**result, "version": version}
    path.write_text(json.dumps(body if version == 3 else {**body, "content_hash": content_hash(body)}))
    return path


def test_a_sound_result_is_read_and_so_is_one_of_the_version_without_hashes(result, tmp_path):
    tables = [import_result(written(tmp_path / "r.json", result, version)) for version in (3, 4)]
    assert tables[0].entries == tables[1].entries
    body = {**result, "provider": "changed", "content_hash": content_hash(result)}
    (tmp_path / "r.json").write_text(json.dumps(body))
    with pytest.raises(ProfilerError, match="was changed after it was measured"):
        import_result(tmp_path / "r.json")
    (tmp_path / "r.json").write_text(json.dumps(result))
    with pytest.raises(ProfilerError, match="was changed after it was measured"):
        import_result(tmp_path / "r.json")


@quick
@given(seeds)
def test_results(result, tmp_path, seed):
    rng, changed = random.Random(seed), json.loads(json.dumps(result))
    parts = [changed, changed["job"], changed["job"], changed["facts"], changed["job"]["about"], changed["samples"]]
    nonsense(rng.choice(parts), rng)
    path = written(tmp_path / "r.json", changed, rng.choice([3, 4]))
    with Bounded():
        table = read_or_refused(lambda: import_result(path), HwnasError, ProfilerError, LatencyTableError)
    assert table is None or all(entry.median_ms >= 0 for entry in table.entries.values())
