"""`Output`: what one output of a network says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """One output of the networks of a task.

    Attributes:
        name: like ``"logits"`` or ``"boxes"``.
        size: its first extent behind the samples: channels, or numbers of a flat output.
        labels: names of these, where they have any (class names).
    """

    name: str
    size: int
    labels: tuple[str, ...] = ()
