"""How a one-shot training runs, what it starts from, and what its checkpoints belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.spaces import Space
from hwnas.tasks import Task
from hwnas.training import Recipe, Teacher


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


def weights_identity(
    method: str, space: Space, task: Task, recipe: Recipe, settings: TrainingSettings
) -> dict[str, object]:
    """Return what a checkpoint belongs to, without what the training aimed at and what it started from."""
    return {
        "training": "one-shot",
        "method": repr((method, sorted(settings.options.items()))),
        "space": space.sharing_identity,
        "data": task.fingerprint,
        "recipe": repr(sorted(recipe.as_dict().items())),
        "seed": settings.seed,
        "single": settings.single,
    }
