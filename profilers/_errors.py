"""Errors of the profilers. Each message is one line: what, where, what to do next."""

from __future__ import annotations


class ProfilerError(Exception):
    """Base of every error raised while measuring or lowering."""


class OperatorError(ProfilerError, ValueError):
    """An operator is unknown, or its attributes and shapes do not fit together."""


class DeviceUnavailableError(ProfilerError):
    """The device asked for is not here, or what is needed to reach it is not installed."""


class EnergyUnavailableError(ProfilerError):
    """The device has no energy counter, or it may not be read."""


class UnsupportedGraphError(ProfilerError):
    """The runtime cannot execute a graph."""


class JournalError(ProfilerError):
    """A journal of raw samples cannot be read or belongs to another profile."""
