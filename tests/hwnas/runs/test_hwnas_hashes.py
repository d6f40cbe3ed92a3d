"""A run that was changed by hand or by accident is refused; a run of a version without hashes goes on."""

import json
import shutil

import pytest
from cells import arguments, as_version_1, cut, search, trials_of
from run_toys import trial_record

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._runs._journal import TrialJournal
from hwnas._runs._list import read_run
from hwnas._runs._run import Run


@pytest.fixture(scope="module")
def whole(csv, tmp_path_factory):
    return search(csv, tmp_path_factory.mktemp("hashes") / "run", samples=14)


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def refused(capsys, command):
    """What the command line says, and reading the run in Python too."""
    capsys.readouterr()
    assert main([str(word) for word in command]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1].removeprefix("hwnas: error: ")


def test_changed_settings_are_refused(csv, run, capsys):
    path = run / "settings.json"
    text = path.read_text()
    assert '"samples": 14' in text
    path.write_text(text.replace('"samples": 14', '"samples": 15'))
    line = f"{path} was changed after it was written (its content hash does not match); restore it or choose another"
    assert refused(capsys, arguments(csv, run, samples=14)) == f"{line} folder"
    assert refused(capsys, ["compare", run, run]) == f"{line} folder"


def test_another_layout_of_the_same_settings_is_no_change(run):
    path = run / "settings.json"
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert Run.open(run).settings.samples == 14


@pytest.mark.parametrize(
    ("edit", "number"),
    [
        (lambda lines: [lines[0].replace('"seed": 0', '"seed": 1'), *lines[1:]], 1),
        (lambda lines: [*lines[:-1], lines[-1].replace('"failed": null', '"failed": "no"')], 14),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: [*lines[:4], *lines[5:]], 5),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], 5),
        (lambda lines: [json.dumps({k: v for k, v in json.loads(lines[0]).items() if k != "content_hash"})], 1),
        (lambda lines: [*lines, '{"number": 14, "codes": [1, 1, 1, 1, 1, 1], "values": {}, "failed": "no"}'], 15),
    ],
)
def test_a_changed_journal_is_refused_and_left_alone(csv, run, capsys, edit, number):
    path = run / "trials.jsonl"
    lines = path.read_text().splitlines()
    changed = "".join(line + "\n" for line in edit(lines))
    path.write_text(changed)
    message = f"{path} was changed in or before line {number} (its content hash does not match); restore it or choose"
    assert refused(capsys, arguments(csv, run, samples=14)) == f"{message} another folder"
    assert refused(capsys, ["compare", run, run]) == f"{message} another folder"
    assert path.read_text() == changed


def test_a_torn_line_is_dropped_and_the_next_one_fits(tmp_path):
    path = tmp_path / "trials.jsonl"
    journal = TrialJournal(path)
    for number in range(3):
        journal.append(trial_record(number))
    journal.close()
    path.write_bytes(path.read_bytes()[:-10])
    journal = TrialJournal(path)
    journal.append(trial_record(2))
    journal.close()
    journal = TrialJournal(path)
    journal.close()
    assert journal.records == [trial_record(0), trial_record(1), trial_record(2)]


def test_changed_networks_are_refused_until_they_are_rewritten(csv, run, capsys):
    path = run / "pareto.json"
    before = path.read_text()
    path.write_text(before.replace('"trial": ', '"trial": 1', 1))
    assert refused(capsys, ["export", run]) == (
        f"{path} was changed after it was written (its content hash does not match); run the same `hwnas search` again "
        "to rewrite it"
    )
    search(csv, run, samples=14)
    assert path.read_text() == before


def test_a_crash_before_the_networks_are_written_leaves_none_that_pass(csv, run, tmp_path, capsys):
    before = (run / "pareto.json").read_text()
    (run / "pareto.json").unlink()
    search(csv, run, samples=30)
    assert (run / "pareto.json").read_text() != before
    (run / "pareto.json").write_text(before)
    with pytest.raises(HwnasError, match=r"pareto\.json was changed after it was written"):
        Run.open(run).pareto()


def test_a_run_without_hashes_goes_on_and_gets_them(csv, whole, run):
    longer = search(csv, run.parent / "longer", samples=25)
    as_version_1(run)
    assert read_run(run).trials == read_run(whole).trials
    assert Run.open(run).pareto() == Run.open(whole).pareto()
    search(csv, run, samples=25)
    assert trials_of(run) == trials_of(longer)
    assert (run / "pareto.json").read_text() == (longer / "pareto.json").read_text()
    record = json.loads((run / "settings.json").read_text())
    assert (record["version"], record["unhashed"]) == (2, True)
    lines = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    assert ["content_hash" in line for line in lines] == [False] * 14 + [True] * 11
    assert len(read_run(run).trials) == 25


def test_lines_without_hashes_are_covered_by_the_first_one_with(csv, run, capsys):
    as_version_1(run)
    search(csv, run, samples=20)
    path = run / "trials.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"seed": 0', '"seed": 1', 1))
    assert refused(capsys, arguments(csv, run, samples=20)) == (
        f"{path} was changed in or before line 15 (its content hash does not match); restore it or choose another "
        "folder"
    )
    path.write_text(text)
    cut(run, 13)
    search(csv, run, samples=20)
    assert len(read_run(run).trials) == 20


@pytest.mark.parametrize("version", [0, 3, True, 1.0, "2", None])
def test_other_versions_are_refused(run, version):
    record = json.loads((run / "settings.json").read_text()) | {"version": version}
    (run / "settings.json").write_text(json.dumps(record))
    with pytest.raises(HwnasError) as caught:
        Run.open(run)
    assert str(caught.value) == f"{run} was written by another version of hwnas (run format {version})"


def test_the_first_version_had_no_hashes(run):
    record = json.loads((run / "settings.json").read_text()) | {"version": 1}
    (run / "settings.json").write_text(json.dumps(record))
    with pytest.raises(HwnasError, match="was changed after it was written"):
        Run.open(run)
