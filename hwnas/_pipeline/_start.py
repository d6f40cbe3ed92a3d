"""What the trainings of a search start from: `--weights` or `--model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import HwnasError
from hwnas._pipeline._given_model import given_lines
from hwnas._pipeline._model import read_model
from hwnas._pipeline._train_precision import TRAINS
from hwnas._runs._kept_files import given_file, is_kept
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import Space, describe_lines
from hwnas.tasks import Task
from hwnas.training import weights_digest
from profilers import TextProgress

if TYPE_CHECKING:
    from hwnas.training import Teacher


@dataclass(frozen=True)
class Start:
    """What trainings start from and learn from.

    Attributes:
        initial: Tensors by ``"node.parameter"``; None for He initialisation.
        digest: What tells the tensors from others; None where there are none.
        teacher: A trained network that trainings learn from; None for none.
        files: Files, or their content, that the run keeps a copy of, by their option.
    """

    initial: Mapping[str, npt.NDArray[np.float32]] | None = None
    digest: str | None = None
    teacher: Teacher | None = None
    files: Mapping[str, Path | bytes] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, str]:
        """What tells it from others in the identity of a run."""
        return {} if self.digest is None else {"weights": self.digest}


def require_use(settings: SearchSettings, *, own_evaluator: bool, own_space: bool) -> None:
    """Refuse weights that nothing would start from, and a model beside what takes its place.

    Args:
        settings: What to search for.
        own_evaluator: Whether the evaluator is an object, which has its settings already.
        own_space: Whether the space is an object.

    Raises:
        HwnasError: No training takes them, or two options say the same.
    """
    named = settings.low_fidelity in TRAINS or (settings.evaluator in TRAINS and not own_evaluator)
    if settings.weights is not None and not named and settings.finalize != "train":
        raise HwnasError(
            f"--weights needs something to train: --evaluator supernet or train, or --finalize train; got --evaluator "
            f"{settings.evaluator}"
        )
    if settings.model is None:
        return
    if settings.weights is not None:
        raise HwnasError("--model has weights of its own; leave out --weights")
    if own_space:
        raise HwnasError("model has a space of its own; leave out the space")
    if settings.evaluator.startswith("table:"):
        raise HwnasError(
            f"--model needs --evaluator supernet or train, or a score such as synflow: {settings.evaluator:.80} knows "
            "only the networks in its file"
        )


def resolve_start(
    settings: SearchSettings, out: Path, space: Space, task: Task | None, progress: TextProgress
) -> Start:
    """Read the files of `--model` and `--weights`; the weights are matched to the space.

    Args:
        settings: What to search for.
        out: The run directory, which keeps a copy.
        space: The space.
        task: Gives samples for statistics of batch norms and importance of channels; None without data.
        progress: Receives what matched and what did not.

    Raises:
        HwnasError: A file cannot be read, or nothing of it matches.
        ProfilerError: The file of `--model` cannot be read.
    """
    if settings.model is not None:
        return _start_of_model(settings, out, task, progress)
    if settings.weights is None:
        return Start()
    from hwnas.training import match_weights, read_weights

    path = given_file(out, "weights", settings.weights)
    matched = match_weights(read_weights(path), space)
    for line in matched.lines:
        progress(line)
    return Start(matched.tensors, weights_digest(matched.tensors), files={"weights": path})


def _start_of_model(settings: SearchSettings, out: Path, task: Task | None, progress: TextProgress) -> Start:
    """Return the weights of `--model`, and the model itself as teacher; at the beginning, describe both.

    Raises:
        HwnasError: There are no data to train on.
        ProfilerError: The file cannot be read.
    """
    if task is None:
        raise HwnasError("--model needs data to train on; name them: --data FOLDER")
    from hwnas.training import Subnet, Teacher, compute_threads, default_recipe, fitted
    from profilers import whole_model

    content = whole_model(given_file(out, "model", settings.model or ""))
    derived = read_model(content, settings.space_settings)
    with compute_threads(settings.evaluation_threads):
        if not is_kept(out, "model"):
            for line in [*describe_lines(derived), *given_lines(derived, task)]:
                progress(line)
        initial = fitted(derived, task, default_recipe(task)).weights
    teacher = Teacher.of(Subnet.of_arrays(derived.graph, derived.weights))
    return Start(initial, str(derived.space.settings["sha256"]), teacher, {"model": content})
