"""Trainings that end at a rung: which, when, and that an interruption changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas._errors import EvaluatorError
from hwnas.data import load_data
from hwnas.evaluators import TrainEvaluator
from hwnas.evaluators._rungs import Rungs, rung_epochs, survives
from hwnas.spaces import Architecture, make_space
from hwnas.tasks import DEFAULT_METRIC, ImageClassification, Metric
from hwnas.training import default_recipe

torch.set_num_threads(1)
SPACE = make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)
TASK = ImageClassification(load_data("digits", limit=200))
ARCHS = list(dict.fromkeys(SPACE.sample(9, np.random.default_rng(0))))[:7]


def test_rungs_are_shares_of_the_epochs() -> None:
    assert rung_epochs(27, 3) == (1, 3, 9)
    assert rung_epochs(100, 3) == (1, 3, 11, 33)
    assert rung_epochs(10, 2) == (1, 2, 5)
    assert rung_epochs(1, 2) == ()


@pytest.mark.parametrize(
    ("accuracy", "earlier", "eta", "goes_on"),
    [
        (0.1, [], 2, True),
        (0.1, [0.5], 2, False),
        (0.6, [0.5], 2, True),
        (0.5, [0.5], 2, True),
        (0.1, [0.5], 3, True),
        (0.4, [0.5, 0.3], 3, False),
        (0.4, [0.5, 0.3, 0.2], 2, True),
        (0.25, [0.5, 0.3, 0.2], 2, False),
        (0.4, [0.9, 0.5, 0.3, 0.2, 0.1], 2, True),
    ],
)
def test_the_best_share_goes_on(accuracy: float, earlier: list[float], eta: int, goes_on: bool) -> None:
    assert survives(accuracy, earlier, eta) is goes_on


def evaluator(folder: Path, epochs: int = 4, progress: object = None) -> TrainEvaluator:
    found = TrainEvaluator(SPACE, TASK, default_recipe(TASK, epochs=epochs, batch_size=20), halving=2)
    found.prepare(folder, progress)  # type: ignore[arg-type]
    return found


def values(found: TrainEvaluator, archs: list[Architecture]) -> list[tuple[float, float]]:
    results = [found.evaluate(arch) for arch in archs]
    return [(result.value, result.extra_columns["epochs"]) for result in results]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    values(evaluator(folder), ARCHS)
    return folder


def test_decisions_follow_from_the_accuracies_at_the_rungs(unbroken: Path) -> None:
    found = values(evaluator(unbroken), ARCHS)
    records = [json.loads(line) for line in (unbroken / "rungs.jsonl").read_text().splitlines()][1:]
    assert {epochs for _, epochs in found} > {4.0}
    assert found[0][1] == 4.0  # nothing to compare the first with
    earlier: dict[int, list[float]] = {1: [], 2: []}
    for record in records:
        assert record["goes_on"] == survives(record["accuracy"], earlier[record["epochs"]], 2)
        earlier[record["epochs"]].append(record["accuracy"])
    ended = {record["arch"]: record for record in records if not record["goes_on"]}
    for arch, (value, epochs) in zip(ARCHS, found, strict=True):
        record = ended.get(SPACE.format(arch))
        assert (record is None) == (epochs == 4.0)
        if record is not None:
            assert (value, epochs) == (record["accuracy"], record["epochs"])
    assert len([record for record in records if record["epochs"] == 1]) == len(ARCHS)


class Stopped(Exception):
    """Stands for a process that was killed."""


@pytest.mark.parametrize("stop_at", [7, 20, 45])
def test_an_interrupted_evaluation_decides_as_the_unbroken_one(tmp_path: Path, unbroken: Path, stop_at: int) -> None:
    steps = 0

    def stop(done: int, total: int, text: str) -> None:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise Stopped

    with pytest.raises(Stopped):
        values(evaluator(tmp_path, progress=stop), ARCHS)
    with (tmp_path / "rungs.jsonl").open("ab") as file:
        file.write(b'{"arch": "torn')
    assert values(evaluator(tmp_path), ARCHS) == values(evaluator(unbroken), ARCHS)
    assert (tmp_path / "rungs.jsonl").read_bytes() == (unbroken / "rungs.jsonl").read_bytes()


def test_decisions_of_other_settings_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    values(evaluator(tmp_path), ARCHS[:2])
    file = tmp_path / "rungs.jsonl"
    with pytest.raises(EvaluatorError) as caught:
        evaluator(tmp_path, epochs=8)
    assert str(caught.value) == f"{file}: belongs to other settings; use another folder or remove it"
    lines = file.read_bytes().splitlines(keepends=True)
    for broken in (b"{\n" + lines[0], lines[0] + b"3\n", lines[0] + b"{}\n"):
        file.write_bytes(broken)
        with pytest.raises(EvaluatorError) as caught:
            evaluator(tmp_path)
        assert str(caught.value) == f"{file}: damaged; restore it, or remove it to decide again"
    file.write_bytes(lines[0][:10])  # torn before the first decision
    assert values(evaluator(tmp_path), ARCHS[2:3])
    assert file.read_bytes().splitlines(keepends=True)[0] == lines[0]


def test_a_decision_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rungs = Rungs(tmp_path / "file" / "rungs.jsonl", 4, 2, {}, DEFAULT_METRIC)
    with pytest.raises(EvaluatorError) as caught:
        rungs.decide("a", 1, 0.5)
    assert str(caught.value) == f"cannot write {tmp_path / 'file' / 'rungs.jsonl'}: File exists"


def test_the_least_go_on_where_less_is_better(tmp_path: Path) -> None:
    metric, file = Metric("mse", "min", low=0.0), tmp_path / "rungs.jsonl"
    rungs = Rungs(file, 4, 2, {}, metric)
    values = {"a": 3.0, "b": 5.0, "c": 1.0, "d": 4.0}
    assert [rungs.decide(name, 1, value) for name, value in values.items()] == [True, False, True, False]
    again = Rungs(file, 4, 2, {}, metric)
    assert [again.known(name, 1) for name in "abcd"] == [True, False, True, False]
    assert [again.decide(name, 1, value) for name, value in (("e", 2.0), ("f", 6.0))] == [True, False]
    assert [json.loads(line)["mse"] for line in file.read_text().splitlines()[1:]] == [3.0, 5.0, 1.0, 4.0, 2.0, 6.0]
