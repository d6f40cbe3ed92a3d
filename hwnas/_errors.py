"""Errors of the hwnas package. Each message is one line: what, where, what to do next."""

from __future__ import annotations


class HwnasError(Exception):
    """Base of every error a user of hwnas can mend; the command line prints it as one line, exit code 2."""


class SpaceError(HwnasError, ValueError):
    """An unknown space, preset or choice, or an architecture that the space does not hold."""


class DataError(HwnasError, ValueError):
    """A data set that cannot be read or used."""


class EvaluatorError(HwnasError, ValueError):
    """An evaluator that is unknown or cannot give an accuracy."""


class NoAccuracyError(EvaluatorError):
    """One architecture has no accuracy (no row in a benchmark table, diverged training); others may have."""


class RunError(HwnasError):
    """A run directory that is none, belongs to another search or cannot be written."""


class BudgetError(HwnasError, ValueError):
    """A budget that no architecture of the space meets."""
