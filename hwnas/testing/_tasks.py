"""What every task and every metric must keep."""

from __future__ import annotations

import json
import pickle

import numpy as np
import torch
from torch import Tensor

from hwnas.spaces import Space
from hwnas.tasks import PARTS, Metric, Part, Task
from hwnas.testing._require import errors_as_faults, require, require_close, require_json
from hwnas.training import default_recipe
from latency_tables import OpGraph
from profilers import GraphModule, random_weights, trained_graph

FEW = 7


def check_task(task: Task, space: Space) -> None:
    """Check a task and its metric.

    Samples must be the same however they are asked for, batches must follow from their seed, losses must be finite,
    have gradients and be least where a student agrees with its teacher, and the metric must not depend on batches.

    Args:
        task: The task; its parts should be small.
        space: A space whose networks are made for it.

    Raises:
        AssertionError: The task breaks the contract.
    """
    with errors_as_faults():
        graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
        _check_facts(task)
        check_metric(task.metric)
        _check_fit(task, space, graph)
        for part in PARTS:
            _check_samples(task, part, graph)
        _check_training(task, trained_graph(graph))
        _check_losses(task, trained_graph(graph))
        _check_scorer(task, graph)


def check_metric(metric: Metric) -> None:
    """Check a metric.

    Files must hold it, and people's texts must be read back.

    Args:
        metric: The metric.

    Raises:
        AssertionError: The metric breaks the contract.
    """
    owner = f"metric {metric.name}"
    with errors_as_faults():
        require_json(metric.as_dict(), f"{owner}: as_dict")
        inside = _values_inside(metric)
        for value in inside:
            require(metric.holds(value), f"{owner}: {value:g} lies within its bounds, `holds` denies it")
            text = metric.format(value)
            require_close(metric.parse(text), value, 1e-3, f"{owner}: parse does not read what format writes, {text!r}")
        for bound, step in ((metric.low, -1.0), (metric.high, 1.0)):
            outside = bound is not None and metric.holds(bound + step)
            require(not outside, f"{owner}: `holds` must be false beyond the bound {bound}")
        read = Metric.from_dict(json.loads(json.dumps(metric.as_dict())))
        require(read == metric, f"{owner}: from_dict must read what as_dict gives, got {read}")


def _values_inside(metric: Metric) -> list[float]:
    """Return the bounds and a value between them."""
    low, high = metric.low, metric.high
    if low is not None and high is not None:
        between = (low + high) / 2
    else:
        between = low + 0.25 if low is not None else (high or 0.0) - 0.25
    return [*(bound for bound in (low, high) if bound is not None), between]


def _check_facts(task: Task) -> None:
    require(isinstance(task.name, str) and task.name, f"task {type(task).__name__}: it must have a name")
    owner = f"task {task.name}"
    require(task.data_name, f"{owner}: data_name must name the data")
    require(all(task.size(part) > 0 for part in PARTS), f"{owner}: each of {', '.join(PARTS)} must have samples")
    require(all(isinstance(note, str) for note in task.notes), f"{owner}: notes must be lines of text")
    try:
        int(task.fingerprint, 16)
    except (TypeError, ValueError):
        raise AssertionError(f"{owner}: fingerprint must be a hexadecimal text, got {task.fingerprint!r}") from None
    copied = pickle.loads(pickle.dumps(task))
    same = copied.fingerprint == task.fingerprint
    require(same, f"{owner}: a pickled copy, as workers get it, must have the same fingerprint")
    names = [output.name for output in task.outputs]
    require(names and len(set(names)) == len(names), f"{owner}: outputs must have different names, got {names}")
    for output in task.outputs:
        right = not output.labels or len(output.labels) == output.size
        require(right, f"{owner}: output {output.name} must have {output.size} labels or none, got {output.labels}")


def _check_fit(task: Task, space: Space, graph: OpGraph) -> None:
    owner, shape = f"task {task.name}", graph.input_shape
    task.require_fit(space)
    refused = task.misfit([1, *shape])
    require(refused is None, f"{owner}: misfit must accept a network of its own space, got {refused!r}")
    require(task.misfit([1, shape[0] + 1, *shape[1:]]), f"{owner}: misfit must say why other channels do not fit")
    require(task.misfit([1]), f"{owner}: misfit must say why an input without a shape does not fit")
    try:
        texts = [json.dumps(task.metadata(shape)) for _ in range(2)]
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{owner}: metadata must be JSON-able: {error}") from None
    require(texts[0] == texts[1], f"{owner}: metadata must be the same each time")


def _check_samples(task: Task, part: Part, graph: OpGraph) -> None:
    owner, count = f"task {task.name}: inputs of {part}", min(FEW, task.size(part))
    x = task.inputs(part, np.arange(count), graph.input_shape)
    require(x.dtype == torch.float32, f"{owner} must be float32, got {x.dtype}")
    shape = (count, *graph.input_shape)
    require(tuple(x.shape) == shape, f"{owner} must have the shape {shape}, got {tuple(x.shape)}")
    sliced = task.inputs(part, slice(count), graph.input_shape)
    require(torch.equal(x, sliced), f"{owner} must be the same by indices and by a slice")
    some = np.array([count - 1, 0])
    alone = task.inputs(part, some, graph.input_shape)
    same = torch.allclose(alone, x[torch.from_numpy(some)], atol=1e-5)
    require(same, f"{owner} must not depend on the other samples of a batch")


def _check_training(task: Task, graph: OpGraph) -> None:
    owner, recipe = f"task {task.name}", default_recipe(task)
    later = {name for name, option in task.options.items() if option.later}  # named where they are not the default
    settings, options = set(recipe.task_settings) - later, set(task.options) - later
    require(settings == options, f"{owner}: its recipe must set its options {sorted(options)}, got {sorted(settings)}")
    require_json(recipe.as_dict(), f"{owner}: its default recipe")
    take = task.take_train(graph.input_shape, "cpu")
    chosen = np.arange(min(FEW, task.size("train")))[::-1].copy()
    plain = task.inputs("train", chosen, graph.input_shape)

    def batch(seed: int) -> Tensor:
        views, targets = task.augment(*take(chosen), np.random.default_rng(seed), recipe.task_settings)
        loss = task.loss(_outputs(graph, views), targets, recipe.task_settings)
        finite = loss.ndim == 0 and bool(loss.isfinite())
        require(finite, f"{owner}: loss must be a finite scalar, got {loss.detach().tolist()}")
        return torch.cat([views.flatten(), loss.detach()[None]])

    require(torch.allclose(take(chosen)[0], plain, atol=1e-5), f"{owner}: take_train must give the inputs of train")
    require(torch.equal(batch(3), batch(3)), f"{owner}: a batch must be the same when it is made again from its seed")
    require(torch.allclose(take(chosen)[0], plain, atol=1e-5), f"{owner}: augment must not change the data themselves")


def _check_losses(task: Task, graph: OpGraph) -> None:
    owner, count = f"task {task.name}", min(FEW, task.size("train"))
    x = task.inputs("train", slice(count), graph.input_shape)
    targets = task.to_device(task.targets("train", slice(count)), "cpu")
    fixed = tuple(output.detach() for output in _outputs(graph, x))
    outputs = tuple(output.clone().requires_grad_() for output in fixed)
    task.loss(outputs, targets, {}).backward()  # type: ignore[no-untyped-call]
    learns = any(o.grad is not None and bool((o.grad != 0).any()) for o in outputs)
    require(learns, f"{owner}: loss must have gradients")
    same = tuple(output.clone().requires_grad_() for output in fixed)
    task.distillation_loss(same, fixed).backward()  # type: ignore[no-untyped-call]
    still = all(o.grad is None or float(o.grad.abs().max()) < 1e-4 for o in same)
    require(still, f"{owner}: distillation_loss must have no gradient where student and teacher agree")
    other = tuple(output + torch.linspace(-1, 1, output.numel()).view_as(output) for output in fixed)
    near, far = (float(task.distillation_loss(student, fixed)) for student in (fixed, other))
    require(near < far, f"{owner}: distillation_loss must be least where student and teacher agree")


def _check_scorer(task: Task, graph: OpGraph) -> None:
    owner, size = f"task {task.name}", task.size("validation")
    x = task.inputs("validation", slice(size), graph.input_shape)
    outputs = [output.detach().numpy() for output in _outputs(graph, x)]

    def scored(step: int) -> float:
        scorer = task.scorer()
        for start in range(0, size, step):
            part = slice(start, min(size, start + step))
            scorer.add([output[part] for output in outputs], task.targets("validation", part))
        return scorer.value()

    whole, batched = scored(size), scored(3)
    require(task.metric.holds(whole), f"{owner}: {task.metric.name} must be within its bounds, got {whole:g}")
    require_close(batched, whole, 1e-5, f"{owner}: the scorer's value must not depend on the batches")


def _outputs(graph: OpGraph, x: Tensor) -> tuple[Tensor, ...]:
    """Return what a network gives for a batch, as it is trained or as it is delivered."""
    module = GraphModule(graph, random_weights(graph, seed=0)).eval()
    return (module(x),)
