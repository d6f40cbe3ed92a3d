"""What of a model is searched: the settings of a derived space, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas._errors import SpaceError

WIDTHS = (0.25, 0.375, 0.5, 0.75, 1.0)
STEP = 8
DEPTHS = ("stages", "blocks", "none")
KERNELS = ("all", "depthwise", "none")
IMPORTANCES = ("taylor", "bn", "l2")
_MOST_WIDTHS = 16


@dataclass(frozen=True)
class Options:
    """Settings of a derived space.

    Attributes:
        keep: Patterns of the names of layers that stay as they are.
        widths: Shares of the channels of a group to choose from, ascending; the last is 1.
        step: Channels are left out in steps of so many: the block of the runtime.
        depth: ``stages`` (a choice for the blocks of each stage), ``blocks`` (one for each block) or ``none``.
        kernels: Which kernels may shrink: ``all``, ``depthwise`` or ``none``.
        resolutions: Image heights to choose from; empty for the model's and three quarters of it, where that works.
        importance: What channels are ordered by: ``taylor``, ``bn`` or ``l2``.
        norms: Whether convolutions without a batch norm get one back.
    """

    keep: tuple[str, ...]
    widths: tuple[float, ...]
    step: int
    depth: str
    kernels: str
    resolutions: tuple[int, ...]
    importance: str
    norms: bool

    def as_dict(self) -> dict[str, object]:
        """Return JSON-able values by name."""
        lists = {name: list(getattr(self, name)) for name in ("keep", "widths", "resolutions")}
        words = {name: getattr(self, name) for name in ("step", "depth", "kernels", "importance", "norms")}
        return {**lists, **words}


def checked_options(
    *,
    keep: object,
    widths: object,
    step: object,
    depth: object,
    kernels: object,
    resolutions: object,
    importance: object,
    norms: object,
) -> Options:
    """Check the settings of a derived space.

    Raises:
        SpaceError: One of them is out of range; the line says which, and what it may be.
    """
    widths, step, resolutions, norms = (_plain(value) for value in (widths, step, resolutions, norms))
    patterns = _several(keep)
    if not all(isinstance(name, str) and name for name in patterns):
        raise SpaceError(f"--space-option keep: give names of layers or patterns like layer1.*, got {keep!r:.60}")
    shares = _several(widths)
    numbers = all(type(share) in (int, float) and 0 < share <= 1 for share in shares)
    different = numbers and len({round(100 * share) for share in shares} - {0}) == len(shares)
    if not different or not 1 <= len(shares) <= _MOST_WIDTHS or max(shares) != 1:
        raise SpaceError(
            f"--space-option widths: give up to {_MOST_WIDTHS} shares from 0.01 to 1, with 1 among them and 0.01 or "
            f"more apart, got {_written(shares)}"
        )
    if type(step) is not int or not 1 <= step <= 1024:
        raise SpaceError(f"--space-option step: give a whole number from 1 to 1024, got {step!r:.40}")
    sizes = _several(resolutions)
    if not all(type(size) is int and size >= 1 for size in sizes):
        raise SpaceError(f"--space-option resolutions: give image heights in pixels, got {resolutions!r:.60}")
    if type(norms) is not bool:
        raise SpaceError(f"--space-option norms: give true or false, got {norms!r:.40}")
    return Options(
        tuple(patterns),
        tuple(sorted(float(share) for share in shares)),
        step,
        _word("depth", depth, DEPTHS),
        _word("kernels", kernels, KERNELS),
        tuple(sorted(set(sizes))),
        _word("importance", importance, IMPORTANCES),
        norms,
    )


def _plain(value: object) -> object:
    """Return numbers and arrays of numpy as plain values."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _written(values: Sequence[Any]) -> str:
    return f"{', '.join(map(str, values)):.60}"


def _word(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise SpaceError(f"--space-option {name}: give one of {', '.join(known)}, got {value!r:.40}")
    return value
