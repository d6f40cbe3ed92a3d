"""Errors of the hwnas package. Each message is one line: what, where, what to do next."""

from __future__ import annotations

import errno

OUT_OF_MEMORY = (
    "out of memory; use less data (--data-limit), a smaller --batch, smaller images, a smaller space, fewer --workers "
    "or a machine with more memory. Finished work is safe: run the same command again to continue"
)
"""The error message when memory runs out; it may name options that the command does not have."""
_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "bad allocation",
    "failed to allocate memory",
    "alloc_failed",
)


class HwnasError(Exception):
    """Base of every error that a user of hwnas can fix; the command line prints it as one line, exit code 2."""


class SpaceError(HwnasError, ValueError):
    """An unknown space, preset or choice, or an architecture that the space does not hold."""


class DataError(HwnasError, ValueError):
    """A data set that cannot be read or used."""


class EvaluatorError(HwnasError, ValueError):
    """An evaluator that is unknown or cannot give a value."""


class NoValueError(EvaluatorError):
    """One architecture has no value of the metric (no row in a benchmark table, diverged training); others may have."""


class RunError(HwnasError):
    """A run directory that is none, belongs to another search or cannot be written."""


class BudgetError(HwnasError, ValueError):
    """A budget that no architecture of the space meets."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: Python's, torch's on a processor or GPU, or ONNX Runtime's.

    Their libraries know no common class of error: torch raises a `RuntimeError`, ONNX Runtime a class of its own.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    foreign = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return foreign and says_out_of_memory(str(error))


def says_out_of_memory(text: str) -> bool:
    """Return whether the message of a library says that memory ran out."""
    return any(sign in text.lower() for sign in _NO_MEMORY)
