"""What users can fix: the errors to catch."""

from __future__ import annotations

from hwnas._errors import HwnasError
from latency_tables import LatencyTableError
from profilers import ProfilerError
from search import SearchError

Errors: tuple[type[Exception], ...] = (HwnasError, LatencyTableError, ProfilerError, SearchError)
"""Catches every error that a user can fix (``except hwnas.Errors as error``); each is one line."""
