"""Errors of the profilers. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations


class ProfilerError(Exception):
    """Base class of all errors of the profilers."""


class OperatorError(ProfilerError, ValueError):
    """An operator is unknown, or its attributes and shapes contradict each other."""


class DeviceUnavailableError(ProfilerError):
    """The device is not available, or something that is needed to reach it is not installed."""


class EnergyUnavailableError(ProfilerError):
    """The device has no energy counter, or reading it is not permitted."""


class UnsupportedGraphError(ProfilerError):
    """The runtime cannot execute a graph."""


class ArenaTimeoutError(ProfilerError):
    """The memory of a network's arena could not be measured in time."""


class DeviceMemoryError(UnsupportedGraphError):
    """The device has too little free memory for a graph; with less beside it, the graph may fit."""


class JournalError(ProfilerError):
    """A journal of raw samples cannot be read or written, or belongs to another profile."""


class ModelFileError(ProfilerError, ValueError):
    """An ONNX file cannot be read: it is damaged, too large, or holds what an op graph cannot."""


def first_line(error: Exception) -> str:
    """Return the first line of the text of an error of other code; the name of its type where it has no text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
