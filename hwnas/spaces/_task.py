"""What a space is told of a task, and the settings that follow from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol

from latency_tables import Shape


class Task(Protocol):
    """What a space is told of a task.

    A task of signals may also have a ``sample_rate``: samples a second, None where that is not known.
    """

    @property
    def input_shape(self) -> Shape:
        """Shape of one example without the batch axis, such as ``(channels, height, width)``."""

    @property
    def outputs(self) -> int:
        """Numbers that a network puts out for one example, such as classes."""


def usual_defaults(maker: Callable[..., object], task: Task) -> dict[str, object]:
    """Return ``classes``, ``image_channels`` and ``input_channels`` of a task, where a maker of spaces takes them."""
    channels = task.input_shape[0]
    offered = {"classes": task.outputs, "image_channels": channels, "input_channels": channels}
    return {name: value for name, value in offered.items() if name in inspect.signature(maker).parameters}
