"""Evaluators `synflow`, `naswot`, `gradnorm`, `parameters`: scores of untrained networks, of low fidelity."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.evaluators._base import Evaluation, Evaluator
from hwnas.spaces import Architecture, Space
from hwnas.tasks import Metric, Task
from hwnas.training import StepProgress

if TYPE_CHECKING:
    from torch import Tensor

PROXIES = {
    "synflow": "log_synflow",
    "naswot": "naswot",
    "gradnorm": "log_gradnorm",
    "parameters": "log_parameters",
}
"""Evaluators and the scores that they give: functions of `hwnas.training._proxies`."""


class ProxyEvaluator(Evaluator):
    """Scores networks at their initialisation, on one batch of train samples at most.

    Args:
        proxy: A key of `PROXIES`.
        space: The space.
        task: Gives samples and the loss.
        samples: How many the score looks at; the same for every network.
        seed: Decides the initialisation.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Torch's threads; None for its own choice.

    Raises:
        EvaluatorError: Fewer than 2 samples.
    """

    def __init__(
        self,
        proxy: str,
        space: Space,
        task: Task,
        *,
        samples: int = 64,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if type(samples) is not int or samples < 2:
            raise EvaluatorError(f"evaluator {proxy}: samples must be an integer of at least 2, got {samples!r}")
        self.name, self.metric = proxy, Metric.of_score(PROXIES[proxy])
        self.space, self.task, self.samples = space, task, min(samples, task.size("train"))
        self.seed, self.device, self.threads = seed, device, threads

    @property
    def settings(self) -> dict[str, object]:
        """Number of samples, seed and the data's fingerprint."""
        facts = {"seed": self.seed, "data": self.task.fingerprint}
        return {"evaluator": self.name, "images": self.samples, **facts}  # "images" is the run format's name

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """See that the device is there; nothing is trained."""
        from hwnas.training._loop import require_device

        require_device(self.device)

    def evaluate(self, arch: Architecture) -> Evaluation:
        """Return the score of the untrained network.

        Raises:
            NoValueError: The score is not finite.
        """
        from hwnas.training import _proxies
        from hwnas.training._batches import fixed_sample
        from hwnas.training._loop import compute_threads
        from profilers import trained_graph

        began = time.perf_counter()
        chosen = np.sort(fixed_sample(self.task, self.samples))
        x = self.task.inputs("train", chosen, self.space.input_shape(arch), self.device)
        targets = self.task.to_device(self.task.targets("train", chosen), self.device)

        def loss(outputs: tuple[Tensor, ...]) -> Tensor:
            """Return the task's loss for the proxy's batch."""
            return self.task.loss(outputs, targets, {})

        with compute_threads(self.threads):
            score = float(
                getattr(_proxies, self.metric.name)(trained_graph(self.space.graph(arch)), x, loss, self.seed)
            )
        if not math.isfinite(score):
            raise NoValueError(f"evaluator {self.name}: {self.space.format(arch)} has no finite score ({score})")
        return Evaluation(score, time.perf_counter() - began)
