"""What the trainings of a search start from: `--weights`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import HwnasError
from hwnas._runs._kept_files import given_file
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import Space
from hwnas.training import weights_digest
from profilers import TextProgress

if TYPE_CHECKING:
    from hwnas.training import Teacher

_TRAINS = ("supernet", "train")
"""Evaluators whose trainings take initial weights."""


@dataclass(frozen=True)
class Start:
    """What trainings start from and learn from.

    Attributes:
        initial: Tensors by ``"node.parameter"``; None for He initialisation.
        digest: What tells the tensors from others; None for their own SHA-256.
        teacher: A trained network that trainings learn from; None for none.
        files: Files that the run keeps a copy of, by their option.
    """

    initial: Mapping[str, npt.NDArray[np.float32]] | None = None
    digest: str | None = None
    teacher: Teacher | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, str]:
        """What tells it from others in the identity of a run."""
        return {} if self.initial is None else {"weights": self.digest or weights_digest(self.initial)}


def require_use(settings: SearchSettings, *, own_evaluator: bool) -> None:
    """Refuse weights that nothing would start from.

    Args:
        settings: What to search for.
        own_evaluator: Whether the evaluator is an object, which has its settings already.

    Raises:
        HwnasError: No training takes them.
    """
    named = settings.low_fidelity in _TRAINS or (settings.evaluator in _TRAINS and not own_evaluator)
    if settings.weights is not None and not named and settings.finalize != "train":
        raise HwnasError(
            f"--weights needs something to train: --evaluator supernet or train, or --finalize train; got --evaluator "
            f"{settings.evaluator}"
        )


def resolve_start(settings: SearchSettings, out: Path, space: Space, progress: TextProgress) -> Start:
    """Read the file of `--weights` and match it to the space.

    Args:
        settings: What to search for.
        out: The run directory, which keeps a copy.
        space: The space.
        progress: Receives what matched and what did not.

    Raises:
        HwnasError: The file cannot be read, or nothing of it matches.
    """
    if settings.weights is None:
        return Start()
    from hwnas.training import match_weights, read_weights

    path = given_file(out, "weights", settings.weights)
    matched = match_weights(read_weights(path), space)
    for line in matched.lines:
        progress(line)
    return Start(matched.tensors, files={"weights": path})
