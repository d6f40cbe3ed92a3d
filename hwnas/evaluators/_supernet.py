"""Evaluator `supernet`: the metric of subnets with shared weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.evaluators._base import Evaluation, Evaluator, Trainer, Weights
from hwnas.evaluators._precision import checked_precision, metric_at, precision_facts, score_subnet
from hwnas.evaluators._start import start_facts
from hwnas.spaces import Architecture, MixedPrecisionSpace, Space, without_precision
from hwnas.tasks import Part, Task
from hwnas.training import CostFunction, Recipe, StepProgress

if TYPE_CHECKING:
    from hwnas.training import Subnet, Supernet, Teacher


class SupernetEvaluator(Evaluator, Trainer):
    """Trains a supernet once, then cuts out each network and takes batch-norm statistics of its own.

    Args:
        space: The space.
        task: What networks are trained for: its train part gives weights and batch norms, its validation part values.
        recipe: The settings of the training.
        seed: Decides everything random in the training.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads; None for its own choice.
        precision: ``"fp32"``, or ``"int8"`` for the validation metric of each network once it is quantised (static
            QDQ with ranges of train samples), as ONNX Runtime computes it; ``"mixed"`` where its int8 blocks alone are.
            Training is the same for all.
        bn_statistics: Train samples that batch-norm statistics are computed over.
        initial: Tensors by ``"node.parameter"`` that the shared weights start from (`hwnas.training.train_supernet`);
            None for He initialisation.
        initial_digest: What tells them from others; None for their own SHA-256.
        teacher: A trained network that the largest one learns from beside the targets; None for none.
    """

    name = "supernet"
    shares_weights = True

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
        bn_statistics: int = 512,
        initial: Mapping[str, npt.NDArray[np.float32]] | None = None,
        initial_digest: str | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        if type(bn_statistics) is not int or bn_statistics < 2:
            raise EvaluatorError(f"evaluator supernet: bn_statistics must be at least 2 samples, got {bn_statistics}")
        self.space, self.task, self.recipe = space, task, recipe
        self.precision = checked_precision(self.name, precision)
        self.metric = metric_at(task.metric, precision)
        self.seed, self.device, self.threads = seed, device, threads
        self.bn_statistics = min(bn_statistics, task.size("train"))
        self._initial, self._initial_digest, self._teacher = initial, initial_digest, teacher
        self._start = start_facts(initial, initial_digest, teacher)
        self._supernet: Supernet | None = None

    @property
    def settings(self) -> dict[str, object]:
        """Recipe, seed, number of samples behind batch-norm statistics, the data's fingerprint, and the start."""
        return {
            "evaluator": self.name,
            "recipe": self.recipe.as_dict(),
            "seed": self.seed,
            "calibration": self.bn_statistics,  # its name in the run format
            "data": self.task.fingerprint,
            **precision_facts(self.precision),
            **self._start,
        }

    def __getstate__(self) -> dict[str, object]:
        """Leave out what only a training needs: copies in other processes are made ready by `restore`."""
        return {**self.__dict__, "_initial": None, "_teacher": None}

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """Train the supernet, or continue from ``supernet.pt`` in the folder."""
        from hwnas.training import Supernet, train_supernet

        supernet = Supernet(self._trained_space, seed=self.seed)
        train_supernet(
            supernet,
            self.task,
            self.recipe,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
            cost=self._training_cost(),
            initial=self._initial,
            initial_digest=self._initial_digest,
            teacher=self._teacher,
            checkpoint=workdir / "supernet.pt",
            progress=progress,
        )
        self._supernet = supernet

    def evaluate(self, arch: Architecture) -> Evaluation:
        """Return validation metric of the subnet."""
        began = time.perf_counter()
        value = self._score(arch, "validation", self.precision)
        return Evaluation(value, time.perf_counter() - began)

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the shared weights."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._prepared().shared().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.float32]], workdir: Path) -> None:
        """Take over shared weights that were trained elsewhere."""
        import torch

        from hwnas.training import Supernet
        from hwnas.training._loop import require_device

        require_device(self.device)
        supernet = Supernet(self._trained_space, seed=self.seed).to(self.device)
        with torch.no_grad():
            for name, tensor in supernet.shared().items():
                tensor.copy_(torch.from_numpy(state[name]))
        self._supernet = supernet

    def trained_weights(self, arch: Architecture) -> Weights:
        """Return weights of the subnet, with its own batch-norm statistics."""
        from hwnas.training._loop import compute_threads

        with compute_threads(self.threads):
            return self._subnet(arch).arrays()

    def test_value(self, arch: Architecture) -> float:
        """Return test metric of the subnet."""
        return self._score(arch, "test", "fp32")

    def _score(self, arch: Architecture, part: Part, precision: str) -> float:
        from hwnas.training._loop import compute_threads

        with compute_threads(self.threads):
            return score_subnet(self._subnet(arch), self.task, part, precision, device=self.device)

    def _subnet(self, arch: Architecture) -> Subnet:
        from hwnas.training._batches import sample_batches

        batches = sample_batches(self.task, self.bn_statistics, self.space.input_shape(arch), self.device)
        if not isinstance(self.space, MixedPrecisionSpace):
            return self._prepared().subnet(arch, batches)
        from hwnas.training import Subnet

        weights = self._prepared().subnet(self.space.float_architecture(arch), batches).weights
        return Subnet(self.space.graph(arch), weights)

    @property
    def _trained_space(self) -> Space:
        """The space whose networks share the weights: precisions change no weight."""
        return without_precision(self.space)

    def _training_cost(self) -> CostFunction | None:
        """Return what networks cost in training: for mixed precision, what their fp32 forms cost."""
        space, cost = self.space, self.cost
        if cost is None or not isinstance(space, MixedPrecisionSpace):
            return cost
        return CostFunction(cost.name, lambda codes: cost.of(space.with_float_blocks(codes)))

    def _prepared(self) -> Supernet:
        if self._supernet is None:
            raise EvaluatorError("evaluator supernet: not prepared; call prepare first")
        return self._supernet
