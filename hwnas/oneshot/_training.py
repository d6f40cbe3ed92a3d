"""Training a supernet and a distribution over its choices together, resumably."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas._errors import EvaluatorError
from hwnas.oneshot._aim import Aim
from hwnas.oneshot._distribution import probabilities, sample_codes
from hwnas.oneshot._members import DISTRIBUTIONS, WEIGHTS, AimOrAims, Members, MethodOrMethods
from hwnas.oneshot._method import OneShotMethod
from hwnas.oneshot._mixture import Mixture
from hwnas.oneshot._record import FILE, DeviceRecord, EpochRecord, TrainingRecord, entropy
from hwnas.oneshot._training_settings import Beginning, TrainingSettings, weights_identity
from hwnas.spaces import Architecture
from hwnas.tasks import Targets, Task
from hwnas.training import Recipe, StepProgress, Supernet, Teacher, compute_threads, score_network, weights_digest
from hwnas.training._average import WeightAverage
from hwnas.training._batches import TrainLoader, sample_batches, shape_to_load
from hwnas.training._checkpoint import load_checkpoint
from hwnas.training._loop import TrainingJob, require_device, run_training
from hwnas.training._precision import computing
from hwnas.training._supernet_training import load_initial
from hwnas.training._teacher import shapes_of

CHECKPOINT = "supernet.pt"
"""Everything after the last epoch, in the training's folder."""
_WEIGHTS, _DISTRIBUTION, _BEGIN, _END = range(4)
"""Generators of an epoch beside that of the weights' batches."""
_SPLIT = 2**32
"""Seed of the split of the train part, beside all epochs'."""


def train_one_shot(
    method: MethodOrMethods,
    supernet: Supernet,
    task: Task,
    recipe: Recipe,
    settings: TrainingSettings,
    *,
    aim: AimOrAims = None,
    beginning: Beginning | None = None,
    folder: Path | None = None,
    progress: StepProgress | None = None,
) -> TrainingRecord:
    """Train shared weights and a distribution in place, from the last checkpoint where there is one.

    The method's share of the train part teaches the distribution, the rest the weights; where the share is 0, both
    learn from the same samples in the same step. An epoch goes once over both, the distribution's steps spread evenly
    between the weights'. A network's weights are computed under what the method draws: as a mixture
    (`Mixture`), or as one network where the draw is one.

    Several devices share one training of the weights. With one method for each of them, the methods take turns: in the
    steps of the distribution, of which each gets an equal share, and in the draws that the weights are computed under.
    With one method for all, its distribution is recorded for each device with the cost by that device's prices.

    Args:
        method: Learns; starts as it is. One for each of several devices, by name, or one for all of them.
        supernet: The shared weights; they start as they are.
        task: What the networks are trained for.
        recipe: Settings of the weights' training.
        settings: The rest.
        aim: The cost that counts; None where costs do not count. That of each of several devices, by name.
        beginning: What the weights start from; None for nothing.
        folder: For ``supernet.pt`` (everything after each epoch) and ``oneshot.json`` (the distribution); None for
            none.
        progress: Called after every step of the weights.

    Returns:
        The course of the training.

    Raises:
        EvaluatorError: No such device, a checkpoint of another training, the space cannot be mixed, the loss is no
            longer finite, or methods and aims are not those of the same devices.
        BudgetError: No network meets the hard budgets.
    """
    require_device(settings.device)
    recipe.require_one_size()
    supernet.to(settings.device)
    start, members = beginning or Beginning(), Members(method, aim)
    name = members.first.name
    identity = {**weights_identity(name, supernet.space, task, recipe, settings), **members.identity}
    with compute_threads(settings.threads):
        if start.initial is not None:
            identity["initial"] = start.digest or weights_digest(start.initial)
            load_initial(supernet, start.initial, task)
        teacher = start.teacher
        if teacher is not None:
            identity["teacher"] = teacher.digest
            teacher = teacher.to(settings.device)
        learner = _Learner(members, Mixture(supernet), task, recipe, settings, teacher, folder)
        for member in members:
            member.constrain()
        checkpoint = None if folder is None else folder / CHECKPOINT
        job = TrainingJob(
            f"{name}: supernet",
            supernet,
            learner.backward,
            learner.loader,
            recipe,
            settings.seed,
            checkpoint,
            identity,
            companion=learner,
            cycles=members.first.cycles,
        )
        run_training(job, progress)
    learner.record.finished = True
    learner.write()
    return learner.record


def load_trained(
    method: str, supernet: Supernet, task: Task, recipe: Recipe, settings: TrainingSettings, folder: Path
) -> None:
    """Load the weights of a finished training in place, whatever it aimed at.

    Args:
        method: Name of its method.
        supernet: Takes the weights.
        task: As in the training, like all that follows.
        recipe: Settings of the weights' training.
        settings: The rest.
        folder: With the training's ``supernet.pt``.

    Raises:
        EvaluatorError: No such device, or the checkpoint is missing, damaged, unfinished or of another training.
    """
    require_device(settings.device)
    path = folder / CHECKPOINT
    state = load_checkpoint(
        path, weights_identity(method, supernet.space, task, recipe, settings), settings.device, whole=False
    )
    if state is None or state.get("epoch") != recipe.epochs:
        raise EvaluatorError(f"checkpoint {path}: missing or unfinished; run the search for all devices again")
    try:
        supernet.to(settings.device).load_state_dict(state["model"])
        if recipe.average:
            average = WeightAverage(supernet, recipe.average)
            average.load_state_dict(state["average"])
            average.apply()
    except (KeyError, RuntimeError, ValueError, TypeError):
        raise EvaluatorError(f"checkpoint {path}: damaged; run the search for all devices again") from None


def on_cpu(state: Any) -> Any:
    """Return a state with its tensors on the CPU, in lists and mappings of any depth."""
    if isinstance(state, Tensor):
        return state.cpu()
    if isinstance(state, Mapping):
        return {name: on_cpu(value) for name, value in state.items()}
    return type(state)(on_cpu(value) for value in state) if type(state) in (list, tuple) else state


class _Learner:
    """Gradients of the weights' batches, and the distributions' steps between them."""

    def __init__(
        self,
        members: Members,
        mixture: Mixture,
        task: Task,
        recipe: Recipe,
        settings: TrainingSettings,
        teacher: Teacher | None,
        folder: Path | None,
    ) -> None:
        self.members, self.mixture, self.task, self.recipe = members, mixture, task, recipe
        self.settings, self.teacher, self.folder = settings, teacher, folder
        self.context = computing(recipe, settings.device)
        self.space = mixture.supernet.space
        method = members.first
        rest, own = _split(task.size("train"), method.share, settings.seed)
        shapes = [self.space.input_shape(mixture.supernet.largest), *shapes_of(teacher)]
        shape = shape_to_load(task, shapes)
        self.loader = TrainLoader(task, recipe, shape, settings.device, rest if len(own) else None)
        self._own_loader = TrainLoader(task, recipe, shape, settings.device, own) if len(own) else None
        self.record = members.new_record(self.space, settings.options)
        learning = sum(method.learns(epoch) for epoch in range(recipe.epochs))
        members.expect_steps(learning * len(self._own_loader or self.loader))

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch of the methods, and open the distributions' samples."""
        self._epoch, self._step, self._own_step = epoch, 0, 0
        self._began = time.perf_counter()
        self._rng = self._generator(epoch, _DISTRIBUTION)
        for number, member in enumerate(self.members):
            member.method.begin_epoch(epoch, self._generator(epoch, _BEGIN, number))
        self._learns = self.members.first.learns(epoch)
        self._own_batches: Iterator[tuple[Tensor, Targets]] = iter(())
        if self._own_loader is not None and self._learns:
            self._own_batches = self._own_loader.epoch(self._rng)

    def backward(self, x: Tensor, targets: Targets, rng: np.random.Generator) -> Tensor:
        """Let the distribution take the steps that are due, and add the weights' gradients; returns their loss."""
        self._step += 1
        if self._own_loader is not None and self._learns:
            while self._own_step * len(self.loader) < self._step * len(self._own_loader):
                self._own_step += 1
                if (batch := next(self._own_batches, None)) is not None:
                    self._learn(*batch)
        self.record.weight_samples += len(x)
        joint = self._own_loader is None and self._learns
        member = self.members.take_turn(WEIGHTS)
        drawn = member.method.draw(rng)
        single = not joint and self.settings.single > 0 and rng.random() < self.settings.single
        kept = self._one_network(drawn, rng) if single else drawn
        leaves = [vector.detach().requires_grad_(joint) for vector in kept]
        loss, outputs = self._loss(x, targets, leaves, rng)
        total = loss
        if self.teacher is not None:
            taught = self.teacher.outputs(x, self.task, self.context)
            total = loss + self.recipe.teacher_weight * self.task.distillation_loss(outputs, taught)
        total.backward()  # type: ignore[no-untyped-call]
        if joint:
            gradients = [leaf.grad for leaf in leaves]
            member.method.step(_surrogate(loss, drawn, gradients), member.cost(), self._progress())
        return loss.detach()

    def end_epoch(self, epoch: int) -> None:
        """Judge networks where the methods want it, and record the distributions."""
        for number, member in enumerate(self.members):
            arch = member.method.judged()
            value = None if arch is None else self._judge(arch)
            member.method.end_epoch(epoch, value, self._generator(epoch, _END, number))
            for device, aim in member.aims.items():
                self._record(self.record.parts[device], member.method, aim, value)
        self.record.seconds += time.perf_counter() - self._began
        self.write()

    def write(self) -> None:
        """Write the record so far."""
        if self.folder is not None:
            self.record.write(self.folder / FILE)

    def state_dict(self) -> dict[str, Any]:
        """Return the methods' states and the record."""
        return {**self.members.state(), "record": self.record.stored()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, on whatever device it was loaded: distributions are on the CPU."""
        self.members.load_state({name: on_cpu(value) for name, value in state.items() if name != "record"})
        self.record = TrainingRecord.from_stored(state["record"])

    def _record(
        self, part: DeviceRecord | TrainingRecord, method: OneShotMethod, aim: Aim | None, value: float | None
    ) -> None:
        """Record the distribution at the end of an epoch, for one device."""
        distribution = method.distribution()
        plain = [vector.tolist() for vector in probabilities(distribution)]
        expected = None
        if aim is not None:
            with torch.no_grad():
                expected = float(aim.expected(distribution))
        part.epochs.append(EpochRecord(plain, entropy(plain), expected, value))
        part.snapshots = [[v.tolist() for v in probabilities(snapshot)] for snapshot in method.snapshots()]

    def _learn(self, x: Tensor, targets: Targets) -> None:
        """Take one step of a distribution on samples of its own; the weights get no gradients."""
        self.record.distribution_samples += len(x)
        member = self.members.take_turn(DISTRIBUTIONS)
        drawn = member.method.draw(self._rng)
        leaves = [vector.detach().requires_grad_() for vector in drawn]
        loss, _ = self._loss(x, targets, leaves, self._rng)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        member.method.step(_surrogate(loss, drawn, gradients), member.cost(), self._progress())

    def _loss(
        self, x: Tensor, targets: Targets, drawn: list[Tensor], rng: np.random.Generator
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        arch = None if drawn[0].requires_grad else self._only(drawn)
        with self.context():
            if arch is not None:
                small = self.task.at_shape(x, self.space.input_shape(arch))
                output = self.mixture.supernet(small, arch).float()
            else:
                sampled = self.mixture.sample(drawn, rng)
                small = self.task.at_shape(x, self.mixture.input_shape(sampled))
                output = self.mixture(small, drawn, sampled).float()
        return self.task.loss((output,), targets, self.recipe.task_settings), (output,)

    def _one_network(self, drawn: list[Tensor], rng: np.random.Generator) -> list[Tensor]:
        """Return one network of a draw as a distribution; the draw itself where that is no network."""
        codes = sample_codes(drawn, 1, rng)
        if not bool(self.space.valid_codes(codes)[0]):
            return drawn
        return [torch.eye(len(v), dtype=v.dtype)[code] for v, code in zip(drawn, codes[0].tolist(), strict=True)]

    def _only(self, drawn: list[Tensor]) -> Architecture | None:
        """Return the architecture that has all probability; None where the draw is a mixture."""
        if any(float(vector.max()) < 1.0 for vector in drawn):
            return None
        codes = np.array([int(vector.argmax()) for vector in drawn], dtype=np.int64)
        return self.space.decode(codes) if bool(self.space.valid_codes(codes[None])[0]) else None

    def _judge(self, arch: Architecture) -> float:
        """Return the validation metric of a network with its own batch-norm statistics, higher is better."""
        shape, device = self.space.input_shape(arch), self.settings.device
        batches = sample_batches(self.task, self.settings.bn_statistics, shape, device)
        network = self.mixture.supernet.subnet(arch, batches)
        self.record.judged_samples += self.task.size("validation")
        return self.task.metric.sign * score_network(network, self.task, "validation", shape, device=device)

    def _progress(self) -> float:
        steps = len(self.loader)
        return (self._epoch * steps + self._step - 1) / (self.recipe.epochs * steps)

    def _generator(self, epoch: int, what: int, number: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 1 + epoch, what, *([number] if number else [])])


def _split(samples: int, share: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return indices of the train part for the weights and for the distribution, both ascending."""
    order = np.random.default_rng([seed, _SPLIT]).permutation(samples)
    count = min(samples - 1, max(1, round(share * samples))) if share > 0 else 0
    return np.sort(order[count:]), np.sort(order[:count])


def _surrogate(loss: Tensor, drawn: list[Tensor], gradients: Any) -> Tensor:
    """Return a scalar (float64) with the value of the loss, and its gradient with respect to what was drawn."""
    result = loss.detach().double().cpu()
    for vector, gradient in zip(drawn, gradients, strict=True):
        if gradient is not None and vector.requires_grad:
            result = result + ((vector - vector.detach()) * gradient.to(vector)).sum()
    return result
