"""What every evaluator must keep. Another evaluator joins with one line in `MAKERS`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from hwnas._errors import EvaluatorError
from hwnas.data import load_data
from hwnas.evaluators import PROXIES, Evaluator, Trainer, make_evaluator
from hwnas.spaces import Architecture, Space, make_space
from hwnas.tasks import DEFAULT_METRIC, ImageClassification
from hwnas.training import score_onnx
from profilers import GraphModule, build_onnx, graph_parameters

torch.set_num_threads(1)
SHORT = {"epochs": 1, "batch_size": 20}


@cache
def digits() -> ImageClassification:
    return ImageClassification(load_data("digits", limit=200))


@cache
def space() -> Space:
    return make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)


def archs() -> list[Architecture]:
    return list(dict.fromkeys(space().sample(4, np.random.default_rng(0))))[:3]


def table(folder: Path) -> Evaluator:
    file = folder / "bench.csv"
    lines = [f"{space().format(arch)},{90 + i}.5,{i}" for i, arch in enumerate(archs())]
    file.write_text("arch,acc,ms\n" + "\n".join(lines) + "\n")
    return make_evaluator(f"table:{file}", space(), extra_columns=["ms"])


MAKERS: dict[str, Callable[[Path], Evaluator]] = {
    "supernet": lambda folder: make_evaluator("supernet", space(), digits(), **SHORT, bn_statistics=40),  # type: ignore[arg-type]
    "train": lambda folder: make_evaluator("train", space(), digits(), **SHORT),  # type: ignore[arg-type]
    "table": table,
    "train, halving": lambda folder: make_evaluator("train", space(), digits(), epochs=2, batch_size=20, halving=2),
    **{name: lambda folder, name=name: make_evaluator(name, space(), digits(), samples=16) for name in PROXIES},  # type: ignore[misc]
}
TRAINS = {"supernet", "train", "train, halving"}
IN_ORDER = {"train, halving"}
"""What depends on the networks that were evaluated before."""


@pytest.fixture(params=sorted(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def prepared(kind: str, folder: Path) -> Evaluator:
    evaluator = MAKERS[kind](folder)
    evaluator.prepare(folder / "work")
    return evaluator


def test_values_are_reproducible_and_within_bounds(kind: str, tmp_path: Path) -> None:
    one = prepared(kind, tmp_path)
    found = {arch: one.evaluate(arch) for arch in archs()}
    assert all(np.isfinite(e.value) and e.seconds > 0 for e in found.values())
    assert all(one.metric.holds(e.value) for e in found.values())
    assert (one.metric == DEFAULT_METRIC) == (kind not in PROXIES) == (not one.metric.score)
    again = prepared(kind, tmp_path / "elsewhere" if kind in TRAINS else tmp_path)
    for arch in archs() if kind in IN_ORDER else reversed(archs()):  # in another order, from another folder
        assert again.evaluate(arch).value == found[arch].value
    assert again.settings == one.settings


def test_settings_are_json_and_tell_evaluators_apart(kind: str, tmp_path: Path) -> None:
    settings = MAKERS[kind](tmp_path).settings
    assert json.loads(json.dumps(settings)) == settings
    assert settings["evaluator"] == MAKERS[kind](tmp_path).name == kind.partition(",")[0]
    assert isinstance(MAKERS[kind](tmp_path), Trainer) == (kind in TRAINS)


def test_prepare_again_uses_what_is_there(kind: str, tmp_path: Path) -> None:
    first = prepared(kind, tmp_path)
    wanted = [first.evaluate(arch).value for arch in archs()]
    steps: list[int] = []
    second = MAKERS[kind](tmp_path)
    for _ in range(2):
        second.prepare(tmp_path / "work", lambda done, total, text: steps.append(done))
    assert [second.evaluate(arch).value for arch in archs()] == wanted
    assert steps == []


def test_weights_are_those_that_were_evaluated(kind: str, tmp_path: Path) -> None:
    evaluator, arch, task = prepared(kind, tmp_path), archs()[0], digits()
    if not isinstance(evaluator, Trainer):
        return
    graph, weights = space().graph(arch), evaluator.trained_weights(arch)
    assert {n: a.shape for n, a in weights.items()} == {n: p.shape for n, p in graph_parameters(graph)}
    assert all(array.dtype == np.float32 for array in weights.values())
    model = build_onnx(graph, weights, batch=7).SerializeToString()
    assert score_onnx(model, task, "validation") == evaluator.evaluate(arch).value
    assert score_onnx(model, task, "test") == evaluator.test_value(arch)
    module = GraphModule(graph, weights).eval()
    x = task.inputs("test", slice(7), (1, 8, 8))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    onnx = session.run(None, {"input": x.contiguous().numpy()})[0]
    np.testing.assert_allclose(onnx, module(x).detach(), rtol=1e-3, atol=1e-4)


def test_unprepared_is_refused(kind: str, tmp_path: Path) -> None:
    evaluator = MAKERS[kind](tmp_path)
    if kind in TRAINS:
        with pytest.raises(EvaluatorError) as caught:
            evaluator.evaluate(archs()[0])
        assert str(caught.value) == f"evaluator {evaluator.name}: not prepared; call prepare first"
    else:
        assert np.isfinite(evaluator.evaluate(archs()[0]).value)
