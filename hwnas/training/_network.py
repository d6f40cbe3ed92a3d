"""Training one network from scratch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.tasks import Targets, Task
from hwnas.training._batches import TrainLoader
from hwnas.training._cover import starting_parameters
from hwnas.training._loop import Backward, TrainingJob, compute_threads, require_device, run_training
from hwnas.training._recipe import Recipe, StepProgress
from hwnas.training._trim import cut_tensor, trimmed
from latency_tables import OpGraph
from profilers import GraphModule, Parameter, RunningNorm, expand, initial_value, run_graph

FloatArray = npt.NDArray[np.float32]


def train_network(
    graph: OpGraph,
    task: Task,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint: Path | None = None,
    progress: StepProgress | None = None,
    label: str = "network",
    start: Mapping[str, FloatArray] | None = None,
    should_continue: Callable[[int, GraphModule], bool] | None = None,
) -> GraphModule:
    """Train a network, from He initialisation or from given weights.

    Args:
        graph: The network.
        task: What it is trained for.
        recipe: The settings.
        seed: Decides initialisation, batches and augmentation.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads on the CPU; None for its own choice. Results depend on it in the last bits.
        checkpoint: File to resume from and to write after each epoch.
        progress: Called after every step.
        label: What progress and errors call the network.
        start: Weights and statistics to start from by ``"node.parameter"``; None for He initialisation.
        should_continue: Called after every epoch but the last with the number of epochs done and the network in
            evaluation mode; False ends the training (see `TrainingJob`).

    Returns:
        The network in evaluation mode, with the running statistics of its batch norms.

    Raises:
        EvaluatorError: No such device, a checkpoint of another training, or the loss is no longer finite.
    """
    require_device(device)
    rng = np.random.default_rng([seed, 0])
    if start is None:
        weights = {name: initial_value(p, rng) for name, p in starting_parameters(graph.without_dead_code())}
    else:
        weights = dict(start)
    module = GraphModule(graph, weights).to(device).train()
    loader = TrainLoader(task, recipe, graph.input_shape, device)
    identity = {
        "training": "network",
        "graph": repr([(node.name, node.op.key) for node in graph.nodes]),
        "data": task.fingerprint,
        "recipe": repr(sorted(recipe.as_dict().items())),
        "seed": seed,
        "start": "he" if start is None else _digest(weights),
    }
    backward = _backward(module, task, recipe, mixed=device.startswith("cuda"))
    with compute_threads(threads):
        ask = None if should_continue is None else _asked(module, should_continue)
        run_training(TrainingJob(label, module, backward, loader, recipe, seed, checkpoint, identity, ask), progress)
    return module.eval()


def _digest(weights: Mapping[str, FloatArray]) -> str:
    """Return the SHA-256 (hexadecimal) of names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()


def _asked(module: GraphModule, should_continue: Callable[[int, GraphModule], bool]) -> Callable[[int], bool]:
    def ask(done: int) -> bool:
        """Ask with the network in evaluation mode."""
        goes_on = should_continue(done, module.eval())
        module.train()
        return goes_on

    return ask


def _backward(module: GraphModule, task: Task, recipe: Recipe, *, mixed: bool) -> Backward:
    """Return gradients of the task's loss; computed without kernel taps that only meet padding."""
    tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    expanded = trimmed(expand(module.graph))

    def lookup(name: str, parameter: Parameter) -> Tensor:
        """Return the tensor of a parameter."""
        return cut_tensor(tensors[name.replace(".", "/")], parameter, name)

    def backward(x: Tensor, targets: Targets, _: np.random.Generator) -> Tensor:
        """Add the gradients of one batch; return its loss."""
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
            output = run_graph(expanded, x, lookup, RunningNorm(training=True)).float()
        loss = task.loss((output,), targets, recipe.task_settings)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return backward
