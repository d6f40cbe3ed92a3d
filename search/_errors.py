"""Errors of the search package: each message is one line that says what, where and what to do."""

__all__ = ["ProblemError", "RestoreError", "SearchError", "TellError"]


class SearchError(ValueError):
    """Base class of every error that this package raises on purpose."""


class ProblemError(SearchError):
    """A domain, an objective, a constraint or an architecture is ill-formed."""


class TellError(SearchError):
    """A result was told that does not belong to a proposal in flight."""


class RestoreError(SearchError):
    """Journalled trials are not what this seed, strategy and problem would have proposed."""
