"""What every evaluator must keep. Another evaluator joins with one line in `MAKERS`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas._errors import EvaluatorError
from hwnas.data import load_data
from hwnas.evaluators import PROXIES, Evaluator, Trainer, make_evaluator
from hwnas.spaces import Architecture, Space, make_space
from hwnas.tasks import DEFAULT_METRIC, ImageClassification
from hwnas.testing import check_evaluator
from hwnas.training import score_onnx
from profilers import build_onnx

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
    "supernet, one-shot": lambda folder: make_evaluator(
        "supernet",
        space(),
        digits(),
        **SHORT,  # type: ignore[arg-type]
        bn_statistics=40,
        method=("dmasking", {}, 0.5),
    ),
    "train": lambda folder: make_evaluator("train", space(), digits(), **SHORT),  # type: ignore[arg-type]
    "table": table,
    "train, halving": lambda folder: make_evaluator("train", space(), digits(), epochs=2, batch_size=20, halving=2),
    **{name: lambda folder, name=name: make_evaluator(name, space(), digits(), samples=16) for name in PROXIES},  # type: ignore[misc]
}
TRAINS = {"supernet", "supernet, one-shot", "train", "train, halving"}
IN_ORDER = {"train, halving"}
"""What depends on the networks that were evaluated before."""


@pytest.fixture(params=sorted(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_contract(kind: str, tmp_path: Path) -> None:
    check_evaluator(lambda: MAKERS[kind](tmp_path), space(), digits(), archs=archs())


def test_names_metrics_and_weights_are_those_of_the_kind(kind: str, tmp_path: Path) -> None:
    evaluator = MAKERS[kind](tmp_path)
    assert evaluator.settings["evaluator"] == evaluator.name == kind.partition(",")[0]
    assert isinstance(evaluator, Trainer) == (kind in TRAINS)
    assert (evaluator.metric == DEFAULT_METRIC) == (kind not in PROXIES) == (not evaluator.metric.score)
    assert evaluator.in_order == (kind in IN_ORDER)


def test_evaluations_take_time_and_networks_are_exact(kind: str, tmp_path: Path) -> None:
    evaluator, arch = MAKERS[kind](tmp_path), archs()[0]
    if isinstance(evaluator, Trainer):
        with pytest.raises(EvaluatorError) as caught:
            evaluator.evaluate(arch)
        assert str(caught.value) == f"evaluator {evaluator.name}: not prepared; call prepare first"
    else:
        assert np.isfinite(evaluator.evaluate(arch).value)
    evaluator.prepare(tmp_path / "work")
    evaluation = evaluator.evaluate(arch)
    assert evaluation.seconds > 0
    if isinstance(evaluator, Trainer):
        model = build_onnx(space().graph(arch), evaluator.trained_weights(arch), batch=7).SerializeToString()
        assert score_onnx(model, digits(), "validation") == evaluation.value
        assert score_onnx(model, digits(), "test") == evaluator.test_value(arch)
