"""Several devices at once: every device's table prices every network of one search.

The problem has a latency of each device among its objectives, and admits networks that keep the budget of one device
at least. What each device gets of it is the matter of `hwnas._pipeline._deliver_several`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import LATENCY
from hwnas._costs._space_costs import CostOfCodes, SpaceCosts, cheapest_network
from hwnas._devices._make import make_backend
from hwnas._errors import BudgetError, HwnasError, RunError
from hwnas._pipeline._expected import expected_latency
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._setup import ANY_BUDGET, DeviceCosts, SearchCosts, SearchInputs
from hwnas._pipeline._setup_table import require_grade
from hwnas._pipeline._train_precision import training_device
from hwnas._runs._agreement import PREDICTED
from hwnas._runs._offline import require_usable
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._several import NamedDevice
from hwnas._tables._fit import PROTOCOL as FITTED
from hwnas._tables._references import tails_of
from hwnas._tables._validate import precision_of
from hwnas.evaluators import Evaluator
from hwnas.spaces import Space, input_channels
from latency_tables import LatencyTable, dump_table, load_table, parse_table
from profilers import Backend, DeviceUnavailableError, TextProgress
from search import Constraint

_TABLES = "tables"
"""Folder of the run's copies of the tables."""


def resolve_devices(
    run: Run, inputs: SearchInputs, costs: SearchCosts, overrides: Overrides, progress: TextProgress
) -> tuple[DeviceCosts, ...]:
    """Return the devices of a search for several, each with its table and what measures on it; none for one device.

    Args:
        run: The run, whose folder is locked; nothing is written into it yet.
        inputs: Space and evaluator.
        costs: What is known of an architecture; its latency is that of the first device.
        overrides: Objects that take the place of names in the settings.
        progress: Receives progress lines.

    Raises:
        HwnasError, LatencyTableError: A table cannot be used, a budget cannot be met, or the evaluator's values would
            differ between devices.
    """
    devices = run.settings.several
    if devices:
        _require_shared_values(inputs.evaluator)
    resolved = tuple(_resolved(run, device, costs.space_costs, overrides, progress) for device in devices)
    for device in resolved:
        _require_reachable(device, inputs.space)
    return _with_one_pool(resolved)


def _with_one_pool(devices: Sequence[DeviceCosts]) -> tuple[DeviceCosts, ...]:
    """Return devices without what measures where that needs a second pool of threads, which a process cannot have."""
    pools = [device.threads for device in devices if device.backend is not None and device.threads > 1]
    kept = (device.backend is None or device.threads in (1, *pools[:1]) for device in devices)
    return tuple(
        d if keep else replace(d, backend=None, statistic=PREDICTED) for d, keep in zip(devices, kept, strict=True)
    )


def other_latencies(devices: Sequence[DeviceCosts]) -> dict[str, CostOfCodes]:
    """Return the latency on each device but the first, by the key of its objective."""
    return {device.device.key: device.latency_ms for device in devices[1:]}


def budgets_of_any(devices: Sequence[DeviceCosts]) -> tuple[Constraint, ...]:
    """Return the constraint that a network keeps the latency budget of one device at least.

    There is none where a device has no budget: every network is of use for that one.
    """
    uppers = [device.device.latency_budget_ms for device in devices]
    if not devices or None in uppers:
        return ()
    bounds = [(device.bound_ms, upper) for device, upper in zip(devices, uppers, strict=True) if upper is not None]

    def nearest(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the smallest share of a budget that each network needs, ``(n,)``."""
        shares: npt.NDArray[np.float64] = np.min([bound(codes) / upper for bound, upper in bounds], axis=0)
        return shares

    return (Constraint(ANY_BUDGET, nearest, 1.0),)


def save_device_tables(run: Run, devices: Sequence[DeviceCosts]) -> None:
    """Give the run its copies of the tables of several devices.

    Raises:
        RunError: They cannot be written.
    """
    for device in devices:
        name = copy_name(device.device)
        if not run.keeps(name):
            run.folder(_TABLES)
            run.write(name, dump_table(device.table))


def _resolved(
    run: Run, device: NamedDevice, first: SpaceCosts, overrides: Overrides, progress: TextProgress
) -> DeviceCosts:
    """Return one of several devices.

    Args:
        run: The run.
        device: Its name, table and budget.
        first: Costs by the table of the first device.
        overrides: Objects that take the place of names in the settings.
        progress: Receives progress lines.
    """
    settings, space, copy = run.settings, first.space, run.path / copy_name(device)
    kept = run.keeps(copy_name(device))
    asked = load_table(Path(device.table)) if not kept or Path(device.table).exists() else None
    table = load_table(copy) if kept else parse_table(dump_table(asked), copy) if asked is not None else None
    assert table is not None
    if asked is not None and dump_table(asked) != dump_table(table):
        raise RunError(f"{run.path} was started with another latency table than {device.table}; choose another --out")
    require_usable(table, settings, space)
    if asked is not None:
        require_grade(asked, asked=True, progress=progress)
    backend, place = _backend(table, settings, space, overrides)
    same = first.table is not None and dump_table(first.table) == dump_table(table)
    costs = first if same else SpaceCosts(space, table, batch=settings.batch, precision=settings.precision)
    statistic = (settings.latency_statistic or DEFAULT_STATISTIC) if backend is not None else PREDICTED
    tails = tails_of(table) or {}
    bound_ms = expected_latency(costs, statistic, tails)
    return DeviceCosts(device, table, backend, place, statistic, costs, tails.get(statistic, 1.0), bound_ms)


def _backend(
    table: LatencyTable, settings: SearchSettings, space: Space, overrides: Overrides
) -> tuple[Backend | None, str]:
    """Return what measures on a table's device and where that is: here, or where ``--device`` says.

    There is none where it is neither.
    """
    elsewhere = training_device(settings)
    identity = dict(table.identity)
    if overrides.backend is not None and overrides.backend.identity() == identity and not settings.offline:
        return overrides.backend, settings.device
    if settings.offline or identity.get("protocol") == FITTED or identity.get("device") not in ("cpu", "cuda"):
        return None, elsewhere
    shared = {"batch": settings.batch, "image_channels": input_channels(space), "precision": precision_of(table)}
    for place in dict.fromkeys([settings.device, str(identity["device"])]):
        if place.startswith("cuda") != elsewhere.startswith("cuda"):
            continue  # a run trains where it measures, so a GPU's would not take this search's trials
        try:
            backend = make_backend(**{**measuring_of(identity), **shared, "device": place})
            if backend.identity() == identity:
                return backend, place
        except (DeviceUnavailableError, HwnasError):
            continue
    return None, elsewhere


def measuring_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a table was measured, as settings of a search say it."""
    if identity.get("device") == "cuda":
        return {"protocol": str(identity.get("mode")), "channels_last": bool(identity.get("channels_last"))}
    provider = str(identity["provider"]) if "provider" in identity else None
    return {"threads": int(str(identity.get("threads", 1))), "provider": provider}


def _require_reachable(device: DeviceCosts, space: Space) -> None:
    """Refuse a latency budget that no network of the space meets on a device.

    Raises:
        BudgetError: Naming the device.
    """
    upper = device.device.latency_budget_ms
    if upper is None:
        return
    arch, least = cheapest_network(space, device.bound_ms)
    if not least <= upper:
        raise BudgetError(
            f"no network of the space meets {LATENCY.budget_option} {device.device.name}={LATENCY.format(upper)}: the "
            f"fastest network, {space.format(arch)}, has {LATENCY.format(LATENCY.least_budget(least))}"
        )


def _require_shared_values(evaluator: Evaluator) -> None:
    """Refuse an evaluator whose values depend on the device or on the order of trials.

    Raises:
        HwnasError: They do.
    """
    if evaluator.in_order:
        raise HwnasError("--tables needs evaluations that do not depend on earlier ones; leave --halving out")
    if evaluator.shares_weights and "'sampling': 'uniform'" not in repr(evaluator.settings):
        raise HwnasError(
            "--supernet-sampling bestup and worstup train for the latency of one device; leave them out with --tables"
        )


def copy_name(device: NamedDevice) -> str:
    return f"{_TABLES}/{device.name}.json"
