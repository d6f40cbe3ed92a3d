"""``--tables`` and the latency budgets of several devices, as they are typed or as Python gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas._common._option import plain, shortened
from hwnas._costs._cost import LATENCY, bound_of
from hwnas._errors import HwnasError
from hwnas._runs._several import NamedDevice, as_settings, named_tables

_BUDGET = "latency_budget"


def with_devices(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a search with ``devices`` in place of ``tables`` and of budgets of latency.

    Args:
        values: Options that were read, by name; the same without ``tables``.

    Raises:
        HwnasError: Tables or budgets cannot be read, or contradict other options.
    """
    if "tables" not in values:
        return dict(values)
    if values.get("table") is not None:
        raise HwnasError("--tables names the latency table of each device; leave --table out")
    rest = {name: value for name, value in values.items() if name not in ("tables", _BUDGET)}
    budgets = dict(rest.get("budgets", {}))
    if LATENCY.name in budgets and _BUDGET in values:
        raise HwnasError(f"budget {LATENCY.name} is given twice, in budgets and as {_BUDGET}; leave one out")
    tables = named_tables(values["tables"])
    bounds = _bounds(values.get(_BUDGET, budgets.pop(LATENCY.name, None)), list(tables))
    devices = [NamedDevice(name, table, bounds.get(name)) for name, table in tables.items()]
    return {**rest, "budgets": budgets, "table": devices[0].table, "devices": as_settings(devices)}


def _bounds(given: object, names: Sequence[str]) -> dict[str, float]:
    """Return upper bounds of the latency in milliseconds by device.

    Args:
        given: One for all devices (``"4ms"``, 4.0), one for each (``"a=4ms,b=2ms"``, ``{"a": 4.0}``), or None.
        names: The devices.

    Raises:
        HwnasError: A bound cannot be read, or is for no device.
    """
    if given is None:
        return {}
    if isinstance(given, str) and "=" in given:
        pairs = [part.partition("=") for part in given.split(",")]
        if len({name.strip() for name, _, _ in pairs}) < len(pairs):
            raise HwnasError(f"{LATENCY.budget_option} {shortened(given)} names a device twice; leave one out")
        given = {name.strip(): bound.strip() for name, _, bound in pairs}
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, bound_of(LATENCY, plain(given)))
    for name in given:
        if name not in names:
            known = ", ".join(names)
            raise HwnasError(f"{LATENCY.budget_option}: --tables has no device {name!r:.60}; its devices are {known}")
    return {name: bound_of(LATENCY, plain(bound)) for name, bound in given.items()}
