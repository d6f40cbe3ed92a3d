"""Training a supernet: sandwich rule and in-place distillation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import ImageData
from hwnas.spaces import Architecture
from hwnas.training._batches import TrainLoader, resize
from hwnas.training._loop import Job, compute_threads, require_device, run_job
from hwnas.training._recipe import Progress, Recipe
from hwnas.training._supernet import Supernet


def train_supernet(
    supernet: Supernet,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Train the shared weights in place.

    Each step adds the gradients of the largest network, the smallest and `Recipe.random_subnets` random ones (the
    sandwich rule: Yu and Huang 2019, arXiv 1903.05134, section 3.1; Yu et al. 2020, arXiv 2003.11142, section 3). The
    largest learns the labels, the others the largest's predictions on the same images (in-place distillation,
    section 3.3 of the former).

    Args:
        supernet: starts as it is.
        data: its train part is used.
        recipe: the settings.
        seed: of batches, augmentation and random subnets.
        device: ``"cpu"`` or ``"cuda"``.
        threads: of torch on the CPU; None for torch's default. Results depend on it in the last bits.
        checkpoint: file to resume from and to write after each epoch.
        progress: called after every step.

    Raises:
        EvaluatorError: no such device, a checkpoint of another training, or the loss is no longer finite.
    """
    require_device(device)
    supernet.to(device)
    size = supernet.space.input_shape(supernet.largest)[1]
    loader = TrainLoader(data, recipe, size, device)
    identity = {
        "training": "supernet",
        "space": repr((supernet.space.name, sorted(supernet.space.settings.items()))),
        "data": data.fingerprint,
        "recipe": repr(sorted(recipe.as_dict().items())),
        "seed": seed,
    }
    sandwich = _Sandwich(supernet, recipe, device)
    job = Job("supernet", supernet, sandwich.backward, loader, recipe, seed, checkpoint, identity)
    with compute_threads(threads):
        run_job(job, progress)


class _Sandwich:
    """Gradients of one batch."""

    def __init__(self, supernet: Supernet, recipe: Recipe, device: str) -> None:
        self.supernet, self.recipe = supernet, recipe
        self.mixed = device.startswith("cuda")

    def backward(self, x: Tensor, labels: Tensor, rng: np.random.Generator) -> Tensor:
        """Add the gradients of largest, random and smallest networks; returns the largest's loss."""
        net = self.supernet
        loss, teacher = self._step(net.largest, x, labels, None)
        for arch in [*net.space.sample(self.recipe.random_subnets, rng), net.smallest]:
            self._step(arch, x, labels, teacher)
        return loss

    def _step(self, arch: Architecture, x: Tensor, labels: Tensor, teacher: Tensor | None) -> tuple[Tensor, Tensor]:
        small = resize(x, self.supernet.space.input_shape(arch)[1])
        with torch.autocast("cuda", torch.bfloat16, enabled=self.mixed):
            logits = self.supernet(small, arch).float()
        if teacher is None:
            loss = f.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        else:
            loss = f.cross_entropy(logits, teacher)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach().softmax(1)
