"""The training loop of torch modules that all of the comparison's networks but hwnas's own go through.

It is the loop of `hwnas.training` for modules that are no op graph: the same schedule, optimiser, clipping, moving
average, augmentation and losses, with the same settings (`hwnas.training.Recipe`).
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.tasks import PARTS, Task
from hwnas.training import Recipe, computing, learning_rate, make_optimizer, score_onnx
from latency_tables import write_atomic
from profilers import graph_macs, graph_params, read_onnx

STATISTICS_IMAGES, BATCH = 2048, 256


@dataclass(frozen=True)
class Training:
    """One training of a torch module.

    Attributes:
        task: Gives samples, augmentation and losses.
        recipe: The settings.
        seed: Decides order and augmentation.
        checkpoint: File that is written after each epoch and resumed from.
        sizes: Image size of each part of the training, like ``(24, 32)``: smaller images first are faster.
        device: ``"cpu"`` or ``"cuda"``.
        teacher: Network whose outputs are learned beside the labels; None for none.
        before_epoch: Called before each epoch.
        before_step: Called with the gradients in place, before each step of the optimiser.
        say: Receives a line for each epoch.
    """

    task: Task
    recipe: Recipe
    seed: int
    checkpoint: Path
    sizes: tuple[int, ...] = (32,)
    device: str = "cpu"
    teacher: nn.Module | None = None
    before_epoch: Callable[[], None] = lambda: None
    before_step: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda text: None

    def size(self, epoch: int) -> int:
        """Return the image size of an epoch."""
        return self.sizes[min(len(self.sizes) - 1, epoch * len(self.sizes) // self.recipe.epochs)]


def train(module: nn.Module, training: Training) -> nn.Module:
    """Train a module in place, from its checkpoint where there is one; return it in evaluation mode, on the CPU.

    A training that was killed and started again ends with the same weights, bit for bit, on the same machine with the
    same number of threads: each epoch draws from a generator of its own.
    """
    recipe = training.recipe
    module.to(training.device, memory_format=torch.channels_last)
    if training.teacher is not None:
        training.teacher.to(training.device)
    optimizer = make_optimizer(module, recipe)
    average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    done = _resume(module, optimizer, average, training)
    for epoch in range(done, recipe.epochs):
        began = time.perf_counter()
        loss = _epoch(module, optimizer, average, training, epoch)
        _save(module, optimizer, average, training, epoch + 1)
        seconds = time.perf_counter() - began
        training.say(f"epoch {epoch + 1} of {recipe.epochs}: loss {loss:.3f}, {seconds:.0f} s")
    if recipe.average:
        module.load_state_dict(average)
    return module.cpu().eval()


def _epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor], training: Training, epoch: int
) -> float:
    """Train for one epoch; return its mean loss."""
    task, recipe = training.task, training.recipe
    rng = np.random.default_rng([training.seed, 1 + epoch])
    count, shape = task.size("train"), (task.input_shape[0], training.size(epoch), training.size(epoch))
    take, order = task.take_train(shape, training.device), rng.permutation(count)
    batch = min(recipe.batch_size, count)
    steps, losses = count // batch, 0.0
    module.train()
    training.before_epoch()
    for step in range(steps):
        x, targets = task.augment(*take(order[step * batch : (step + 1) * batch]), rng, recipe.task_settings)
        number = epoch * steps + step
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, number, recipe.epochs * steps)
        optimizer.zero_grad(set_to_none=True)
        loss = _loss(module, x, targets, training)
        loss.backward()  # type: ignore[no-untyped-call]
        training.before_step()
        nn.utils.clip_grad_norm_(module.parameters(), recipe.clip)
        optimizer.step()
        losses += float(loss.detach())
        if recipe.average:
            _update(average, module, min(recipe.average, (2 + number) / (11 + number)))
    if not math.isfinite(losses):
        raise SystemExit(f"{training.checkpoint}: the training diverged in epoch {epoch + 1}; lower the learning rate")
    return losses / steps


def _loss(module: nn.Module, x: Tensor, targets: Any, training: Training) -> Tensor:
    """Return the loss with the labels, and with the teacher's outputs where there is a teacher."""
    task, recipe = training.task, training.recipe
    context = computing(recipe, training.device)
    with context():
        output = module(x)
    loss = task.loss((output.float(),), targets, recipe.task_settings)
    if training.teacher is not None:
        with torch.no_grad(), context():
            taught = training.teacher(x)
        loss = loss + recipe.teacher_weight * task.distillation_loss((output.float(),), (taught.float(),))
    return loss


def _update(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    """Take the module's present tensors into the moving average."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                average[name].lerp_(tensor, 1 - decay)
            else:
                average[name].copy_(tensor)


def _identity(training: Training) -> str:
    teacher = None if training.teacher is None else "teacher"
    facts = (sorted(training.recipe.as_dict().items()), training.seed, training.sizes, teacher)
    return repr((*facts, training.task.fingerprint))


def _save(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    training: Training,
    epochs: int,
) -> None:
    state = {"epochs": epochs, "identity": _identity(training), "average": dict(average)}
    save_tensors({**state, "module": module.state_dict(), "optimizer": optimizer.state_dict()}, training.checkpoint)


def _resume(module: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor], training: Training) -> int:
    """Load the checkpoint, if there is one; return the number of epochs done."""
    if not training.checkpoint.exists():
        return 0
    state = load_tensors(training.checkpoint)
    if state["identity"] != _identity(training):
        raise SystemExit(f"{training.checkpoint} belongs to a training with other settings; choose another folder")
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    average.update({name: tensor.to(training.device) for name, tensor in state["average"].items()})
    return int(state["epochs"])


def save_tensors(content: Mapping[str, Any], path: Path) -> None:
    """Write tensors, numbers and text so that the file is either whole or as it was before."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def load_tensors(path: Path) -> dict[str, Any]:
    """Return what `save_tensors` wrote."""
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def recompute_norms(module: nn.Module, task: Task, images: int = STATISTICS_IMAGES) -> nn.Module:
    """Give a module batch-norm statistics of its own, over the first train images; return it in evaluation mode."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over batches
    module.train()
    with torch.no_grad():
        for part in _batches(min(images, task.size("train"))):
            module(task.inputs("train", part, task.input_shape))
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum
    return module.eval()


def accuracy(module: nn.Module, task: Task, part: Any) -> float:
    """Return the share of a part that a module classifies correctly."""
    scorer = task.scorer()
    with torch.no_grad():
        for indices in _batches(task.size(part)):
            scorer.add([module(task.inputs(part, indices, task.input_shape)).numpy()], task.targets(part, indices))
    return scorer.value()


def judged(model: bytes, task: Task) -> dict[str, Any]:
    """Return the accuracies of a network's file."""
    return {part: score_onnx(model, task, part) for part in PARTS[1:]}


def sizes_of(model: bytes) -> dict[str, int]:
    """Return multiply-accumulates and parameters of a network's file."""
    graph = read_onnx(model).graph
    return {"macs": graph_macs(graph), "params": graph_params(graph)}


def _batches(count: int) -> list[Any]:
    return [np.arange(start, min(count, start + BATCH)) for start in range(0, count, BATCH)]
