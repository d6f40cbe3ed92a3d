"""`Output`: what one output of a network says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """One output of the networks of a task.

    Attributes:
        name: Like ``"logits"`` or ``"boxes"``.
        size: Its first extent behind the samples: channels, or numbers of a flat output.
        labels: Names of these, where they have any (class names).
    """

    name: str
    size: int
    labels: tuple[str, ...] = ()
