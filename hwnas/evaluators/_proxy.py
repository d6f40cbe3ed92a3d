"""Evaluators `synflow`, `naswot`, `gradnorm`, `parameters`: scores of untrained networks, cheap, no accuracies."""

from __future__ import annotations

import math
import time
from pathlib import Path

from hwnas._errors import EvaluatorError, NoAccuracyError
from hwnas.data import ImageData
from hwnas.evaluators._base import Evaluation, Evaluator
from hwnas.spaces import Architecture, Space
from hwnas.training import StepProgress

PROXIES = {
    "synflow": "log_synflow",
    "naswot": "naswot",
    "gradnorm": "log_gradnorm",
    "parameters": "log_parameters",
}
"""Evaluators and what they measure: functions of `hwnas.training._proxies`."""


class ProxyEvaluator(Evaluator):
    """Scores networks at their initialisation, on one batch of train images at most.

    Args:
        proxy: a key of `PROXIES`.
        space: the space.
        data: gives the images.
        images: how many the score looks at; the same for every network.
        seed: of the initialisation.
        device: ``"cpu"`` or ``"cuda"``.
        threads: of torch; None for torch's default.

    Raises:
        EvaluatorError: fewer than 2 images.
    """

    def __init__(
        self,
        proxy: str,
        space: Space,
        data: ImageData,
        *,
        images: int = 64,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if type(images) is not int or images < 2:
            raise EvaluatorError(f"evaluator {proxy}: images must be an integer of at least 2, not {images!r}")
        self.name, self.measure = proxy, PROXIES[proxy]
        self.space, self.data, self.images = space, data, min(images, len(data.train))
        self.seed, self.device, self.threads = seed, device, threads

    @property
    def settings(self) -> dict[str, object]:
        """Number of images, seed and the data's fingerprint."""
        return {"evaluator": self.name, "images": self.images, "seed": self.seed, "data": self.data.fingerprint}

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:
        """See that the device is there; nothing is trained."""
        from hwnas.training._loop import require_device

        require_device(self.device)

    def evaluate(self, arch: Architecture) -> Evaluation:
        """The score of the untrained network.

        Raises:
            NoAccuracyError: the score is not finite.
        """
        import torch

        from hwnas.training import _proxies, prepare_images
        from hwnas.training._batches import fixed_sample
        from hwnas.training._loop import compute_threads

        began = time.perf_counter()
        sample = fixed_sample(self.data, self.images)
        x = prepare_images(self.data, sample.images, self.space.input_shape(arch)[1], self.device)
        labels = torch.from_numpy(sample.labels).to(self.device)
        with compute_threads(self.threads):
            score = float(getattr(_proxies, self.measure)(self.space.graph(arch), x, labels, self.seed))
        if not math.isfinite(score):
            raise NoAccuracyError(f"evaluator {self.name}: {self.space.format(arch)} has no finite score ({score})")
        return Evaluation(score, time.perf_counter() - began)
