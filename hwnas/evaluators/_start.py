"""What the settings of an evaluator say of the weights that its trainings start from and learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas.training import weights_digest

if TYPE_CHECKING:
    from hwnas.training import Teacher


def start_facts(
    initial: Mapping[str, npt.NDArray[np.float32]] | None, digest: str | None, teacher: Teacher | None
) -> dict[str, str]:
    """Return the digests of initial weights and of a teacher; empty where a training has neither, as ever.

    Args:
        initial: Tensors by ``"node.parameter"``; None for none.
        digest: What tells them from others; None for their own.
        teacher: A trained network that is learned from; None for none.
    """
    facts = {} if initial is None else {"weights": digest or weights_digest(initial)}
    return facts if teacher is None else {**facts, "teacher": teacher.digest}
