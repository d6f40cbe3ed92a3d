"""Evaluator `train`: every network trained alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.evaluators._base import Evaluation, Evaluator, Trainer, Weights
from hwnas.evaluators._precision import checked_precision, metric_at, precision_facts, score_subnet
from hwnas.evaluators._rungs import Rungs
from hwnas.evaluators._start import start_facts
from hwnas.spaces import Architecture, Space
from hwnas.tasks import Part, Task
from hwnas.training import Recipe, StepProgress

if TYPE_CHECKING:
    from hwnas.training import StartingNetworks, Teacher
    from profilers import GraphModule


class TrainEvaluator(Evaluator, Trainer):
    """Trains each network once; its weights stay in the folder, so a delivery needs no second training.

    Args:
        space: The space.
        task: What networks are trained for: its train part gives weights, its validation part values.
        recipe: The settings of every training.
        seed: Decides everything random in a training.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads; None for its own choice.
        precision: ``"fp32"``, or ``"int8"`` for the validation metric of each network once it is quantised (static
            QDQ with ranges of train samples), as ONNX Runtime computes it; ``"mixed"`` where its int8 blocks alone are.
            Training is the same for all.
        halving: End a training that is not among the best 1/halving of the earlier ones after a share of 1/halving,
            1/halving^2, ... of the epochs (`hwnas.evaluators._rungs`); None trains every network to the end. What an
            ended one is worth then depends on those before it, so on the order of evaluation.
        start: Gives the weights that a network's training starts from (`Trainer.trained_weights` of another
            evaluator, say); None for `initial`.
        start_digest: What tells these weights from others, where they hold sums over data, whose last bits depend on
            processor and threads; None for the SHA-256 of each network's.
        initial: Tensors by ``"node.parameter"`` that every training starts from (`hwnas.training.train_network`); None
            for He initialisation.
        initial_digest: What tells them from others; None for their own SHA-256.
        teacher: A trained network that all learn from beside the targets; None for none.
        teachers: Gives the trained network that a network learns from; None for `teacher`.
    """

    name = "train"

    def __init__(
        self,
        space: Space,
        task: Task,
        recipe: Recipe,
        *,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "fp32",
        halving: int | None = None,
        start: Callable[[Architecture], Weights] | None = None,
        start_digest: str | None = None,
        initial: Mapping[str, npt.NDArray[np.float32]] | None = None,
        initial_digest: str | None = None,
        teacher: Teacher | None = None,
        teachers: Callable[[Architecture], Teacher] | None = None,
    ) -> None:
        if halving is not None and (type(halving) is not int or halving < 2):
            raise EvaluatorError(f"evaluator train: halving must be an integer of at least 2, got {halving!r}")
        if recipe.small_epochs:
            from hwnas.training import require_readable

            require_readable(space, recipe)
        self.space, self.task, self.recipe = space, task, recipe
        self.precision = checked_precision(self.name, precision)
        self.metric = metric_at(task.metric, precision)
        self.seed, self.device, self.threads = seed, device, threads
        self.halving, self._start, self._teachers = halving, start, teachers
        self._starts = start_digest
        self._initial, self._teacher, self._facts = initial, teacher, start_facts(initial, initial_digest, teacher)
        self.in_order = halving is not None
        self._rungs: Rungs | None = None
        self._workdir: Path | None = None
        self._progress: StepProgress | None = None

    @property
    def settings(self) -> dict[str, object]:
        """Recipe, halving, seed, the data's fingerprint, and the start."""
        return {
            "evaluator": self.name,
            "recipe": self.recipe.as_dict(),
            "halving": self.halving,
            "seed": self.seed,
            "data": self.task.fingerprint,
            **precision_facts(self.precision),
            **self._facts,
        }

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """Remember the folder; networks are trained when they are evaluated and report to `progress` then."""
        self._workdir, self._progress = workdir, progress
        if self.halving is not None:
            self._rungs = Rungs(workdir / "rungs.jsonl", self.recipe.epochs, self.halving, self.settings, self.metric)

    def evaluate(self, arch: Architecture) -> Evaluation:
        """Return validation metric of the trained network; where trainings may end early, also its ``epochs``."""
        began = time.perf_counter()
        value = self._score(self._network(arch), "validation", self.precision)
        columns = {}
        if self._rungs is not None:
            columns["epochs"] = float(self._rungs.stopped_at(self.space.format(arch)) or self.recipe.epochs)
        return Evaluation(value, time.perf_counter() - began, columns)

    def files(self, arch: Architecture) -> tuple[str]:
        """Return the checkpoint of the training."""
        return (f"networks/{hashlib.sha256(self.space.format(arch).encode()).hexdigest()[:20]}.pt",)

    def trained_weights(self, arch: Architecture) -> Weights:
        """Return weights and running statistics of the trained network."""
        return self._network(arch).arrays()

    def test_value(self, arch: Architecture) -> float:
        """Return test metric of the trained network."""
        return self._score(self._network(arch), "test", "fp32")

    def _score(self, network: GraphModule, part: Part, precision: str) -> float:
        from hwnas.training import Subnet
        from hwnas.training._loop import compute_threads

        subnet = Subnet.of_arrays(network.graph, network.arrays(), self.device)
        with compute_threads(self.threads):
            return score_subnet(subnet, self.task, part, precision, device=self.device)

    def _network(self, arch: Architecture) -> GraphModule:
        """Return the trained network; a finished checkpoint is loaded without training."""
        from hwnas.training import train_network

        if self._workdir is None:
            raise EvaluatorError("evaluator train: not prepared; call prepare first")
        text = self.space.format(arch)
        return train_network(
            self.space.graph(arch),
            self.task,
            self.recipe,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
            checkpoint=self._workdir / self.files(arch)[0],
            progress=self._progress,
            label=text,
            start=self._starting_weights(arch),
            start_digest=self._start_digest(text),
            teacher=self._teacher if self._teachers is None else self._teachers(arch),
            should_continue=self._asker(text),
        )

    def _starting_weights(self, arch: Architecture) -> Weights | None:
        """Return what a network's training starts from; None for He initialisation."""
        if self._start is not None:
            return self._start(arch)
        return None if self._initial is None else self._starting_networks(arch)

    @cached_property
    def _starting_networks(self) -> StartingNetworks:
        """Networks that start from the initial weights."""
        from hwnas.training import StartingNetworks

        assert self._initial is not None
        return StartingNetworks(self.space, self.task, self._initial, self.seed, threads=self.threads)

    def _start_digest(self, text: str) -> str | None:
        """Return what tells a network's starting weights from others; None for their own SHA-256.

        Initial weights may hold sums over data (norms that are put back), whose last bits depend on the threads.
        """
        facts = self._starts if self._start is not None else self._facts.get("weights")
        if facts is None:
            return None
        space = (self.space.name, sorted(self.space.settings.items()))
        return hashlib.sha256(repr((facts, space, text)).encode()).hexdigest()

    def _asker(self, text: str) -> Callable[[int, GraphModule], bool] | None:
        """Return the function that decides at the rungs whether a training continues."""
        rungs = self._rungs
        if rungs is None:
            return None

        def should_continue(done: int, network: GraphModule) -> bool:
            """Decide at a rung whether the training continues."""
            if done not in rungs.epochs:
                return True
            decided = rungs.known(text, done)
            if decided is not None:
                return decided
            return rungs.decide(text, done, self._score(network, "validation", self.precision))

        return should_continue
