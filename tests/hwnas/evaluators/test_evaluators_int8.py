"""The metric of quantised networks: what evaluators give is what the delivered int8 file does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_evaluators_contract import digits, space

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.evaluators import Evaluator, Trainer, make_evaluator
from hwnas.tasks import DEFAULT_METRIC
from hwnas.training import quantized, score_onnx, score_quantized
from profilers import build_onnx, random_weights

SHORT = {"epochs": 2, "batch_size": 20}


def make(name: str, folder: Path, precision: str = "int8", **options: object) -> Evaluator:
    evaluator = make_evaluator(name, space(), digits(), threads=1, precision=precision, **{**SHORT, **options})  # type: ignore[arg-type]
    evaluator.prepare(folder)
    return evaluator


@pytest.mark.parametrize("name", ["supernet", "train"])
def test_the_value_of_a_trial_is_that_of_the_int8_file(name: str, tmp_path: Path) -> None:
    evaluator = make(name, tmp_path)
    assert isinstance(evaluator, Trainer)
    different = 0
    for arch in space().sample(3, np.random.default_rng(3)):
        graph = space().graph(arch)
        model = build_onnx(graph, evaluator.trained_weights(arch))
        shipped, as_trained = (
            score_onnx(file.SerializeToString(), digits(), "validation")
            for file in (quantized(model, digits(), graph.input_shape), model)
        )
        value = evaluator.evaluate(arch).value
        assert value == pytest.approx(shipped)
        assert evaluator.test_value(arch) == pytest.approx(score_onnx(model.SerializeToString(), digits(), "test"))
        different += value != as_trained
    assert different > 0  # else this test could not tell the two from each other


def test_training_is_the_same_and_values_are_told_apart(tmp_path: Path) -> None:
    fp32, int8 = (make("train", tmp_path / precision, precision) for precision in ("fp32", "int8"))
    arch = space().sample(1, np.random.default_rng(0))[0]
    assert isinstance(fp32, Trainer)
    assert isinstance(int8, Trainer)
    weights = fp32.trained_weights(arch), int8.trained_weights(arch)
    assert all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert int8.settings == {**fp32.settings, "precision": "int8"}
    assert "precision" not in fp32.settings  # as runs of earlier versions
    assert fp32.metric == DEFAULT_METRIC != int8.metric
    assert (int8.metric.name, int8.metric.label, int8.metric.title) == (
        "accuracy",
        "int8 accuracy (%)",
        "Int8 accuracy",
    )


def test_trainings_are_ended_by_the_int8_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fp32_value(*args: object, **options: object) -> float:
        raise AssertionError("an fp32 network was evaluated")

    monkeypatch.setattr("hwnas.training.score_network", fp32_value, raising=False)
    evaluator = make("train", tmp_path, halving=2)
    arch = space().sample(1, np.random.default_rng(1))[0]
    evaluator.evaluate(arch)
    header, rung = (tmp_path / "rungs.jsonl").read_text().splitlines()
    assert '"precision": "int8"' in header
    assert '"accuracy"' in rung


def test_refusals() -> None:
    with pytest.raises(EvaluatorError) as caught:
        make_evaluator("train", space(), digits(), precision="int4")
    assert str(caught.value) == "evaluator train: precision must be fp32 or int8 or mixed, got 'int4'"
    graph = space().graph(space().sample(1, np.random.default_rng(0))[0])
    weights = {name: np.full_like(value, np.nan) for name, value in random_weights(graph, seed=0).items()}
    with pytest.raises(NoValueError, match=r"the network cannot be quantised: int8: the tensor .* is not finite"):
        score_quantized(graph, weights, digits(), "validation")
