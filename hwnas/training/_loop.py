"""The training loop that supernets and single networks share: schedule, clipping, checkpoints, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.tasks import Targets
from hwnas.training._average import WeightAverage
from hwnas.training._batches import TrainLoader, made_ahead
from hwnas.training._checkpoint import load_checkpoint, save_checkpoint
from hwnas.training._memory import kept_memory
from hwnas.training._recipe import Recipe, StepProgress

Backward = Callable[[Tensor, Targets, np.random.Generator], Tensor]
"""Adds the gradients for one batch of `TrainLoader.epoch` (inputs, targets); returns the loss as a scalar."""

_LONGEST_LABEL = 120
"""Characters of a label that progress shows whole."""


@contextmanager
def compute_threads(count: int | None) -> Iterator[None]:
    """Let torch compute with `count` threads for a while; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_device(device: str) -> None:
    """Raise `EvaluatorError` where torch has no such device."""
    if device == "cpu":
        return
    if not device.startswith("cuda"):
        raise EvaluatorError(f"training: unknown device {device!r}; known: cpu, cuda")
    if not torch.cuda.is_available():
        raise EvaluatorError("training: no CUDA device here (torch sees none); train with device cpu")


class Companion(Protocol):
    """What learns beside the weights: it hears of epochs, and its state is a part of the checkpoint."""

    def begin_epoch(self, epoch: int) -> None:
        """Prepare an epoch, counted from 0."""

    def end_epoch(self, epoch: int) -> None:
        """End an epoch, while the model holds the weights that would be the result."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that later epochs depend on: tensors, numbers, text, lists and dicts of them."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            KeyError, RuntimeError, ValueError, TypeError: It is something else.
        """


@dataclass(frozen=True)
class TrainingJob:
    """One training.

    Attributes:
        label: What is trained, for progress and errors.
        model: Its parameters are trained in place.
        backward: Computes the gradients of one batch.
        loader: The train part.
        recipe: The settings.
        seed: Decides everything random.
        checkpoint: File for the state after each epoch; None for none.
        identity: What the checkpoint belongs to.
        should_continue: Called after every epoch but the last with the number of epochs done, while the model holds
            the weights that would be the result; False ends the training. Must answer the same when called again.
        draws: Whether `backward` draws from the generator that it gets. Where it does not, the next batch is made while
            it computes.
        fused: Whether each step of the optimiser is one pass over memory, which rounds differently; every step must
            then give gradients to the same parameters.
        companion: What learns beside the weights; None for nothing.
        cycles: How often the learning rate falls to 0; warm-up included, it restarts in between.
        small: Batches for the first epochs (`Recipe.small_epochs`), in which the network reads smaller images, and what
            computes their gradients; None where all are of one size.
        losses: Receives the mean training loss of every epoch, also of those before an interruption (from the
            checkpoint; one of an earlier version holds none).
    """

    label: str
    model: nn.Module
    backward: Backward
    loader: TrainLoader
    recipe: Recipe
    seed: int
    checkpoint: Path | None
    identity: Mapping[str, object]
    should_continue: Callable[[int], bool] | None = None
    draws: bool = True
    fused: bool = False
    companion: Companion | None = None
    cycles: int = 1
    small: tuple[TrainLoader, Backward] | None = None
    losses: list[float] = field(default_factory=list)

    def of_epoch(self, epoch: int) -> tuple[TrainLoader, Backward]:
        """Return the batches of an epoch, counted from 0, and what computes their gradients."""
        if self.small is not None and epoch < self.recipe.small_epochs:
            return self.small
        return self.loader, self.backward


def run_training(job: TrainingJob, progress: StepProgress | None = None) -> None:
    """Train to the end, from the last checkpoint where there is one.

    Every epoch draws from generators of its own, seeded by seed and epoch: a resumed training is the same, bit for
    bit, as an unbroken one on a CPU with the same number of threads.

    Raises:
        EvaluatorError: The loss is no longer finite, or the checkpoint cannot be used.
    """
    with kept_memory() if job.loader.device == "cpu" else nullcontext():
        _run(job, progress)


def _run(job: TrainingJob, progress: StepProgress | None) -> None:
    optimizer = make_optimizer(job.model, job.recipe, fused=job.fused)
    average = WeightAverage(job.model, job.recipe.average) if job.recipe.average else None
    epoch = _resume(job, optimizer, average)
    if epoch == 0:
        _save(job, optimizer, average, 0)  # a folder that cannot be written to shows before the work, not after
    clock = _Clock(job, epoch, progress)
    while epoch < job.recipe.epochs and _should_continue(job, average, epoch):
        if job.companion is not None:
            job.companion.begin_epoch(epoch)
        job.losses.append(_train_epoch(job, optimizer, average, clock, epoch))
        if job.companion is not None:
            with _result(average):
                job.companion.end_epoch(epoch)
        epoch += 1
        _save(job, optimizer, average, epoch)
    if average is not None:
        average.apply()


def _should_continue(job: TrainingJob, average: WeightAverage | None, done: int) -> bool:
    if job.should_continue is None or done == 0:
        return True
    with _result(average):
        return job.should_continue(done)


def _result(average: WeightAverage | None) -> AbstractContextManager[None]:
    """Let the model hold the weights that would be the result for a while."""
    return nullcontext() if average is None else average.applied()


def _train_epoch(
    job: TrainingJob, optimizer: torch.optim.Optimizer, average: WeightAverage | None, clock: _Clock, epoch: int
) -> float:
    """Train for one epoch; returns the mean loss of its steps."""
    sum_of_losses = 0.0
    rng = np.random.default_rng([job.seed, 1 + epoch])
    first, end = cycle_of(epoch, job.recipe.epochs, min(job.cycles, job.recipe.epochs))
    total = (end - first) * len(job.loader)
    loader, backward = job.of_epoch(epoch)
    batches = loader.epoch(rng) if job.draws else made_ahead(loader.epoch(rng))
    for step, (x, targets) in enumerate(batches):
        rate = learning_rate(job.recipe, (epoch - first) * len(job.loader) + step, total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = float(backward(x, targets, rng))
        norm = float(nn.utils.clip_grad_norm_(job.model.parameters(), job.recipe.clip))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise NoValueError(
                f"{job.label}: training diverged in epoch {epoch + 1}, step {step + 1} (loss {loss:g}); "
                f"lower the learning rate, now {job.recipe.learning_rate:g}"
            )
        optimizer.step()
        if average is not None:
            average.update()
        sum_of_losses += loss
        clock.tick(epoch, step, loss)
    return sum_of_losses / len(job.loader)


def cycle_of(epoch: int, epochs: int, cycles: int) -> tuple[int, int]:
    """Return the first epoch of the cycle that an epoch belongs to, and the one after its last.

    Args:
        epoch: Number of the epoch, from 0.
        epochs: Epochs of the whole training.
        cycles: Cycles, as equally long as can be; at most as many as epochs.
    """
    number = epoch * cycles // epochs
    return -(-number * epochs // cycles), -(-(number + 1) * epochs // cycles)


def make_optimizer(model: nn.Module, recipe: Recipe, *, fused: bool = False) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum or AdamW; weight decay on tensors of two axes and more alone.

    Args:
        model: Its parameters are trained.
        recipe: The settings.
        fused: Whether a step is one pass over memory instead of one for each of its operations; it rounds differently.
    """
    named = sorted(model.named_parameters())
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused or None)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, fused=fused or None)


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """Return the rate: linear warm-up, then half a cosine to 0 (Loshchilov, Hutter 2017, arXiv 1608.03983, eq. 5)."""
    warm = round(recipe.warmup * total)
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _resume(job: TrainingJob, optimizer: torch.optim.Optimizer, average: WeightAverage | None) -> int:
    """Load the checkpoint, if any; returns the first epoch to do."""
    if job.checkpoint is None:
        return 0
    state = load_checkpoint(job.checkpoint, job.identity, job.loader.device)
    if state is None:
        return 0
    try:
        job.model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load_state_dict(state["average"])
        if job.companion is not None:
            job.companion.load_state_dict(state["companion"])
        job.losses[:] = map(float, state.get("losses", ()))
        return int(state["epoch"])
    except (KeyError, RuntimeError, ValueError, TypeError):
        raise EvaluatorError(f"checkpoint {job.checkpoint}: damaged; remove it to train again") from None


def _save(job: TrainingJob, optimizer: torch.optim.Optimizer, average: WeightAverage | None, epoch: int) -> None:
    if job.checkpoint is not None:
        state = {"epoch": epoch, "model": dict(job.model.state_dict()), "optimizer": optimizer.state_dict()}
        state["losses"] = list(job.losses)
        if average is not None:
            state["average"] = average.state_dict()
        if job.companion is not None:
            state["companion"] = job.companion.state_dict()
        save_checkpoint(job.checkpoint, job.identity, state)


class _Clock:
    """Turns steps into progress reports with the time that remains."""

    def __init__(self, job: TrainingJob, start: int, progress: StepProgress | None) -> None:
        self.job, self.progress = job, progress
        self.first = start * len(job.loader)
        self.total = job.recipe.epochs * len(job.loader)
        self.began = time.perf_counter()

    def tick(self, epoch: int, step: int, loss: float) -> None:
        """Report a finished step."""
        if self.progress is None:
            return
        done = epoch * len(self.job.loader) + step + 1
        left = (time.perf_counter() - self.began) / (done - self.first) * (self.total - done)
        text = f"epoch {epoch + 1}/{self.job.recipe.epochs}, loss {loss:.3f}, {_duration(left)} left"
        self.progress(done, self.total, f"{_middle_left_out(self.job.label)}: {text}")


def _middle_left_out(label: str) -> str:
    """Return a label as progress shows it: a network of a space without its own notation has 1,000 characters."""
    return label if len(label) <= _LONGEST_LABEL else f"{label[:40]}...{label[-37:]}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
