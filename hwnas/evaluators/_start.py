"""What the settings of an evaluator say of the weights that its trainings start from and learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas.training import weights_digest

if TYPE_CHECKING:
    from hwnas.training import Teacher


def start_facts(initial: Mapping[str, npt.NDArray[np.float32]] | None, teacher: Teacher | None) -> dict[str, str]:
    """Return the digests of initial weights and of a teacher; empty where a training has neither, as ever."""
    facts = {} if initial is None else {"weights": weights_digest(initial)}
    return facts if teacher is None else {**facts, "teacher": teacher.digest}
