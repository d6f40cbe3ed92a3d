"""Trackers: each logs the trials of a search to a tool that people look at experiments with."""

from __future__ import annotations

from hwnas._trackers._parse import connected_trackers

__all__ = ["connected_trackers"]
