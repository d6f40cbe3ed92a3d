"""Foreign code: an exception that would end the program or silently end a loop of hwnas becomes an error."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

from hwnas._errors import HwnasError

LEAVES = (SystemExit, GeneratorExit, StopIteration, StopAsyncIteration)
"""Exceptions that end the program and therefore count as errors of foreign code."""


class ForeignError(HwnasError):
    """A plug-in, evaluator, space or strategy left in a way that it must not."""


class Leaving(SystemExit):
    """A worker process of ours ends; the only exit that passes through foreign code."""


class Foreign:
    """Foreign code runs within this.

    Args:
        owner: Whose code it is.

    Raises:
        ForeignError: It left with one of `LEAVES`.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LEAVES) and not isinstance(error, Leaving):
            raise ForeignError(f"{self._owner} must not raise {error_line(error)}; fix it there") from error


def error_line(error: BaseException) -> str:
    """Return an error in one line, with the place that it comes from."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if text else ''}{text[:300]}{place}"
