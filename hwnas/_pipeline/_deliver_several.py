"""A delivery for each device of a search for several: a run of its own, which starts with the trials of the search.

It is a search for that device alone with the trials of another run (`hwnas._runs._warm_start`) and no further ones. So
its front, what it measures, its report and its ``deploy/`` are those of any run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwnas._costs._cost import LATENCY
from hwnas._costs._space_costs import CostOfCodes
from hwnas._errors import HwnasError
from hwnas._pipeline._finalize import FINAL
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._setup import DeviceCosts, SearchSetup
from hwnas._pipeline._several import copy_name, measuring_of
from hwnas._runs._record import SETTINGS
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._several import FOLDER, NO_TRIAL
from hwnas._runs._watch import Watcher
from search import Study

Deliver = Callable[[SearchSettings, Path, Watcher, Overrides], object]
"""Runs a search to its delivery: settings, folder, watcher, objects in place of names."""


def close_search(setup: SearchSetup) -> None:
    """End the search for several devices: it delivers nothing itself, and is finished when its devices are."""
    setup.run.write_pareto([])


def deliver_devices(setup: SearchSetup, study: Study, watcher: Watcher, overrides: Overrides, deliver: Deliver) -> None:
    """Deliver for each device from the trials of the search, into ``devices/NAME``.

    Args:
        setup: The search, whose run is released.
        study: What it found.
        watcher: Receives lines for people, each with the device's name.
        overrides: Objects that take the place of names in the settings.
        deliver: Runs a search to its delivery.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: One line each.
    """
    run = setup.run
    if not setup.costs.devices:
        return
    for device in sorted(setup.costs.devices, key=lambda each: each.threads):  # a pool of threads stays once it is made
        name, out = device.device.name, run.path / FOLDER / device.device.name
        samples = _usable_trials(setup, study, device)
        if not samples:
            watcher.line(f"{name}: {NO_TRIAL}; nothing is delivered for it")
            _remove_run(out)
            continue
        settings = settings_of_device(run, device, samples)
        earlier = Run.open(out) if (out / SETTINGS).exists() else None
        if _was_measured(earlier, settings):
            watcher.line(f"{name}: its device is not available now; its delivery stays as it was measured earlier")
            continue
        if _is_another(earlier, settings):
            _remove_run(out, but_final=True)
        if device.backend is None:
            watcher.line(f"{name}: not measured here, --device {run.settings.device} does not reach its device")
        given = device.backend if device.backend is overrides.backend else None
        deliver(settings, out, _OfDevice(name, watcher), replace(overrides, table=None, backend=given))
    from hwnas._report import DeviceFront, write_devices

    fronts = [DeviceFront(d.device.name, *_delivered(setup, d.device.name)) for d in setup.costs.devices]
    write_devices(run, fronts)
    run.finish(len(study.trials))


def settings_of_device(run: Run, device: DeviceCosts, samples: int) -> SearchSettings:
    """Return the settings of the run that delivers for one device."""
    settings, identity, upper = run.settings, device.table.identity, device.device.latency_budget_ms
    here = device.backend is not None
    return replace(
        settings,
        devices={},
        table=str(run.path / copy_name(device.device)),
        budgets={**settings.budgets, **({} if upper is None else {LATENCY.key: upper})},
        warm_start=str(run.path),
        begin_with=(),
        low_fidelity=None,
        samples=samples,
        offline=not here,
        measure=settings.measure if here else "none",
        latency_statistic=device.statistic,
        **(measuring_of(identity) if here else {}),
        device=device.place,
    )


class _OfDevice(Watcher):
    """Passes lines on with the name of the device that they are about; the trials are known already."""

    def __init__(self, name: str, watcher: Watcher) -> None:
        self._name, self._watcher = name, watcher

    def line(self, text: str) -> None:
        """Pass it on."""
        self._watcher.line(f"{self._name}: {text}")


def _delivered(setup: SearchSetup, name: str) -> tuple[Run | None, dict[str, dict[str, float]]]:
    """Return the run that delivered for a device, and the latency of its networks on every device by id and name."""
    out, space = setup.run.path / FOLDER / name, setup.space
    if not (out / SETTINGS).exists():
        return None, {}
    run = Run.open(out)
    latencies = {}
    for network in run.pareto():
        codes = space.encode(space.parse(network["arch"]))[None]
        latencies[network["id"]] = {d.device.name: float(d.latency_ms(codes)[0]) for d in setup.costs.devices}
    return run, latencies


def _usable_trials(setup: SearchSetup, study: Study, device: DeviceCosts) -> int:
    """Return how many networks with values are within the budgets of a device."""
    rows = {trial.codes for trial in study.trials if trial.ok and not trial.low_fidelity}
    codes = np.array(sorted(rows), dtype=np.int64).reshape(len(rows), len(setup.space.choices))
    budgets = setup.run.settings.budgets
    bounds: dict[str, tuple[CostOfCodes, float]] = {
        k: (setup.costs.functions[k], upper) for k, upper in budgets.items()
    }
    if device.device.latency_budget_ms is not None:
        bounds[LATENCY.key] = device.bound_ms, device.device.latency_budget_ms
    kept = np.ones(len(codes), dtype=np.bool_)
    for function, upper in bounds.values():
        kept &= function(codes) <= upper
    return int(kept.sum())


_OF_TRIALS = ("samples", "budgets")
_OF_MEASURING = (
    "device",
    "threads",
    "provider",
    "protocol",
    "channels_last",
    "offline",
    "measure",
    "latency_statistic",
)
"""Settings of a device's run that follow from where it can be measured now."""


def _differing(before: SearchSettings, now: SearchSettings) -> set[str]:
    """Return the names of the settings that differ."""
    old, new = before.as_dict(), now.as_dict()
    return {name for name in new if old.get(name) != new[name]}


def _is_another(earlier: Run | None, settings: SearchSettings) -> bool:
    """Return whether an earlier delivery of a device cannot be continued.

    It is one of fewer trials, for another budget, or measured in another way.
    """
    return earlier is not None and bool(_differing(earlier.settings, settings) & {*_OF_TRIALS, *_OF_MEASURING})


def _was_measured(earlier: Run | None, settings: SearchSettings) -> bool:
    """Return whether an earlier delivery is all that is wanted, measured while the device was available."""
    if earlier is None or earlier.finished is None or earlier.settings.offline or not settings.offline:
        return False
    return _differing(earlier.settings, settings) <= {*_OF_MEASURING}


def _remove_run(out: Path, *, but_final: bool = False) -> None:
    """Remove an earlier delivery of a device; what is no run of hwnas stays.

    Args:
        out: Its folder.
        but_final: Whether the settings and the final trainings stay: these belong to a recipe and an architecture,
            whatever else is delivered.

    Raises:
        HwnasError: It cannot be removed.
    """
    if not (out / SETTINGS).exists():
        return
    try:
        if not but_final:
            shutil.rmtree(out)
            return
        for item in out.iterdir():
            if item.name in (SETTINGS, FINAL):
                continue
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()
    except OSError as error:
        raise HwnasError(f"cannot remove the earlier delivery {out}: {error.strerror}") from None
