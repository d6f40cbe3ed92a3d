"""Errors of latency tables. Each message is one line: what, where, what to do next."""

from __future__ import annotations


class LatencyTableError(Exception):
    """Base of all errors about ops, graphs and latency tables."""


class GraphError(LatencyTableError, ValueError):
    """An op or an op graph is malformed: unknown input, shape mismatch, cycle, duplicate name."""


class TableFormatError(LatencyTableError, ValueError):
    """A table file is truncated, edited by hand, of an unknown version or not a table at all."""


class IdentityMismatchError(LatencyTableError):
    """A table was measured on another device, runtime or setting than the one asked for."""


class UnmeasuredOpError(LatencyTableError, KeyError):
    """A graph holds ops that the table has not measured.

    Attributes:
        keys: The missing ops' keys, sorted.
    """

    def __init__(self, keys: list[str], reasons: dict[str, str] | None = None) -> None:
        self.keys = sorted(keys)
        reasons = reasons or {}
        shown = "; ".join(f"{k} ({reasons[k]})" if k in reasons else k for k in self.keys[:3])
        more = f" and {len(self.keys) - 3} more" if len(self.keys) > 3 else ""
        self._text = (
            f"the latency table has no price for {shown}{more}; profile its space on this device with `hwnas profile`"
        )
        super().__init__(self._text)

    def __str__(self) -> str:
        return self._text
