"""Code of other people: what would leave the program, or end a loop of ours without a word, is an error of theirs."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

from hwnas._errors import HwnasError

LEAVES = (SystemExit, GeneratorExit, StopIteration, StopAsyncIteration)
"""What is no success where it comes out of foreign code."""


class ForeignError(HwnasError):
    """A plug-in, evaluator, space or strategy left in a way that it must not."""


class Leaving(SystemExit):
    """A worker process of ours ends; the only exit that passes through foreign code."""


class Foreign:
    """Foreign code runs within this.

    Args:
        owner: whose code it is, for people.

    Raises:
        ForeignError: it left with one of `LEAVES`.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LEAVES) and not isinstance(error, Leaving):
            raise ForeignError(f"{self._owner} must not raise {told(error)}; fix it there") from error


def told(error: BaseException) -> str:
    """An error in one line, with the place that it comes from."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if text else ''}{text[:300]}{place}"
