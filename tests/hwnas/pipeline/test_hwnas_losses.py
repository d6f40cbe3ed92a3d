"""Nothing is lost, whatever goes wrong around a search: clashes, logs, names, folders, evaluations that fail."""

import json
import math
import os
import shutil
import sys
import zlib

import numpy as np
import pytest
from cells import arguments, search, trials_of
from run_toys import trial_record

import hwnas
from hwnas import Evaluation, Evaluator, HwnasError, SearchSettings
from hwnas._cli import main
from hwnas._common._option import parse_pairs
from hwnas._costs._units import parse_count, parse_latency
from hwnas._pipeline._troubles import AT_THE_START, IN_A_ROW, Troubles
from hwnas._runs._journal import TrialJournal
from hwnas._runs._run import Run
from hwnas._runs._watch import Unbroken, Watcher
from hwnas._tables._fit import fit_table
from hwnas._workers import Outcome
from hwnas.spaces import make_space


def forbid_spaces(monkeypatch):
    """Fail where a search makes its space."""
    fail = lambda *a, **k: pytest.fail("the space was made first")  # noqa: E731
    monkeypatch.setattr("hwnas._pipeline._setup_inputs.make_space", fail)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(csv, out, capsys, *more, **options):
    """The line that a search is refused with."""
    assert main(arguments(csv, out, *more, **options)) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_second_search_changes_nothing_of_the_first(csv, tmp_path, capsys):
    out = search(csv, tmp_path / "run", samples=12)
    run = Run.open(out)
    run.lock()
    before = contents(out)
    for more in ([], ["--seed", "1"], ["--proposals", "3"]):
        assert "is in use by another hwnas search" in refused(csv, out, capsys, *more, samples=30)
        assert contents(out) == before
    run.release()
    search(csv, out, samples=12)


def test_a_search_that_has_no_trial_yet_is_safe_from_another_too(csv, tmp_path, capsys):
    run = Run.check(tmp_path / "run", SearchSettings(), {})
    run.lock()
    run.continue_from(0)
    before = contents(tmp_path / "run")
    assert "is in use" in refused(csv, tmp_path / "run", capsys)
    assert contents(tmp_path / "run") == before
    run.release()


def test_a_refused_start_leaves_nothing_behind(csv, tmp_path, capsys):
    assert "no network of the space meets" in refused(csv, tmp_path / "a" / "run", capsys, budget="0.001ms")
    assert not (tmp_path / "a").exists()
    (tmp_path / "empty").mkdir()
    refused(csv, tmp_path / "empty", capsys, budget="0.001ms")
    assert contents(tmp_path / "empty") == {}
    (tmp_path / "empty" / "trials.jsonl").touch()  # as a search leaves it that is killed before its first line
    search(csv, tmp_path / "empty", samples=3)


def test_a_place_that_cannot_be_used_is_refused_before_anything_is_loaded(csv, tmp_path, capsys, monkeypatch):
    forbid_spaces(monkeypatch)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter.txt").write_text("mine")
    assert refused(csv, tmp_path / "file", capsys).endswith("file is a file; choose a folder for --out")
    assert "is a file" in refused(csv, tmp_path / "file" / "run", capsys)
    assert "is not a run of hwnas" in refused(csv, tmp_path / "folder", capsys)
    assert "name too long" in refused(csv, tmp_path / ("x" * 300), capsys)
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    assert "no permission to write" in refused(csv, tmp_path / "run", capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_the_folder_of_another_search_is_refused_before_anything_is_loaded(csv, tmp_path, capsys, monkeypatch):
    out = search(csv, tmp_path / "run", samples=3)
    before = contents(out)
    forbid_spaces(monkeypatch)
    assert "contains a search with seed 0, this one has 1" in refused(csv, out, capsys, "--seed", "1")
    assert contents(out) == before


@pytest.mark.parametrize("name", ["caf\udce9", "a\0b"])
def test_a_name_that_is_no_text_is_refused_at_once(csv, tmp_path, capsys, name):
    assert "the name of --out" in refused(csv, f"{tmp_path}/{name}", capsys)
    assert not list(tmp_path.iterdir())


def test_settings_that_could_not_be_read_again_are_refused(csv, tmp_path, capsys):
    assert "data is not UTF-8" in refused(csv, tmp_path / "run", capsys, "--data", "caf\udce9")
    with pytest.raises(HwnasError, match="must be a finite number"):
        hwnas.search(out=tmp_path / "run", space_settings={"width": [math.inf]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["9" * 400 + "ms", "9" * 400, "9999999999s", "0." + "0" * 400 + "1"])
def test_latencies_beyond_sense_are_one_short_line(text):
    with pytest.raises(HwnasError) as caught:
        parse_latency(text)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize("text", ["9" * 400, "9" * 310 + "k", "9999999999999G"])
def test_amounts_beyond_sense_are_one_short_line(text):
    with pytest.raises(HwnasError) as caught:
        parse_count(text)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 10**10},
        {"proposals": 10**7},
        {"seed": 2**63},
        {"seed": 10**1000},
        {"evaluation_threads": 10**9},
        {"budgets": {"macs": math.inf}},
        {"budgets": {"macs": math.nan}},
        {"budgets": {"macs": 0}},
    ],
)
def test_numbers_beyond_sense_are_refused(changes):
    with pytest.raises(HwnasError) as caught:
        SearchSettings(**changes)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize("value", ["1e999", "nan", "-inf", "9" * 5000])
def test_a_recipe_holds_finite_numbers(value):
    with pytest.raises(HwnasError, match="must be a finite number"):
        parse_pairs("--recipe", f"learning_rate={value}")


@pytest.mark.parametrize("error", [OSError(28, "No space left"), BrokenPipeError(), ValueError("closed file")])
def test_a_log_that_cannot_be_written_ends_no_search(csv, tmp_path, monkeypatch, error):
    class Full:
        encoding = "utf-8"

        def write(self, text):
            raise error

        flush = isatty = lambda self: False

    monkeypatch.setattr(sys, "stderr", Full())
    search(csv, tmp_path / "run", samples=12)
    monkeypatch.undo()
    assert len(trials_of(tmp_path / "run")) == 12
    assert (tmp_path / "run" / "pareto.json").exists()


def test_only_a_log_is_excused():
    class Wrong(Watcher):
        def line(self, text):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Unbroken(Wrong()).line("text")


def small_space():
    return make_space("mobilenetv3", preset="tiny", resolution=[8], width=[0.5], image_channels=1)


class Hashed(Evaluator):
    """Values that depend on the text of an architecture alone; some of them fail."""

    name, settings, measure = "hashed", {}, "score"

    def __init__(self, bad=lambda number, text: None):
        self.space, self.bad, self.calls = small_space(), bad, 0

    def evaluate(self, arch):
        self.calls += 1
        text = self.space.format(arch)
        self.bad(self.calls, text)
        return Evaluation(sum(map(ord, text)) % 97 / 97)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A latency table that needs no measurement: fitted to made-up latencies."""
    space, file = small_space(), tmp_path_factory.mktemp("few") / "few.csv"
    texts = list(dict.fromkeys(space.format(arch) for arch in space.sample(60, np.random.default_rng(0))))
    rows = [f"{text},{1 + sum(map(ord, text)) % 50 / 50}\n" for text in texts]
    file.write_text("".join(["arch,ms\n", *rows]))
    return fit_table(space, str(file), latency_column="ms", device="none")


@pytest.fixture
def go(table, tmp_path, monkeypatch):
    """A search with an evaluator; what is said is in `go.said`."""
    monkeypatch.setattr("hwnas._report.write_report", lambda *shown: None)

    def search(evaluator, samples=20, strategy="random", **more):
        return hwnas.search(
            small_space(),
            out=tmp_path / "run",
            evaluator=evaluator,
            table=table,
            offline=True,
            minimize=["macs"],
            samples=samples,
            strategy=strategy,
            progress=search.said.append,
            **more,
        )

    search.said = []
    search.out = tmp_path / "run"
    return search


def never_fits(number, text):
    if zlib.crc32(text.encode()) % 4 == 0:
        raise MemoryError("it does not fit")


@pytest.mark.parametrize("strategy", ["random", "nsga2", "lamoo"])
def test_a_network_that_never_fits_fails_and_the_search_goes_on(go, strategy):
    whole = go(Hashed(never_fits), samples=25, strategy=strategy)
    failed = [trial for trial in whole.trials if trial.failed]
    assert len(whole.trials) == 25
    assert len({trial.text for trial in whole.trials}) == 25  # a failed one is not proposed again
    assert 0 < len(failed) < 25
    assert all("MemoryError: it does not fit" in trial.failed and not trial.values for trial in failed)
    assert not {trial.number for trial in whole.front} & {trial.number for trial in failed}
    assert any(line.startswith(f"trial {failed[0].number} failed: evaluator hashed") for line in go.said)
    again = Hashed(never_fits)
    assert go(again, samples=25, strategy=strategy).trials == whole.trials
    assert again.calls == 0


def test_an_evaluator_that_never_works_ends_the_search_and_leaves_no_trial(go):
    def broken(number, text):
        raise ImportError("no module named scipy")

    with pytest.raises(
        HwnasError, match=f"the first {AT_THE_START} evaluations failed for the same reason.*no module named scipy"
    ):
        go(Hashed(broken))
    assert trials_of(go.out) == []
    assert len(go(Hashed()).trials) == 20


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), StopIteration()])
def test_an_evaluator_that_leaves_while_it_is_prepared_is_an_error(go, error):
    class Leaver(Hashed):
        def prepare(self, workdir, progress=None):
            raise error

    with pytest.raises(HwnasError, match=f"evaluator hashed must not raise {type(error).__name__}"):
        go(Leaver())


def test_foreign_code_that_leaves_anywhere_is_an_error(go):
    class Leaver(Hashed):
        @property
        def settings(self):
            sys.exit(0)

    with pytest.raises(HwnasError, match="must not raise SystemExit: 0"):
        go(Leaver())


def test_a_strategy_that_leaves_is_an_error(go):
    class Leaver:
        name = "leaver"

        def propose(self, context, n, rng):
            raise SystemExit(0)

    with pytest.raises(HwnasError, match="strategy leaver must not raise SystemExit: 0"):
        go(Hashed(), strategy=Leaver())


def test_an_evaluation_that_leaves_fails_its_trial(go):
    leaves = Hashed(lambda number, text: sys.exit(0) if 5 <= number < 8 else None)
    assert [trial.number for trial in go(leaves).trials if trial.failed] == [4]
    assert len(trials_of(go.out)) == 20


def test_a_removed_folder_ends_the_search(go):
    evaluator = Hashed(lambda number, text: shutil.rmtree(go.out) if number == 7 else None)
    with pytest.raises(HwnasError, match="was removed or replaced while the search ran"):
        go(evaluator)
    assert evaluator.calls == 7
    assert not go.out.exists()


def test_failures_alike_in_a_row_end_a_search_that_worked_before():
    bad, troubles = Outcome(None, "out of memory", 0.0, "MemoryError"), Troubles(worked=True)
    for number in range(IN_A_ROW - 1):
        assert troubles.passed(trial_record(number), bad) == [trial_record(number)]
    with pytest.raises(HwnasError, match="in a row failed for the same reason"):
        troubles.passed(trial_record(0), bad)
    other = Troubles(worked=True)
    for number in range(3 * IN_A_ROW):
        other.passed(trial_record(0), bad if number % 9 else Outcome(None, "no row", 0.0))


def test_failures_are_held_back_until_something_works():
    bad, troubles = Outcome(None, "x", 0.0, "KeyError"), Troubles(worked=False)
    assert troubles.passed(trial_record(0), bad) == []
    assert troubles.passed(trial_record(1), Outcome(Evaluation(1.0), None, 0.0)) == [trial_record(0), trial_record(1)]
    few = Troubles(worked=False)
    few.passed(trial_record(0), bad)
    with pytest.raises(HwnasError, match="the first 1 evaluations failed for the same reason"):
        few.end()


def test_many_lines_wait_for_the_disk_once(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("latency_tables._files.os.fsync", synced.append)
    monkeypatch.setattr("hwnas._runs._journal.time.monotonic", lambda: 10.0)
    journal = TrialJournal(tmp_path / "trials.jsonl")
    synced.clear()  # that of the folder, for the name of a new file
    for number in range(50):
        journal.append(trial_record(number))
        assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == number + 1
    assert len(synced) == 1
    journal.close()
    assert len(synced) == 2
    assert [json.loads(line)["number"] for line in (tmp_path / "trials.jsonl").read_text().splitlines()] == list(
        range(50)
    )
