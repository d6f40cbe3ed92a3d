"""What every task must keep: `check_task(task, space)` raises `AssertionError` where one does not."""

from __future__ import annotations

import json
import pickle

import numpy as np
import torch
from torch import Tensor

from hwnas.spaces import Space
from hwnas.tasks import PARTS, Metric, Part, Task
from hwnas.training import default_recipe
from latency_tables import OpGraph
from profilers import GraphModule, random_weights

FEW = 7


def check_task(task: Task, space: Space) -> None:
    """Check a task.

    Args:
        task: the task; its parts should be small.
        space: a space whose networks are made for it.
    """
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    _check_facts(task)
    _check_metric(task.metric)
    _check_fit(task, space, graph)
    for part in PARTS:
        _check_samples(task, part, graph)
    _check_training(task, graph)
    _check_losses(task, graph)
    _check_scorer(task, graph)


def _check_facts(task: Task) -> None:
    assert task.name, "a task has a name"
    assert task.data_name, "the data have a name"
    assert all(task.size(part) > 0 for part in PARTS), "every part has samples"
    assert all(isinstance(note, str) for note in task.notes), "notes are lines of text"
    int(task.fingerprint, 16)
    copied = pickle.loads(pickle.dumps(task))
    assert copied.fingerprint == task.fingerprint, "a copy in a worker process is the same task"
    assert len({output.name for output in task.outputs}) == len(task.outputs) > 0, "outputs have names of their own"
    assert all(not output.labels or len(output.labels) == output.size for output in task.outputs)


def _check_metric(metric: Metric) -> None:
    stored = json.loads(json.dumps(metric.as_dict()))
    assert Metric.from_dict(stored) == metric, "files hold the metric"
    inside = next(value for value in (metric.low, metric.high, 0.25) if value is not None)
    assert metric.holds(inside)
    assert np.isclose(metric.parse(metric.format(inside)), inside), "people can write what they read"


def _check_fit(task: Task, space: Space, graph: OpGraph) -> None:
    task.require_fit(space)
    assert task.misfit([1, *graph.input_shape]) is None, "a file of such a network can be fed"
    assert task.misfit([1, graph.input_shape[0] + 1, *graph.input_shape[1:]]), "other channels cannot"
    assert task.misfit([1]), "no shape cannot"
    text = json.dumps(task.metadata(graph.input_shape))
    assert text == json.dumps(task.metadata(graph.input_shape)), "metadata are JSON, and the same each time"


def _check_samples(task: Task, part: Part, graph: OpGraph) -> None:
    count = min(FEW, task.size(part))
    chosen = np.arange(count)
    x = task.inputs(part, chosen, graph.input_shape)
    assert x.dtype == torch.float32
    assert tuple(x.shape) == (count, *graph.input_shape)
    assert torch.equal(x, task.inputs(part, slice(count), graph.input_shape)), "indices and slices give the same"
    some = np.array([count - 1, 0])
    assert torch.allclose(task.inputs(part, some, graph.input_shape), x[torch.from_numpy(some)], atol=1e-5)


def _check_training(task: Task, graph: OpGraph) -> None:
    recipe = default_recipe(task)
    assert set(recipe.task_settings) == set(task.options)
    assert json.loads(json.dumps(recipe.as_dict())) == recipe.as_dict(), "recipes are JSON"
    take = task.take_train(graph.input_shape, "cpu")
    count = min(FEW, task.size("train"))
    chosen = np.arange(count)[::-1].copy()
    x, _ = take(chosen)
    plain = task.inputs("train", chosen, graph.input_shape)
    torch.testing.assert_close(x, plain)

    def batch(seed: int) -> Tensor:
        views, targets = task.augment(*take(chosen), np.random.default_rng(seed), recipe.task_settings)
        loss = task.loss(_outputs(graph, views), targets, recipe.task_settings)
        assert loss.ndim == 0
        assert bool(loss.isfinite()), "losses are finite scalars"
        return torch.cat([views.flatten(), loss.detach()[None]])

    assert torch.equal(batch(3), batch(3)), "a batch can be made again from its seed"
    torch.testing.assert_close(take(chosen)[0], plain)  # augmentation leaves the data as they are


def _check_losses(task: Task, graph: OpGraph) -> None:
    count = min(FEW, task.size("train"))
    x = task.inputs("train", slice(count), graph.input_shape)
    targets = task.to_device(task.targets("train", slice(count)), "cpu")
    outputs = tuple(output.detach().requires_grad_() for output in _outputs(graph, x))
    task.loss(outputs, targets, {}).backward()  # type: ignore[no-untyped-call]
    assert any(o.grad is not None and bool((o.grad != 0).any()) for o in outputs), "the loss has gradients"
    same = tuple(output.detach().clone().requires_grad_() for output in outputs)
    task.distillation_loss(same, tuple(output.detach() for output in outputs)).backward()  # type: ignore[no-untyped-call]
    assert all(o.grad is None or float(o.grad.abs().max()) < 1e-4 for o in same), "who agrees learns nothing"
    other = tuple((output.detach() + torch.linspace(-1, 1, output.numel()).view_as(output)) for output in outputs)
    fixed = tuple(output.detach() for output in outputs)
    near, far = (float(task.distillation_loss(o, fixed)) for o in (fixed, other))
    assert near < far, "who agrees loses least"


def _check_scorer(task: Task, graph: OpGraph) -> None:
    size = task.size("validation")
    outputs = [o.detach().numpy() for o in _outputs(graph, task.inputs("validation", slice(size), graph.input_shape))]

    def scored(step: int) -> float:
        scorer = task.scorer()
        for start in range(0, size, step):
            part = slice(start, min(size, start + step))
            scorer.add([output[part] for output in outputs], task.targets("validation", part))
        return scorer.value()

    whole = scored(size)
    assert task.metric.holds(whole), "values lie within the metric's bounds"
    assert np.isclose(scored(3), whole), "values do not depend on the batches"


def _outputs(graph: OpGraph, x: Tensor) -> tuple[Tensor, ...]:
    module = GraphModule(graph, random_weights(graph, seed=0)).eval()
    return (module(x),)
