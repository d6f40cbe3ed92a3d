"""From command-line options to the settings of a space."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from hwnas._errors import HwnasError


def space_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of ``options.space`` that were given; options of another space are refused.

    Raises:
        HwnasError: an option belongs to another space, or a list cannot be read.
    """
    found: dict[str, Any] = {}
    mobile = {
        "preset": options.preset,
        "resolution": _numbers("--resolution", options.resolution, int),
        "width": _numbers("--width", options.width, float),
    }
    given = {name: value for name, value in mobile.items() if value is not None}
    if options.space == "mobilenetv3":
        found |= given
    elif given:
        raise HwnasError(f"--{next(iter(given))} is an option of mobilenetv3, not of {options.space}")
    if options.space == "nasbench201" and options.image_size is not None:
        found["image_size"] = options.image_size
    for name in ("classes", "image_channels"):
        if getattr(options, name, None) is not None:
            found[name] = getattr(options, name)
    return found


def _numbers(option: str, text: str | None, kind: Callable[[str], int | float]) -> list[int | float] | None:
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise HwnasError(f"cannot read {option} {text!r}; write numbers with commas between, like 16,32") from None
