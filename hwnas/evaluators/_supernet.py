"""Evaluator `supernet`: accuracies of subnets with shared weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.data import ImageData, Split
from hwnas.evaluators._base import Evaluation, Evaluator, Weights
from hwnas.spaces import Architecture, Space
from hwnas.training import Recipe, StepProgress

if TYPE_CHECKING:
    from torch import Tensor

    from hwnas.training import Subnet, Supernet


BATCH = 64
"""Images at once while statistics are computed: larger batches spend their time on page faults on a CPU."""


class SupernetEvaluator(Evaluator):
    """Trains a supernet once, then cuts out each network and recalibrates its batch norms.

    Args:
        space: the space.
        data: train part for weights and batch norms, validation part for `evaluate`.
        recipe: of the training.
        seed: of the training.
        device: ``"cpu"`` or ``"cuda"``.
        threads: of torch; None for torch's default.
        calibration: train images that batch-norm statistics are computed over.
    """

    name = "supernet"
    trains = True
    shares_weights = True

    def __init__(
        self,
        space: Space,
        data: ImageData,
        recipe: Recipe,
        *,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
        calibration: int = 512,
    ) -> None:
        if calibration < 2:
            raise EvaluatorError(f"evaluator supernet: calibration needs at least 2 images, not {calibration}")
        self.space, self.data, self.recipe = space, data, recipe
        self.seed, self.device, self.threads = seed, device, threads
        self.calibration = min(calibration, len(data.train))
        self._supernet: Supernet | None = None

    @property
    def settings(self) -> dict[str, object]:
        """Recipe, seed, number of calibration images and the data's fingerprint."""
        return {
            "evaluator": self.name,
            "recipe": self.recipe.as_dict(),
            "seed": self.seed,
            "calibration": self.calibration,
            "data": self.data.fingerprint,
        }

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """Train the supernet, or go on from ``supernet.pt`` in the folder."""
        from hwnas.training import Supernet, train_supernet

        supernet = Supernet(self.space, seed=self.seed)
        train_supernet(
            supernet,
            self.data,
            self.recipe,
            seed=self.seed,
            device=self.device,
            threads=self.threads,
            cost=self.cost,
            checkpoint=workdir / "supernet.pt",
            progress=progress,
        )
        self._supernet = supernet

    def evaluate(self, arch: Architecture) -> Evaluation:
        """Validation accuracy of the recalibrated subnet."""
        began = time.perf_counter()
        accuracy = self._accuracy(arch, self.data.validation)
        return Evaluation(accuracy, time.perf_counter() - began)

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """The shared weights."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._prepared().shared().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.float32]], workdir: Path) -> None:
        """Take over shared weights that were trained elsewhere."""
        import torch

        from hwnas.training import Supernet
        from hwnas.training._loop import require_device

        require_device(self.device)
        supernet = Supernet(self.space, seed=self.seed).to(self.device)
        with torch.no_grad():
            for name, tensor in supernet.shared().items():
                tensor.copy_(torch.from_numpy(state[name]))
        self._supernet = supernet

    def trained_weights(self, arch: Architecture) -> Weights:
        """Weights of the recalibrated subnet."""
        from hwnas.training._loop import compute_threads

        with compute_threads(self.threads):
            return self._subnet(arch).arrays()

    def test_accuracy(self, arch: Architecture) -> float:
        """Test accuracy of the recalibrated subnet."""
        return self._accuracy(arch, self.data.test)

    def _accuracy(self, arch: Architecture, split: Split) -> float:
        from hwnas.training import accuracy
        from hwnas.training._loop import compute_threads

        size = self.space.input_shape(arch)[1]
        with compute_threads(self.threads):
            return accuracy(self._subnet(arch), self.data, split, size, device=self.device)

    def _subnet(self, arch: Architecture) -> Subnet:
        return self._prepared().subnet(arch, self._calibration_batches(self.space.input_shape(arch)[1]))

    def _prepared(self) -> Supernet:
        if self._supernet is None:
            raise EvaluatorError("evaluator supernet: not prepared; call prepare first")
        return self._supernet

    def _calibration_batches(self, size: int) -> Iterator[Tensor]:
        from hwnas.training import prepare_images
        from hwnas.training._batches import fixed_sample

        images = fixed_sample(self.data, self.calibration).images
        for part in np.array_split(images, math.ceil(len(images) / BATCH)):
            yield prepare_images(self.data, part, size, self.device)
