"""Evaluator `supernet`, trained by a one-shot method: the same evaluations, on weights that a distribution shaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.evaluators._supernet import SupernetEvaluator
from hwnas.spaces import ChoiceGraphSpace, Space
from hwnas.tasks import Task
from hwnas.training import Recipe, StepProgress

if TYPE_CHECKING:
    from hwnas.oneshot import Aim, OneShotMethod
    from hwnas.training import Teacher


class OneShotEvaluator(SupernetEvaluator):
    """Trains the supernet under the distribution of a one-shot method, then evaluates as `SupernetEvaluator`.

    Args:
        method: Name of the method, one of `hwnas.oneshot.METHODS`.
        method_options: Options of the method; the others keep their defaults.
        space: The space; its networks must be mixable.
        task: What networks are trained for.
        recipe: The settings of the weights' training.
        seed: Decides everything random in the training.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads; None for its own choice.
        precision: As for `SupernetEvaluator`; not ``"mixed"``.
        bn_statistics: Train samples that batch-norm statistics are computed over.
        initial: Tensors that the shared weights start from; None for He initialisation.
        initial_digest: What tells them from others; None for their own SHA-256.
        teacher: A trained network that the weights learn from beside the targets; None for none.
        single: Share of the weights' steps that train one drawn network in place of the mixture.

    Attributes:
        aim: The cost that the training counts, or that of each of several devices, by name; set before `prepare`, None
            where costs do not count.
        trains: Whether `prepare` trains; it takes weights that are trained already where not.

    Raises:
        EvaluatorError: The space cannot be mixed, or the recipe says how networks are sampled.
        HwnasError: There is no such method or option.
    """

    def __init__(
        self,
        method: str,
        method_options: Mapping[str, object],
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
        single: float = 0.5,
    ) -> None:
        if precision == "mixed":
            raise EvaluatorError(
                f"strategy {method}: it cannot choose a precision for each block; use --precision fp32 or int8"
            )
        if not isinstance(space, ChoiceGraphSpace):
            raise EvaluatorError(
                f"strategy {method}: space {space.name} is not stated as a choice graph, so its networks cannot be "
                "mixed; use another --space or --strategy lamoo"
            )
        if recipe.sampling != "uniform":
            raise EvaluatorError(
                f"strategy {method} draws the networks of a training step itself; leave out --supernet-sampling"
            )
        super().__init__(
            space,
            task,
            recipe,
            seed=seed,
            device=device,
            threads=threads,
            precision=precision,
            bn_statistics=bn_statistics,
            initial=initial,
            initial_digest=initial_digest,
            teacher=teacher,
        )
        self.method, self.method_options = method, dict(method_options)
        self.single = single
        self.aim: Aim | Mapping[str, Aim] | None = None
        self.trains = True

    @property
    def settings(self) -> dict[str, object]:
        """Those of the supernet, and the method with its options."""
        own = {"method": self.method, "options": dict(self.method_options), "single": self.single}
        return {**super().settings, "oneshot": own}

    def __getstate__(self) -> dict[str, object]:
        """Leave out what only a training needs."""
        return {**super().__getstate__(), "aim": None}

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """Train, or continue from ``supernet.pt`` in the folder; writes ``oneshot.json`` beside it.

        Several devices have a distribution each, unless nothing that the method learns from tells them apart.
        """
        from hwnas.oneshot import Beginning, TrainingSettings, load_trained, tell_devices_apart, train_one_shot
        from hwnas.training import Supernet

        supernet = Supernet(self.space, seed=self.seed)
        options: dict[str, Any] = dict(self.method_options)
        settings = TrainingSettings(options, self.seed, self.device, self.threads, self.bn_statistics, self.single)
        if not self.trains:
            load_trained(self.method, supernet, self.task, self.recipe, settings, workdir)
            self._supernet = supernet
            return
        method, aims = self._made(), self.aim
        each: Mapping[str, OneShotMethod] = {}
        if isinstance(aims, Mapping) and tell_devices_apart(method, aims):
            each = {name: self._made() for name in aims}
        train_one_shot(
            each or method,
            supernet,
            self.task,
            self.recipe,
            settings,
            aim=aims,
            beginning=Beginning(self._initial, self._initial_digest, self._teacher),
            folder=workdir,
            progress=progress,
        )
        self._supernet = supernet

    def _made(self) -> OneShotMethod:
        from hwnas.oneshot import make_method

        return make_method(self.method, self.space, epochs=self.recipe.epochs, **self.method_options)
