"""Mutated files are refused with one line or read as exactly what they were; never a traceback.

``HWNAS_FUZZ_EXAMPLES=10000`` makes it the long version.
"""

import contextlib
import copy
import io
import json
import os
import random
import shutil

import pytest
from cells import as_version_1, search
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas import HwnasError, SearchSettings
from hwnas._cli import main
from hwnas._runs._journal import TrialJournal
from hwnas._runs._list import describe_run, read_run
from hwnas._runs._run import Run
from latency_tables import LatencyTableError, dump_table, load_table
from search import Constraint, Domain, Objective, Problem, SearchError, Study, Trial, make_strategy

EXAMPLES = int(os.environ.get("HWNAS_FUZZ_EXAMPLES", "150"))
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)
ODD = [None, True, -1, 0, 1.5, 10**400, "", "x", [], {}, [[]], float("inf"), float("nan"), "\ud800", {"a": 1}]
TEXTS = [b"\x00", b"\xff\xfe", b"{", b"]", b'"', b"NaN", b"1e999", b"[" * 3000, b"\n", b",", b"-", b"9" * 5000]


def mutated(text, rng):
    """A file with bytes changed, cut out, doubled or put in, or with one value of its JSON changed."""
    if rng.random() < 0.5:
        lines = text.decode().splitlines()
        whole = len(lines) > 1 and lines[0] in ("{", "[")
        documents = [json.loads(text)] if whole else [json.loads(line) for line in lines]
        change(rng.choice(documents), rng)
        return ("\n".join(json.dumps(document) for document in documents) + "\n").encode()
    data = bytearray(text)
    for _ in range(rng.randint(1, 3)):
        a = rng.randrange(len(data) + 1)
        b = min(len(data), a + rng.choice([0, 1, 2, 40]))
        data[a:b] = rng.choice([b"", bytes([rng.randrange(256)]), bytes(data[a:b]) * 2, rng.choice(TEXTS)])
    return bytes(data)


def a_place(tree, rng):
    """A container somewhere in a tree, its keys and one of them; no keys where the tree is empty."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return tree, keys, None
        key = rng.choice(keys)
        if not (isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.8):
            return tree, keys, key
        tree = tree[key]


def change(tree, rng):
    """Put something else in one place of a tree, or take it away."""
    tree, keys, key = a_place(tree, rng)
    if not keys:
        return
    if rng.random() < 0.2:
        del tree[key]
    else:
        tree[key] = copy.deepcopy(rng.choice(ODD))


def read_or_refused(read, *errors):
    """What `read` gives; None where it refuses with one line."""
    try:
        return read()
    except errors as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


@pytest.fixture(scope="module")
def run(csv, tmp_path_factory):
    out = tmp_path_factory.mktemp("fuzz") / "run"
    search(csv, out, samples=8)
    search(csv, out, samples=10, budget="5ms")
    return out


def contents(run):
    """All that is kept of a run."""
    return run.settings, run.identity, run.phases, run.finished, run.unhashed


@quick
@given(seeds)
def test_mutated_settings(run, seed):
    rng, path = random.Random(seed), run / "settings.json"
    text, whole = path.read_bytes(), read_run(run)
    try:
        path.write_bytes(mutated(text, rng))
        found = read_or_refused(lambda: read_run(run), HwnasError)
        assert found is None or contents(found.run) == contents(whole.run)
        assert describe_run(run, run.parent).state in ("finished", "stopped", "damaged")
        assert (describe_run(run, run.parent).state == "damaged") == (found is None)
        shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(shown):
            assert main(["runs", str(run.parent)]) == 0
        read_or_refused(lambda: Run.check(run, SearchSettings(), {}), HwnasError)
    finally:
        path.write_bytes(text)


@quick
@given(seeds)
def test_mutated_journals(run, tmp_path, seed):
    text, whole = (run / "trials.jsonl").read_bytes(), read_run(run)
    path = tmp_path / "trials.jsonl"
    path.write_bytes(mutated(text, random.Random(seed)))
    (tmp_path / "settings.json").write_bytes((run / "settings.json").read_bytes())
    found = read_or_refused(lambda: read_run(tmp_path), HwnasError)
    assert found is None or found.trials == whole.trials[: len(found.trials)]
    journal = read_or_refused(lambda: TrialJournal(path), HwnasError)
    assert (journal is None) == (found is None)
    if journal is not None:
        journal.close()
        written = [json.loads(line) for line in text.splitlines()]
        assert [record.as_dict() for record in journal.records] == [
            without_hash(line) for line in written[: len(journal.records)]
        ]


def without_hash(line):
    return {name: value for name, value in line.items() if name != "content_hash"}


@quick
@given(seeds)
def test_mutated_networks(run, seed):
    rng, path = random.Random(seed), run / "pareto.json"
    text = path.read_bytes()
    try:
        path.write_bytes(mutated(text, rng))
        found = read_or_refused(lambda: Run.open(run).pareto(), HwnasError)
        assert found is None or found == json.loads(text)
    finally:
        path.write_bytes(text)


@pytest.fixture(scope="module")
def old_run(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("fuzz") / "old"
    shutil.copytree(run, out)
    as_version_1(out)
    return out


@quick
@given(seeds)
def test_mutated_runs_without_hashes_give_no_traceback(old_run, tmp_path, seed):
    rng = random.Random(seed)
    name = rng.choice(["settings.json", "trials.jsonl"])
    for file in ("settings.json", "trials.jsonl"):
        text = (old_run / file).read_bytes()
        (tmp_path / file).write_bytes(mutated(text, rng) if file == name else text)
    found = read_or_refused(lambda: read_run(tmp_path), HwnasError)
    assert (describe_run(tmp_path, tmp_path.parent).state == "damaged") == (found is None)
    read_or_refused(lambda: Run.check(tmp_path, SearchSettings(), {}), HwnasError)
    journal = read_or_refused(lambda: TrialJournal(tmp_path / "trials.jsonl", unhashed=True), HwnasError)
    if journal is not None:
        journal.close()
        assert all(isinstance(record.trial, Trial) for record in journal.records)


def toy():
    def price(codes):
        return codes.sum(axis=1) + 1.0

    objectives = (Objective("score", "max"), Objective("price", "min", cost_function=price))
    return Problem(Domain((3, 4, 5)), objectives, (Constraint("price", price, 8.0),))


@pytest.fixture(scope="module")
def journal():
    study = Study(toy(), make_strategy("random"), seed=1)
    while len(study.trials) < 25:
        for proposal in study.ask():
            study.tell(proposal.number, {"score": float(sum(proposal.codes)) / (1 + proposal.number)})
    return study.trials, ("\n".join(json.dumps(trial.to_json()) for trial in study.trials) + "\n").encode()


@quick
@given(seeds)
def test_a_mutated_journal_without_hashes_restores_the_same_proposals_or_none(journal, tmp_path, seed):
    trials, text = journal
    path = tmp_path / "trials.jsonl"
    path.write_bytes(mutated(text, random.Random(seed)))

    def restore():
        opened = TrialJournal(path, unhashed=True)
        opened.close()
        told = [Trial.from_json(record) for record in opened.records]
        return Study.restore(toy(), make_strategy("random"), seed=1, trials=told)

    study = read_or_refused(restore, HwnasError, SearchError)
    if study is not None:
        assert {trial.number: trial.codes for trial in study.trials}.items() <= {
            trial.number: trial.codes for trial in trials
        }.items()


@pytest.fixture(scope="module")
def small_table():
    from dataclasses import replace
    from pathlib import Path

    folder = Path(__file__).resolve().parents[3] / "latency_tables" / "data"
    table = load_table(folder / "mobilenetv3-tiny-32px-1-thread-intel-xeon.json")
    few = dict(list(table.entries.items())[:3])
    return dump_table(replace(table, entries=few, networks=table.networks[:3]))


@quick
@given(seeds)
def test_mutated_tables(small_table, tmp_path, seed):
    path = tmp_path / "table.json"
    path.write_bytes(mutated(small_table.encode(), random.Random(seed)))
    table = read_or_refused(lambda: load_table(path), LatencyTableError)
    assert table is None or dump_table(table) == small_table
