"""Tables of devices that are not available: a search may use their predictions, but measures nothing."""

from __future__ import annotations

from hwnas._errors import HwnasError
from hwnas._runs._settings import SearchSettings
from hwnas._tables._build import require_coverage
from hwnas._tables._fit import PROTOCOL as FITTED
from hwnas.evaluators._precision import evaluated_precision
from hwnas.spaces import Space
from latency_tables import LatencyTable, UnmeasuredOpError


def is_elsewhere(table: LatencyTable, settings: SearchSettings) -> bool:
    """Return whether networks cannot be measured on the table's device: it was fitted, or the user says so."""
    return settings.offline or table.identity.get("protocol") == FITTED


def elsewhere_line(table: LatencyTable) -> str:
    """Return a line that says which device is not available, and what follows."""
    facts = (table.identity.get(fact) for fact in ("gpu", "cpu", "device"))
    name = next((str(fact) for fact in facts if fact), "the table's device")
    return f"{name} is not available: latencies are predictions of its table, and no network is measured on it"


def require_usable(table: LatencyTable, settings: SearchSettings, space: Space) -> None:
    """Refuse a table of other networks than the search would deliver.

    Raises:
        HwnasError: Its batch size, precision or space is another.
    """
    batch, dtype = table.identity.get("batch", 1), table.identity.get("dtype")
    if batch != settings.batch:
        raise HwnasError(
            f"{table.source} is for batch size {batch}, this search uses {settings.batch}; add --batch {batch}"
        )
    wanted = evaluated_precision(str(dtype))  # a table of quantised networks is for these alone
    if dtype is not None and wanted != evaluated_precision(settings.precision):
        raise HwnasError(
            f"{table.source} is for {dtype} networks, this search uses {settings.precision}; add --precision {wanted}"
        )
    try:
        require_coverage(table, space)
    except UnmeasuredOpError as error:
        raise HwnasError(f"{table.source}: {error.keys[0]} has no price{_difference(table, space)}") from None


def _difference(table: LatencyTable, space: Space) -> str:
    """Return what the table's space and the search's differ in, with what to do, as the end of a sentence."""
    there = {"space": table.space.get("name"), **dict(table.space["settings"])}  # type: ignore[call-overload]
    here = {"space": space.name, **space.settings}
    others = [
        f"{name} {there.get(name)}, this search has {here[name]}" for name in here if there.get(name) != here[name]
    ]
    if there["space"] == here["space"] and there.get("declaration") != here.get("declaration"):
        return ": its space is declared differently; fit or measure a table for this one"
    if there["space"] == here["space"] and any(there.get(name) != here.get(name) for name in ("graph", "sha256")):
        return ": its space is derived from another model; fit or measure a table for this one"
    return f": its space has {others[0]}; fit or measure a table for this space" if others else ""
