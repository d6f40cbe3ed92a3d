"""Training a shared network and a distribution over its choices together, resumably."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.oneshot._aim import Aim
from hwnas.oneshot._distribution import probabilities, sample_codes
from hwnas.oneshot._method import OneShotMethod
from hwnas.oneshot._mixture import Mixture
from hwnas.oneshot._record import FILE, FORMAT, EpochRecord, TrainingRecord, entropy
from hwnas.oneshot._solve import Solver
from hwnas.spaces import Architecture
from hwnas.tasks import Targets, Task
from hwnas.training import Recipe, StepProgress, Supernet, Teacher, compute_threads, score_network, weights_digest
from hwnas.training._batches import TrainLoader, sample_batches
from hwnas.training._loop import TrainingJob, require_device, run_training
from hwnas.training._precision import computing
from hwnas.training._supernet_training import load_initial

_WEIGHTS, _DISTRIBUTION, _BEGIN, _END = range(4)
"""Generators of an epoch beside that of the weights' batches."""
_SPLIT = 2**32
"""Seed of the split of the train part, beside all epochs'."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a one-shot training runs, beside its method and recipe.

    Attributes:
        options: Options of the method, for checkpoints.
        seed: Decides everything random.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads on the CPU; None for its own choice.
        bn_statistics: Train samples behind the batch norms of networks that are judged in training.
        single: Share of the weights' steps that train one network, drawn from what the method drew, in place of the
            mixture; without any, networks that are cut out afterwards may fit the weights badly.
    """

    options: Mapping[str, Any]
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    bn_statistics: int = 512
    single: float = 0.5


@dataclass(frozen=True)
class Beginning:
    """What the shared weights start from, and who teaches them.

    Attributes:
        initial: Tensors by ``"node.parameter"`` in place of random weights; None for He initialisation.
        digest: What tells them from others; None for their own SHA-256.
        teacher: A trained network whose outputs the weights learn beside the targets; None for none.
    """

    initial: Mapping[str, npt.NDArray[np.float32]] | None = None
    digest: str | None = None
    teacher: Teacher | None = None


def train_one_shot(
    method: OneShotMethod,
    supernet: Supernet,
    task: Task,
    recipe: Recipe,
    settings: TrainingSettings,
    *,
    aim: Aim | None = None,
    beginning: Beginning | None = None,
    folder: Path | None = None,
    progress: StepProgress | None = None,
) -> TrainingRecord:
    """Train shared weights and a distribution in place, from the last checkpoint where there is one.

    The method's share of the train part teaches the distribution, the rest the weights; where the share is 0, both
    learn from the same samples in the same step. An epoch goes once over both, the distribution's steps spread evenly
    between the weights'. A network's weights are computed under what the method draws: as a mixture
    (`Mixture`), or as one network where the draw is one.

    Args:
        method: Learns; starts as it is.
        supernet: The shared weights; they start as they are.
        task: What the networks are trained for.
        recipe: Settings of the weights' training.
        settings: The rest.
        aim: The cost that counts; None where costs do not count.
        beginning: What the weights start from; None for nothing.
        folder: For ``supernet.pt`` (everything after each epoch) and ``oneshot.json`` (the distribution); None for
            none.
        progress: Called after every step of the weights.

    Returns:
        The course of the training.

    Raises:
        EvaluatorError: No such device, a checkpoint of another training, the space cannot be mixed, or the loss is no
            longer finite.
        BudgetError: No network meets the hard budgets.
    """
    require_device(settings.device)
    supernet.to(settings.device)
    start = beginning or Beginning()
    identity: dict[str, object] = {
        "training": "one-shot",
        "method": repr((method.name, sorted(settings.options.items()))),
        "space": repr((supernet.space.name, sorted(supernet.space.settings.items()))),
        "data": task.fingerprint,
        "recipe": repr(sorted(recipe.as_dict().items())),
        "seed": settings.seed,
        "single": settings.single,
        **(aim.identity if aim is not None else {"cost": "none"}),
    }
    with compute_threads(settings.threads):
        if start.initial is not None:
            identity["initial"] = start.digest or weights_digest(start.initial)
            load_initial(supernet, start.initial, task)
        teacher = start.teacher
        if teacher is not None:
            identity["teacher"] = teacher.digest
            teacher = teacher.to(settings.device)
        learner = _Learner(method, Mixture(supernet), task, recipe, settings, aim, teacher, folder)
        if aim is not None and aim.budgets:
            method.constrain(Solver(aim.expected.costs), aim.budgets)
        checkpoint = None if folder is None else folder / "supernet.pt"
        job = TrainingJob(
            f"{method.name}: supernet",
            supernet,
            learner.backward,
            learner.loader,
            recipe,
            settings.seed,
            checkpoint,
            identity,
            companion=learner,
            cycles=method.cycles,
        )
        run_training(job, progress)
    learner.record.finished = True
    learner.write()
    return learner.record


class _Learner:
    """Gradients of the weights' batches, and the distribution's steps between them."""

    def __init__(
        self,
        method: OneShotMethod,
        mixture: Mixture,
        task: Task,
        recipe: Recipe,
        settings: TrainingSettings,
        aim: Aim | None,
        teacher: Teacher | None,
        folder: Path | None,
    ) -> None:
        self.method, self.mixture, self.task, self.recipe = method, mixture, task, recipe
        self.settings, self.aim, self.teacher, self.folder = settings, aim, teacher, folder
        self.context = computing(recipe, settings.device)
        self.space = mixture.supernet.space
        rest, own = _split(task.size("train"), method.share, settings.seed)
        shape = self.space.input_shape(mixture.supernet.largest)
        self.loader = TrainLoader(task, recipe, shape, settings.device, rest if len(own) else None)
        self._own_loader = TrainLoader(task, recipe, shape, settings.device, own) if len(own) else None
        self.record = TrainingRecord(
            method.name,
            dict(settings.options),
            [choice.name for choice in self.space.choices],
            [[str(value) for value in choice.values] for choice in self.space.choices],
            None if aim is None else aim.expected.key,
            None if aim is None else aim.reference,
            aim is not None and aim.is_budget,
            aim is not None and aim.counts,
        )
        learning = sum(method.learns(epoch) for epoch in range(recipe.epochs))
        method.expect_steps(learning * len(self._own_loader or self.loader))

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch of the method, and open its samples."""
        self._epoch, self._step, self._own_step = epoch, 0, 0
        self._began = time.perf_counter()
        self._rng = self._generator(epoch, _DISTRIBUTION)
        self.method.begin_epoch(epoch, self._generator(epoch, _BEGIN))
        self._learns = self.method.learns(epoch)
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
        drawn = self.method.draw(rng)
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
            self.method.step(_surrogate(loss, drawn, gradients), self._cost(), self._progress())
        return loss.detach()

    def end_epoch(self, epoch: int) -> None:
        """Judge a network where the method wants it, and record the distribution."""
        arch = self.method.judged()
        value = None if arch is None else self._judge(arch)
        self.method.end_epoch(epoch, value, self._generator(epoch, _END))
        distribution = self.method.distribution()
        plain = [vector.tolist() for vector in probabilities(distribution)]
        expected = None
        if self.aim is not None:
            with torch.no_grad():
                expected = float(self.aim.expected(distribution))
        record = self.record
        record.epochs.append(EpochRecord(plain, entropy(plain), expected, value))
        record.snapshots = [[v.tolist() for v in probabilities(snapshot)] for snapshot in self.method.snapshots()]
        record.seconds += time.perf_counter() - self._began
        self.write()

    def write(self) -> None:
        """Write the record so far."""
        if self.folder is not None:
            self.record.write(self.folder / FILE)

    def state_dict(self) -> dict[str, Any]:
        """Return the method's state and the record."""
        return {"method": self.method.state(), "record": asdict(self.record)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        self.method.load_state(state["method"])
        self.record = TrainingRecord.from_dict({"format": FORMAT, **state["record"]})

    def _learn(self, x: Tensor, targets: Targets) -> None:
        """Take one step of the distribution on samples of its own; the weights get no gradients."""
        self.record.distribution_samples += len(x)
        drawn = self.method.draw(self._rng)
        leaves = [vector.detach().requires_grad_() for vector in drawn]
        loss, _ = self._loss(x, targets, leaves, self._rng)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        self.method.step(_surrogate(loss, drawn, gradients), self._cost(), self._progress())

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

    def _cost(self) -> Tensor | None:
        return None if self.aim is None or not self.aim.counts else self.aim.share(self.method.priced())

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

    def _generator(self, epoch: int, what: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 1 + epoch, what])


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
