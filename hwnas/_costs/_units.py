"""Amounts as people type and read them: ``4ms``, ``600k``."""

from __future__ import annotations

import math
import re

from hwnas._common._option import shortened
from hwnas._errors import HwnasError

_LATENCY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s)?\Z", re.ASCII)
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMG]?)B?\Z")
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMG]?)(?:i?B|bytes)?\Z")
_LATENCY_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_COUNT_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_BYTE_UNITS = {"": 1, "k": 1024, "K": 1024, "M": 1024**2, "G": 1024**3}
_MOST_MS, _MOST_COUNT = 1e9, 1e18
"""Budgets beyond these are rejected: eleven days, and more bytes than there are."""


def parse_latency(text: str) -> float:
    """Read milliseconds from ``"4ms"``, ``"250us"`` or ``"0.1s"``.

    Raises:
        HwnasError: The text is none of these; a number without a unit could be any of them.
    """
    match = _LATENCY.match(text.strip())
    if match is None or float(match.group(1)) <= 0:
        raise HwnasError(f"cannot read the latency {shortened(text)}; write it like 4ms, 250us or 0.1s")
    if match.group(2) is None:
        number = match.group(1) if len(match.group(1)) <= 20 else "4"
        raise HwnasError(f"the latency {shortened(text)} has no unit; write {number}ms or {number}us")
    value = float(match.group(1)) * _LATENCY_UNITS[match.group(2)]
    if not 0 < value <= _MOST_MS:
        raise HwnasError(f"the latency {shortened(text)} is out of range; write it like 4ms, 250us or 0.1s")
    return value


def parse_count(text: str) -> float:
    """Read a number like ``"2M"``, ``"600k"`` or ``"1.5G"``.

    Raises:
        HwnasError: The text is no such number.
    """
    match = _COUNT.match(text.strip())
    if match is None or float(match.group(1)) <= 0:
        raise HwnasError(f"cannot read the number {shortened(text)}; write it like 600k, 2M or 1.5G")
    value = float(match.group(1)) * _COUNT_UNITS[match.group(2)]
    if not 0 < value <= _MOST_COUNT:
        raise HwnasError(f"the number {shortened(text)} is out of range; write it like 600k, 2M or 1.5G")
    return value


def parse_bytes(text: str) -> float:
    """Read bytes from ``"256k"``, ``"256KiB"``, ``"1M"`` or ``"3000"``.

    Units are powers of 1024, whether written k, kB or KiB, as makers of microcontrollers and linkers count: a chip
    with 256 kB of flash holds 262,144 bytes.

    Raises:
        HwnasError: The text is no such amount.
    """
    match = _BYTES.match(text.strip())
    value = float(match.group(1)) * _BYTE_UNITS[match.group(2)] if match is not None else 0.0
    if not 0 < value <= _MOST_COUNT:
        raise HwnasError(f"cannot read the size {shortened(text)}; write it like 64k, 256KiB or 1M (k = 1024 bytes)")
    return value


def written_latency(value: float) -> str:
    """Write milliseconds for people, with four digits: ``0.1059 ms``."""
    text = f"{value:.4g}"
    return f"{float(text):.0f} ms" if "e+" in text else f"{text} ms"


def written_count(value: float) -> str:
    """Write a number for people: ``600k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def written_bytes(value: float) -> str:
    """Write bytes for people: ``256 KiB``, in powers of 1024."""
    for unit in ("G", "M", "K"):
        if value >= (size := _BYTE_UNITS[unit]):
            return f"{value / size:g} {unit}iB"
    return f"{value:g} bytes"


def rounded_up(value: float) -> float:
    """Return a value with four digits that is not less than it: as a budget, it can be met."""
    if value <= 0 or not math.isfinite(value) or value == int(value):
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return math.ceil(value / step - 1e-9) * step
