"""A change that can be measured, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profilers import Explanation

if TYPE_CHECKING:
    import onnx


class NotPossibleError(Exception):
    """A change cannot be made in this model; the text says why, for a note."""


@dataclass(frozen=True)
class Subject:
    """The model that is to be changed.

    Attributes:
        model: The model with static inputs, as the file has it.
        simplified: The same after ONNX Runtime's basic optimisations: constants and batch norms folded.
        explanation: Where its time goes.
        threads: Threads that it was measured with.
        block: Channels that the runtime's convolutions compute together.
    """

    model: onnx.ModelProto
    simplified: onnx.ModelProto
    explanation: Explanation
    threads: int
    block: int


@dataclass(frozen=True)
class Proposal:
    """A changed network.

    Attributes:
        name: One word, as `profilers.Change` has it.
        text: What is changed, in one line.
        nodes: Nodes that it concerns; empty for all.
        model: The changed model, serialised.
        threads: Threads to run it with; None for as many as the unchanged network has.
    """

    name: str
    text: str
    nodes: tuple[str, ...]
    model: bytes
    threads: int | None = None


Maker = Callable[[Subject], Sequence[Proposal]]
"""Makes changed networks; raises `NotPossibleError` where there is nothing to change."""
