import dataclasses
import json

import pytest
from run_toys import create_run, trial_record

from hwnas import HwnasError, SearchSettings
from hwnas._common._option import parse_pairs
from hwnas._costs._units import parse_count, parse_latency
from hwnas._runs._front import knee_index, pick_network, settled_pick, spread_along, usual_pick
from hwnas._runs._run import Run, TrialJournal
from latency_tables import LatencyTableError


@pytest.mark.parametrize(("text", "ms"), [("4ms", 4.0), ("250us", 0.25), ("0.1s", 100.0), (" 1.5 ms ", 1.5)])
def test_latencies_are_read(text, ms):
    assert parse_latency(text) == pytest.approx(ms)


@pytest.mark.parametrize("text", ["", "fast", "-3ms", "0ms", "4 m", "1e3ms", "nan"])
def test_unreadable_latencies_are_refused(text):
    with pytest.raises(HwnasError, match="cannot read the latency"):
        parse_latency(text)


@pytest.mark.parametrize(("text", "count"), [("600k", 6e5), ("2M", 2e6), ("1.5G", 1.5e9), ("512kB", 5.12e5), ("7", 7)])
def test_amounts_are_read(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "many", "-1", "0", "1T"])
def test_unreadable_amounts_are_refused(text):
    with pytest.raises(HwnasError, match="cannot read the number"):
        parse_count(text)


def test_settings_of_training_are_read():
    assert parse_pairs("--recipe", "cutout=0.5, flip=true,epochs=3,optimizer=adamw") == {
        "cutout": 0.5,
        "flip": True,
        "epochs": 3,
        "optimizer": "adamw",
    }


@pytest.mark.parametrize("text", ["", "cutout", "cutout=", "=1", "cutout=1,cutout=2", "cutout=1,"])
def test_unreadable_settings_of_training_are_refused(text):
    with pytest.raises(HwnasError) as caught:
        parse_pairs("--recipe", text)
    assert str(caught.value) == (f"cannot read --recipe {text!r}; write each setting once, like cutout=0.5,mixup=0.2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"minimize": ("speed",)},
            "unknown cost 'speed' in --minimize; known costs: latency, macs, params, memory, rom",
        ),
        ({"minimize": ("latency", "latency")}, "--minimize needs at least one cost, and each only once"),
        ({"samples": 0}, "--samples must be 1 or more, got 0"),
        ({"seed": -1}, "--seed must be 0 or more, got -1"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(HwnasError) as caught:
        SearchSettings(**changes)
    assert str(caught.value) == message


IDENTITY = {"space": {"name": "mobilenetv3", "resolution": [8]}, "evaluator": {"data": "abc"}}


def begun(path, settings, identity=IDENTITY):
    """A run with one trial."""
    create_run(path, settings, identity)
    (path / "trials.jsonl").write_text('{"number": 0}\n')


def test_a_run_is_made_and_taken_up_again(tmp_path):
    settings = SearchSettings(budgets={"latency_ms": 4.0}, space_settings={"resolution": [8]})
    begun(tmp_path / "run", settings)
    assert create_run(tmp_path / "run", settings, IDENTITY).settings == settings
    assert Run.open(tmp_path / "run").settings.as_dict() == settings.as_dict()
    assert Run.open(tmp_path / "run").identity == IDENTITY
    more = dataclasses.replace(settings, samples=500)
    create_run(tmp_path / "run", more, IDENTITY).continue_from(1)
    assert Run.open(tmp_path / "run").settings.samples == 500


def test_another_search_is_refused(tmp_path):
    begun(tmp_path / "run", SearchSettings(seed=1))
    with pytest.raises(HwnasError) as caught:
        create_run(tmp_path / "run", SearchSettings(seed=2), IDENTITY)
    assert str(caught.value) == (
        f"{tmp_path / 'run'} contains a search with seed 1, this one has 2; choose another --out"
    )


def test_other_data_under_the_same_name_is_refused(tmp_path):
    begun(tmp_path / "run", SearchSettings())
    with pytest.raises(HwnasError) as caught:
        create_run(tmp_path / "run", SearchSettings(), {**IDENTITY, "evaluator": {"data": "xyz"}})
    assert str(caught.value) == (
        f'{tmp_path / "run"} contains a search with evaluator.data "abc", this one has "xyz"; '
        "the data or the defaults have changed, choose another --out"
    )


def test_a_run_without_trials_takes_other_settings(tmp_path):
    create_run(tmp_path / "run", SearchSettings(seed=1), IDENTITY)
    (tmp_path / "run" / ".settings.json.abc.partial").write_text("left by a crash")
    create_run(tmp_path / "run", SearchSettings(seed=2), IDENTITY)
    assert Run.open(tmp_path / "run").settings.seed == 2


def test_a_crash_while_the_first_file_is_written_does_not_block_the_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".settings.json.abc.partial").write_text("{")
    assert create_run(tmp_path / "run", SearchSettings(), IDENTITY).path == tmp_path / "run"


def test_two_processes_do_not_write_one_journal(tmp_path):
    journal = TrialJournal(tmp_path / "trials.jsonl")
    journal.append(trial_record(0))
    with pytest.raises(LatencyTableError, match=r"another hwnas process is writing .*trials.jsonl; wait until it ends"):
        TrialJournal(tmp_path / "trials.jsonl")
    journal.close()
    TrialJournal(tmp_path / "trials.jsonl").close()


def test_folders_that_are_no_runs_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(HwnasError, match=r"photos is not a run of hwnas \(no settings.json\); choose another folder"):
        create_run(tmp_path / "photos", SearchSettings(), IDENTITY)
    with pytest.raises(HwnasError, match="does not exist; choose another folder"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(HwnasError, match=r"is a file; choose a folder for --out"):
        create_run(tmp_path / "photos" / "cat.jpg", SearchSettings(), IDENTITY)
    (tmp_path / "photos" / "settings.json").write_text('{"a": 1}')
    with pytest.raises(HwnasError, match="photos is not a run of hwnas; choose another folder"):
        Run.open(tmp_path / "photos")
    (tmp_path / "photos" / "settings.json").write_text("{")
    with pytest.raises(HwnasError, match=r"settings\.json cannot be read"):
        Run.open(tmp_path / "photos")


def test_the_journal_drops_a_torn_last_line_and_nothing_else(tmp_path):
    path = tmp_path / "trials.jsonl"
    journal = TrialJournal(path)
    for number in range(3):
        journal.append(trial_record(number))
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"number": 3, "co')
    journal = TrialJournal(path)
    assert [record.number for record in journal.records] == [0, 1, 2]
    journal.append(trial_record(3))
    journal.close()
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [0, 1, 2, 3]


def test_a_damaged_journal_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text('{"number": 0}\n{"numb\n{"number": 2}\n')
    with pytest.raises(HwnasError, match="is damaged in line 2"):
        TrialJournal(path, unhashed=True)
    assert path.read_text() == '{"number": 0}\n{"numb\n{"number": 2}\n'


def test_spread_keeps_both_ends_and_fills_the_largest_gaps():
    assert spread_along([3.0, 1.0, 2.0], 10) == [1, 2, 0]
    latencies = [1.0, 1.01, 1.02, 2.0, 4.0, 8.0]
    assert spread_along(latencies, 4) == [0, 3, 4, 5]
    assert spread_along(latencies, 2) == [0, 5]


def network(name, accuracy, latency, measured=True):
    value = {"predicted": latency * 1.5, "measured": latency if measured else None}
    return {"id": name, "accuracy": accuracy, "validation_accuracy": accuracy, "latency_ms": value}


def test_picks():
    front = [network("a", 0.5, 1.0), network("b", 0.9, 2.0), network("c", 0.92, 8.0)]
    assert pick_network(front, "fastest")["id"] == "a"
    assert pick_network(front, "knee")["id"] == "b"
    assert pick_network(front, "most-accurate")["id"] == "c"
    assert pick_network(front, "c")["id"] == "c"
    with pytest.raises(HwnasError) as caught:
        pick_network(front, "z")
    assert str(caught.value) == ("the run has no network 'z'; pick fastest, knee, best or one of a, b, c")
    with pytest.raises(HwnasError, match="no networks"):
        pick_network([], "knee")


def test_the_knee_of_a_flat_front_is_its_best_point():
    assert knee_index([1.0, 1.0], [0.5, 0.6]) == 1
    assert knee_index([2.0, 1.0], [0.5, 0.5]) == 1


def test_a_front_that_sags_has_no_knee_and_gives_its_best():
    assert knee_index([1.0, 2.0], [0.3, 0.8]) is None
    assert knee_index([1.0, 2.0, 4.0], [0.33, 0.4, 0.9]) is None
    front = [network("a", 0.33, 1.0), network("b", 0.4, 2.0), network("c", 0.9, 4.0)]
    assert pick_network(front, "knee")["id"] == "c"
    assert settled_pick(front, "knee", {}) == "best"
    front[1] = network("b", 0.8, 2.0)
    assert settled_pick(front, "knee", {}) == "knee"
    assert pick_network(front, "knee")["id"] == "b"


@pytest.mark.parametrize(
    ("minimize", "budgets", "pick"),
    [
        (("latency",), {}, "knee"),
        (("latency",), {"latency_ms": 4.0}, "best"),
        (("macs",), {"latency_ms": 4.0}, "best"),
        (("macs",), {"macs": 1e6}, "best"),
        (("latency",), {"macs": 1e6}, "knee"),
    ],
)
def test_a_latency_budget_decides_whatever_is_minimised(minimize, budgets, pick):
    assert usual_pick(SearchSettings(minimize=minimize, budgets=budgets)) == pick
    if budgets:
        assert usual_pick(SearchSettings(minimize=minimize, budgets=budgets, goal="best")) == "best"
