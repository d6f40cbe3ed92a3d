"""Ranking: groups that cannot be told apart, budgets, scores, the front; and the command on real files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from toy_models import Steady, small_model

import hwnas
from hwnas._cli import main
from hwnas._errors import HwnasError
from hwnas._explain._paired import Paired, Rounds, plain_timer, settings_of, time_rounds
from hwnas._explain._rank import ranking_of
from hwnas._explain._rank_lines import ranking_lines
from hwnas._explain._rank_page import ranking_page
from hwnas._explain._scores import read_scores
from profilers import second_pass_name

NAMES = ("a.onnx", "b.onnx", "c.onnx", "d.onnx")


def rounds_of(times, seed=0, noise=0.005, twin=0.0, rounds=60):
    """Samples of sessions with these true seconds; a round slows everything alike, now and then by half."""
    rng = np.random.default_rng(seed)
    common = np.exp(0.02 * rng.standard_normal(rounds)) * np.where(rng.random(rounds) < 0.1, 1.5, 1.0)
    names = {named(str(i)): t for i, t in enumerate(times) for named in (str, second_pass_name)}
    return Rounds(
        {
            name: t * common * np.exp(noise * rng.standard_normal(rounds) + twin * rng.standard_normal())
            for name, t in names.items()
        }
    )


def ranking(times, *, budget_ms=None, scores=None, statistic="median", **more):
    files = [Path(name) for name in NAMES[: len(times)]]
    taken = rounds_of(times, **more)
    given = {"budget_ms": budget_ms, "scores": scores, "identity": {"device": "toy"}}
    return ranking_of(taken, files, statistic=statistic, **given)


@pytest.mark.parametrize("statistic", ["q10", "median", "p90"])
def test_files_are_grouped_by_differences_that_are_real(statistic):
    result = ranking([4.0e-3, 2.0e-3, 2.002e-3, 4.8e-3], statistic=statistic)
    assert {file.name for file in result.files[:2]} == {"b.onnx", "c.onnx"}
    assert [file.place for file in result.files] == [1, 1, 2, 3]
    real = {(d.faster, d.slower) for d in result.differences if d.real}
    assert len(result.differences) == 6
    assert len(real) == 5
    assert result.files[2].low_ms < result.files[2].latency_ms < result.files[2].high_ms


def test_a_ranking_does_not_depend_on_common_slow_rounds():
    """Rounds that are half as fast cancel in differences: 3 % are told apart."""
    result = ranking([2.0e-3, 2.06e-3], noise=0.002)
    assert [file.place for file in result.files] == [1, 2]


def test_sessions_that_differ_widen_every_difference():
    steady, loose = (ranking([2.0e-3, 2.06e-3, 2.1e-3], twin=twin, seed=3) for twin in (0.0, 0.1))
    assert loose.noise_floor > 5 * steady.noise_floor
    widths = [max(d.high / d.low for d in result.differences) for result in (steady, loose)]
    assert widths[1] - 1 > 3 * (widths[0] - 1)


def test_equal_files_are_seldom_called_different():
    false = sum(
        any(d.real for d in ranking([2.0e-3] * 3, seed=seed, twin=0.01, rounds=30).differences) for seed in range(40)
    )
    assert false <= 10  # 90 % intervals for all three pairs together


def test_budgets_say_when_it_is_close():
    result = ranking([2.0e-3, 4.0e-3, 8.0e-3], budget_ms=4.0e-3 * 1e3 * 1.03)
    assert [file.keeps_budget for file in result.files] == [True, True, False]
    assert [file.budget_certain for file in result.files][::2] == [True, True]
    close = ranking([2.0e-3, 4.0e-3], budget_ms=float(ranking([2.0e-3, 4.0e-3]).files[1].latency_ms))
    assert close.files[1].budget_certain is False
    assert any("(just)" in line for line in ranking_lines(close))
    assert not close.none_keeps
    assert ranking([2.0e-3], budget_ms=1.0).none_keeps


def test_the_front_counts_equal_latencies_as_equal_and_leaves_out_what_exceeds_the_budget():
    result = ranking([2.0e-3, 2.0e-3, 4.0e-3, 9.0e-3], scores=[0.5, 0.6, 0.55, 0.9], budget_ms=6.0)
    on_front = {file.name: file.on_front for file in result.files}
    assert on_front == {"a.onnx": False, "b.onnx": True, "c.onnx": False, "d.onnx": False}
    assert [file.name for file in result.front] == ["b.onnx"]


def test_lines_and_page_and_json_say_the_same(tmp_path):
    result = ranking([2.0e-3, 2.0e-3, 4.0e-3], scores=[0.5, 0.6, 0.7], budget_ms=3.0)
    lines = ranking_lines(result)
    assert any("cannot be told apart: their latencies count as equal" in line for line in lines)
    assert any(line.startswith("c.onnx takes ") and re.search("longer than|times as long as", line) for line in lines)
    assert any("longer than" in line for line in ranking_lines(ranking([2.0e-3, 3.0e-3])))
    assert "2 of 3 files keep the budget of 3 ms" in lines
    page = ranking_page(result)
    for word in ("<svg", "noise floor", "Score and latency", "Content-Security-Policy"):
        assert word in page
    assert " style=" not in page
    record = json.loads(json.dumps(result.as_dict()))
    assert record["format"] == "hwnas ranking"
    assert [file["place"] for file in record["files"]] == [1, 1, 2]
    assert record["differences"][-1]["real"] is True


def test_names_from_outside_cannot_write_into_the_page():
    page = ranking_page(
        ranking_of(
            rounds_of([1e-3]),
            [Path("<b>\x1b[31m.onnx")],
            statistic="median",
            budget_ms=None,
            scores=None,
            identity={"cpu": "<i>x"},
        )
    )
    assert "<b>" not in page
    assert "<i>" not in page
    assert "\x1b" not in page


def test_samples_of_a_round_belong_together():
    from simulated_device import AdditiveBackend

    taken = time_rounds(plain_timer(AdditiveBackend()), {"0": Steady(1e-3), "1": Steady(2e-3)}, rounds=20)
    assert taken.count == 20
    assert np.exp(np.diff(Paired(taken, ["0", "1"], "median").logs)) == pytest.approx(2, rel=1e-3)


def test_slow_files_get_fewer_rounds():
    assert settings_of(0.01).min_rounds > settings_of(1.0).min_rounds
    assert settings_of(0.01).priming_runs > settings_of(1.0).priming_runs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,score\na.onnx,1\n", "has no score of x/b.onnx; add a row"),
        ("file,score\na.onnx,1\nb.onnx,two\n", "line 3: the score must be a finite number, got 'two'"),
        ("file,score\na.onnx,1\nb.onnx,nan\n", "line 3: the score must be a finite number"),
        ("file,score\na.onnx,1\na.onnx,2\n", "line 3: a.onnx has a score in line 2 already"),
        ("file,accuracy\na.onnx,1\n", "must have one column 'score', got file, accuracy"),
        ("name,score\na.onnx,1\n", "must have one column 'file'"),
        ("file,score\na.onnx\n", "line 2: the row has 1 cells, the header 2"),
        ("", "must have one column 'file'"),
    ],
)
def test_scores_that_cannot_be_used_are_one_line(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(HwnasError, match=message) as caught:
        read_scores(tmp_path / "s.csv", [Path("x/a.onnx"), Path("x/b.onnx")])
    assert "\n" not in str(caught.value)


def test_paths_of_scores_may_be_spelled_in_several_ways(tmp_path):
    (tmp_path / "s.csv").write_text("file,score\n./a.onnx,0.4\nx//b.onnx,0.6\n")
    assert read_scores(tmp_path / "s.csv", [Path("./a.onnx"), Path("x/b.onnx")]) == [0.4, 0.6]
    (tmp_path / "s.csv").write_text("file,score\n./a.onnx,0.4\na.onnx,0.6\n")
    with pytest.raises(HwnasError, match=r"line 3: a\.onnx has a score in line 2 already"):
        read_scores(tmp_path / "s.csv", [Path("a.onnx")])


def test_scores_by_path_and_by_name(tmp_path):
    (tmp_path / "s.csv").write_text("score;file\n0,5;x/a.onnx\n0,7;b.onnx\n1;other.onnx\n")
    assert read_scores(tmp_path / "s.csv", [Path("x/a.onnx"), Path("b.onnx")]) == [0.5, 0.7]
    with pytest.raises(HwnasError, match=r"2 files have that name; give paths"):
        read_scores(tmp_path / "s.csv", [Path("x/b.onnx"), Path("y/b.onnx")])


@pytest.fixture
def two_files(tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas._explain._paired.MOST_SECONDS", 0.0)
    for name, batch in (("a", 1), ("b", "n")):
        (tmp_path / f"{name}.onnx").write_bytes(small_model(batch).SerializeToString())
    return [str(tmp_path / f"{name}.onnx") for name in "ab"]


def test_the_command_ranks_real_files(two_files, tmp_path, capsys):
    assert main(["rank", *two_files, "--budget", "900ms", "-o", str(tmp_path / "r.html"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {file["name"] for file in record["files"]} == {"a.onnx", "b.onnx"}
    assert all(file["keeps_budget"] for file in record["files"])
    assert record["statistic"] == "median"
    assert record["identity"]["threads"] == 1
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_the_command_exits_with_1_where_no_file_keeps_the_budget(two_files, capsys):
    with pytest.raises(SystemExit) as left:
        main(["rank", *two_files, "--budget", "1us", "--latency-statistic", "p90"])
    assert left.value.code == 1
    shown = capsys.readouterr()
    assert "0 of 2 files keep the budget of 0.001 ms" in shown.out
    assert shown.err.endswith("hwnas: no file keeps the budget 1us\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.onnx"], "none.onnx: cannot read it: No such file or directory"),
        (["none.onnx", "--budget", "4"], "has no unit; write 4ms or 4us"),
        (["none.onnx", "--latency-statistic", "mean"], "--latency-statistic must be one of q10"),
        (["none.onnx", "--threads", "0"], "--threads must be between 1 and"),
        (["none.onnx", "--accuracy", "none.csv"], "table none.csv: no such file"),
        (["none.onnx", "-o", "folder/"], "it is a folder"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys):
    assert main(["rank", *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert message in errors[0]


def test_python_takes_several_files_alone():
    with pytest.raises(HwnasError, match="files must be several paths"):
        hwnas.rank("a.onnx")
    with pytest.raises(HwnasError, match="rank needs one ONNX file or more"):
        hwnas.rank([])


def test_few_rounds_say_little_of_the_slowest_ones():
    assert not ranking([1e-3, 2e-3], rounds=60).notes
    (note,) = ranking([1e-3, 2e-3], rounds=12).notes
    assert note.startswith("p99 of 12 rounds is nearly the slowest one")


def test_links_keep_their_names_and_other_batches_are_told(tmp_path):
    file, link = tmp_path / "9f3a77c1", tmp_path / "net.onnx"
    file.write_bytes(small_model().SerializeToString())
    link.symlink_to(file)
    (tmp_path / "eight.onnx").write_bytes(small_model(batch=8).SerializeToString())
    ranked = hwnas.rank([link, tmp_path / "eight.onnx"])
    assert {each.name for each in ranked.files} == {"net.onnx", "eight.onnx"}
    assert any("the first axes of the inputs differ" in note and "eight.onnx 8" in note for note in ranked.notes)
