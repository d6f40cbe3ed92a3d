"""Training-free scores against their definitions, and rank correlations."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.data import load_data
from hwnas.evaluators import (
    PROXIES,
    BenchmarkTable,
    ProxyEvaluator,
    draw_benchmark,
    make_evaluator,
    rank_correlation,
)
from hwnas.spaces import Architecture, Space, make_space
from hwnas.tasks import ImageClassification
from hwnas.training import _proxies
from latency_tables import INPUT, GraphBuilder, OpGraph
from profilers import GraphModule, graph_params, ops, random_weights

torch.set_num_threads(1)
DATA = load_data("digits", limit=200)
TASK = ImageClassification(DATA)


def cells() -> Space:
    return make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)


def chain(norm: str) -> OpGraph:
    """Two convolutions with ReLU, pooling, classifier."""
    builder = GraphBuilder((1, 8, 8))
    x = builder.add("first", ops.conv((1, 8, 8), 3, 3, norm=norm, act="relu"), INPUT)
    x = builder.add("second", ops.conv((3, 8, 8), 4, 3, norm=norm, act="relu"), x)
    x = builder.add("pool", ops.global_pool((4, 8, 8)), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), 10), x))


def batch(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(count, 1, 8, 8))).float(), torch.from_numpy(rng.integers(0, 10, count))


def loss_of(labels: torch.Tensor) -> _proxies.Loss:
    return lambda outputs: torch.nn.functional.cross_entropy(outputs[0], labels)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_synflow_is_the_flow_through_every_layer(norm: str) -> None:
    """R is homogeneous of degree one in each of three layers, so each layer's sum is R (Euler)."""
    weights = {n: torch.from_numpy(a).double().abs() for n, a in random_weights(chain(norm), 3).items()}
    x = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for name in ("first", "second"):
        x = torch.nn.functional.conv2d(x, weights[f"{name}.weight"], padding=1)
    total = (x.mean((2, 3)) @ weights["classes.weight"].T).sum()
    score = _proxies.log_synflow(chain(norm), batch()[0], loss_of(batch()[1]), 3)
    assert score == pytest.approx(math.log(3 * float(total)), rel=1e-9)


def test_naswot_counts_the_rectifiers_that_agree() -> None:
    graph, (x, labels) = chain("batch"), batch()
    weights = {n: torch.from_numpy(a) for n, a in random_weights(graph, 3).items()}
    codes, y = [], x
    for name in ("first", "second"):
        y = torch.nn.functional.conv2d(y, weights[f"{name}.weight"], padding=1)
        y = torch.relu(
            (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
        )
        codes.append((y > 0).flatten(1).numpy())
    code = np.concatenate(codes, axis=1)
    agree = np.zeros((12, 12))
    for i, j in itertools.product(range(12), repeat=2):
        agree[i, j] = code.shape[1] - np.count_nonzero(code[i] != code[j])
    assert _proxies.naswot(graph, x, loss_of(labels), 3) == pytest.approx(np.linalg.slogdet(agree)[1], rel=1e-6)


@pytest.mark.parametrize("act", ["relu", "relu6", "hswish", "silu", "gelu"])
def test_naswot_knows_every_activation_that_keeps_the_sign(act: str) -> None:
    builder = GraphBuilder((1, 8, 8))
    x = builder.add("conv", ops.conv((1, 8, 8), 6, 3, act=act), INPUT)
    graph = builder.build(builder.add("classes", ops.linear(builder.shape(x), 10), x))
    images, labels = batch()
    assert math.isfinite(_proxies.naswot(graph, images, loss_of(labels), 3))


def test_gradnorm_sums_the_norms_of_the_weights_gradients() -> None:
    for graph in (chain("batch"), cells().graph(cells().sample(1, np.random.default_rng(0))[0])):
        x, labels = batch()
        module = GraphModule(graph, random_weights(graph, 3)).train()
        torch.nn.functional.cross_entropy(module(x), labels).backward()
        norms = [float(p.grad.norm()) for p in module.parameters() if p.ndim > 1 and p.grad is not None]
        score = _proxies.log_gradnorm(graph, x, loss_of(labels), 3)
        assert score == pytest.approx(math.log(sum(norms)), rel=1e-5)


def test_parameters() -> None:
    graph = chain("batch")
    assert math.exp(_proxies.log_parameters(graph, batch()[0], loss_of(batch()[1]), 0)) == pytest.approx(
        graph_params(graph)
    )


@pytest.mark.parametrize("kind", ["mobilenetv3", "nasbench201"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_scores_tell_networks_and_seeds_apart(proxy: str, kind: str, tmp_path: Path) -> None:
    mobile = make_space("mobilenetv3", image_channels=1, resolution=[8, 10], width=[0.1, 0.25])
    space = mobile if kind == "mobilenetv3" else cells()
    archs = list(dict.fromkeys(space.sample(6, np.random.default_rng(1))))
    found = []
    for seed in (0, 1):
        evaluator = make_evaluator(proxy, space, DATA, seed=seed, samples=16)
        evaluator.prepare(tmp_path)
        found.append([evaluator.evaluate(arch).value for arch in archs])
    assert len(set(found[0])) > len(archs) // 2
    assert (found[0] == found[1]) == (proxy == "parameters")


@pytest.mark.gpu
@pytest.mark.parametrize("proxy", PROXIES)
def test_scores_on_a_gpu_are_those_on_the_cpu(proxy: str) -> None:
    arch = cells().sample(1, np.random.default_rng(0))[0]
    here, there = (ProxyEvaluator(proxy, cells(), TASK, device=d, samples=16).evaluate(arch) for d in ("cpu", "cuda"))
    assert there.value == pytest.approx(here.value, rel=1e-2)


def test_a_score_that_is_not_finite_is_a_failed_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_proxies, "naswot", lambda *_: -math.inf)
    evaluator, arch = ProxyEvaluator("naswot", cells(), TASK), cells().sample(1, np.random.default_rng(0))[0]
    with pytest.raises(NoValueError) as caught:
        evaluator.evaluate(arch)
    assert str(caught.value) == f"evaluator naswot: {cells().format(arch)} has no finite score (-inf)"
    with pytest.raises(EvaluatorError) as nothing:
        rank_correlation(evaluator, [arch], [0.5])
    assert str(nothing.value) == "evaluator naswot: 0 of 1 networks have a value"


def benchmark(folder: Path, archs: list[Architecture]) -> Path:
    file = folder / "bench.csv"
    dead = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,10"
    rows = [f"{cells().format(arch)},{graph_params(cells().graph(arch))}" for arch in archs]
    file.write_text("\n".join(["arch,acc", dead, *rows, *rows]) + "\n")
    return file


def test_rank_correlation_on_a_benchmark(tmp_path: Path) -> None:
    archs = list(dict.fromkeys(cells().sample(30, np.random.default_rng(2))))
    table = BenchmarkTable.load(benchmark(tmp_path, archs))
    drawn, values = draw_benchmark(table, cells(), "acc", 20, seed=1)
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(archs)
    assert values == [graph_params(cells().graph(arch)) for arch in drawn]
    assert drawn == draw_benchmark(table, cells(), "acc", 20, seed=1)[0] != draw_benchmark(table, cells(), "acc", 20)[0]
    evaluator = make_evaluator("parameters", cells(), DATA)
    found = rank_correlation(evaluator, drawn, values)
    assert (found.evaluator, found.networks, found.failed) == ("parameters", 20, 0)
    assert (found.spearman, found.kendall) == (pytest.approx(1), pytest.approx(1))
    assert rank_correlation(evaluator, drawn, [-v for v in values]).spearman == pytest.approx(-1)
    assert rank_correlation(evaluator, drawn, [1.0] * 20).kendall == 0.0
    with pytest.raises(EvaluatorError) as caught:
        draw_benchmark(table, cells(), "acc", 500)
    assert str(caught.value) == f"table {table.path}: {len(archs)} different networks, 500 are needed"
    (tmp_path / "bad.csv").write_text("arch,acc\nnonsense,1\n")
    with pytest.raises(EvaluatorError, match="cannot read 'nonsense'"):
        draw_benchmark(BenchmarkTable.load(tmp_path / "bad.csv"), cells(), "acc", 1)


def test_parameters_rank_published_accuracies(benchmark_file: Path) -> None:
    table, space = BenchmarkTable.load(benchmark_file), make_space("nasbench201")
    archs, accuracies = draw_benchmark(table, space, "cifar10_test_acc", 60)
    task = ImageClassification(load_data("digits", limit=60))
    found = rank_correlation(ProxyEvaluator("parameters", space, task), archs, accuracies)
    assert 0.4 < found.spearman < 0.95
