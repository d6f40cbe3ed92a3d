"""Several devices of one search: their names, tables and budgets as the run's settings hold them, and their folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas._costs._cost import LATENCY, is_bound
from hwnas._errors import HwnasError

FOLDER = "devices"
"""Folder of a run that holds a run for each device."""
NO_TRIAL = "no trial is within its latency budget"
"""Why a device gets no run."""
MOST_DEVICES = 6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}\Z")
_TABLE, _BUDGET = "table", "latency_budget_ms"


@dataclass(frozen=True)
class NamedDevice:
    """One of several devices.

    Attributes:
        name: The name of its table's file, without the suffix.
        table: Its latency table.
        latency_budget_ms: Upper bound of its latency; None for none.
    """

    name: str
    table: str
    latency_budget_ms: float | None = None

    @property
    def key(self) -> str:
        """What the journal calls the latency on it, where it is not the first device."""
        return f"{LATENCY.key}.{self.name}"


def named_tables(tables: Sequence[str]) -> dict[str, str]:
    """Return tables by the names of their devices.

    Raises:
        HwnasError: There are too few or too many, or a name cannot be used or is there twice.
    """
    if not 2 <= len(tables) <= MOST_DEVICES:
        raise HwnasError(f"--tables needs 2 to {MOST_DEVICES} latency tables, got {len(tables)}; for one, use --table")
    named: dict[str, str] = {}
    for table in tables:
        name = Path(table).name.removesuffix(".json")
        if name in named:
            raise HwnasError(f"--tables: two files are called {name}; rename one: a device has the name of its file")
        named[_usable(name)] = table
    return named


def as_settings(devices: Sequence[NamedDevice]) -> dict[str, dict[str, Any]]:
    """Return devices as the run's settings hold them."""
    return {device.name: {_TABLE: device.table, _BUDGET: device.latency_budget_ms} for device in devices}


def read_devices(devices: Mapping[str, Any]) -> tuple[NamedDevice, ...]:
    """Read what `as_settings` wrote.

    Raises:
        HwnasError: The settings are damaged.
    """
    read = []
    for name, facts in devices.items():
        known = isinstance(facts, Mapping) and set(facts) <= {_TABLE, _BUDGET} and isinstance(facts.get(_TABLE), str)
        if not known or not (facts.get(_BUDGET) is None or is_bound(facts[_BUDGET])):
            raise HwnasError(f"devices: {name!r:.60} must have a table and may have a latency_budget_ms above 0")
        read.append(NamedDevice(_usable(name), facts[_TABLE], facts.get(_BUDGET)))
    return tuple(read)


def without_paths(devices: Mapping[str, Any]) -> dict[str, Any]:
    """Return devices as the settings hold them without where their tables lie."""
    return {name: {**facts, _TABLE: None} for name, facts in devices.items()}


def _usable(name: object) -> str:
    """Return the name of a device, which is also the name of a folder.

    Raises:
        HwnasError: It cannot be one.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise HwnasError(
            f"--tables: {name!r:.60} cannot name a device; a table's file must have a name of letters, digits and . _ -"
        )
    return name
