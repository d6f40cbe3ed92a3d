"""Searches that begin with networks that the user names."""

import json
import shutil

import pytest
from cells import arguments, as_version_1, cut, search, trials_of

from hwnas import HwnasError, SearchSettings
from hwnas._cli import main


@pytest.fixture(scope="module")
def known(csv, tmp_path_factory):
    """The two slowest networks within 8 ms and one over the budget, by an earlier search without a budget."""
    out = search(csv, tmp_path_factory.mktemp("before") / "run", samples=40, budget=None)
    trials = sorted(trials_of(out), key=lambda trial: -trial["values"]["latency_ms"])
    within = [trial["arch"] for trial in trials if trial["values"]["latency_ms"] <= 8]
    return within[0], within[1], next(t["arch"] for t in trials if t["values"]["latency_ms"] > 8)


@pytest.fixture(scope="module")
def begun(csv, known, tmp_path_factory):
    out = tmp_path_factory.mktemp("begun") / "run"
    return search(csv, out, *[word for text in known for word in ("--begin-with", text)])


def test_they_are_the_first_trials(begun, known):
    trials = trials_of(begun)
    assert [trial["arch"] for trial in trials[:2]] == list(known[:2])
    assert len(trials) == 20
    assert known[2] not in {trial["arch"] for trial in trials}


def test_one_over_the_budget_is_named(csv, known, tmp_path, capsys):
    search(csv, tmp_path / "run", "--begin-with", known[2], samples=11)
    assert f"--begin-with {known[2]}: over the budgets, so it is not evaluated" in capsys.readouterr().err


@pytest.mark.parametrize("left", [1, 11])
def test_such_a_search_resumes_exactly(csv, begun, known, tmp_path, left):
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    cut(out, left)
    search(csv, out, *[word for text in known for word in ("--begin-with", text)])
    assert trials_of(out) == trials_of(begun)


def test_other_networks_are_another_search(csv, begun, known, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(begun, out)
    assert main(arguments(csv, out, "--begin-with", known[1])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "begin_with" in error


def test_a_run_that_was_written_without_it_goes_on(csv, tmp_path):
    def without(record, trials):
        assert record["settings"].pop("begin_with") == []

    out = search(csv, tmp_path / "run", samples=11)
    as_version_1(out, without)
    search(csv, out, samples=15)
    assert trials_of(out) == trials_of(search(csv, tmp_path / "whole", samples=15))


def test_a_text_that_is_no_network_is_one_line(csv, tmp_path, capsys):
    assert main(arguments(csv, tmp_path / "run", "--begin-with", "resnet18")) == 2
    error = capsys.readouterr().err
    assert error.startswith("hwnas: error: --begin-with: space nasbench201: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_settings_hold_texts_alone():
    settings = SearchSettings(begin_with=("a", "b"))
    assert SearchSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    with pytest.raises(HwnasError, match="begin_with is not a list of texts"):
        SearchSettings.from_dict({**settings.as_dict(), "begin_with": "a"})
