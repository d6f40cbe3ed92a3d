"""Errors of the search package. Each message is one line: what is wrong, where, and what to do."""

__all__ = ["ProblemError", "RestoreError", "SearchError", "TellError"]


class SearchError(ValueError):
    """Base class of every error that this package raises on purpose."""


class ProblemError(SearchError):
    """A domain, an objective, a constraint or an architecture is ill-formed."""


class TellError(SearchError):
    """A result does not belong to a proposal in flight."""


class RestoreError(SearchError):
    """This seed, strategy and problem would not have proposed the trials of a journal."""
