"""What a search returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._device_runs import device_runs
from hwnas._runs._front import keeps, nearest, pick_network, usual_pick
from hwnas._runs._settings import SearchSettings
from hwnas._runs._several import NO_TRIAL
from hwnas.spaces import Architecture, Space
from search import Study, Trial


@dataclass(frozen=True)
class FoundTrial:
    """One evaluated architecture.

    Attributes:
        number: Number of the trial, counted from 0.
        arch: The architecture.
        text: The same in words, as `hwnas predict` takes it.
        values: Objectives by name; empty where it failed.
        failed: Why it has no values; None where it has.
        low_fidelity: Whether it was evaluated at low fidelity.
    """

    number: int
    arch: Architecture
    text: str
    values: Mapping[str, float]
    failed: str | None
    low_fidelity: bool


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        path: The run directory.
        settings: What was searched for.
        trials: Everything that was evaluated, by number.
        front: The trials within the budgets that no other one dominates.
        networks: The delivered networks: the entries of ``pareto.json``, at most ten of the front. Empty in a
            search for several devices; `devices` has them then.
    """

    path: Path
    settings: SearchSettings
    trials: tuple[FoundTrial, ...]
    front: tuple[FoundTrial, ...]
    networks: tuple[Mapping[str, Any], ...]

    @property
    def report(self) -> Path:
        """The report's page."""
        return self.path / "report.html"

    @property
    def devices(self) -> dict[str, tuple[Mapping[str, Any], ...]]:
        """The delivered networks of each device of a search for several, by its name; empty for one device."""
        return {name: tuple(run.pareto()) for name, run in device_runs(self.path, self.settings.several).items()}

    @property
    def over_budget(self) -> str | None:
        """One line on how far the nearest network is over the budgets; None where a network meets them.

        In a search for several devices, it names each for which no network does.
        """
        reasons = self.over_budgets
        if not self.settings.devices:
            return reasons.get("")
        return "; ".join(f"{name}: {why}" for name, why in reasons.items()) or None

    @property
    def over_budgets(self) -> dict[str, str]:
        """What `over_budget` says of each device, by its name; the only device of other searches has none."""
        if not self.settings.devices:
            why = _over_budget(self.networks, self.settings.budgets)
            return {} if why is None else {"": why}
        runs, reasons = device_runs(self.path, self.settings.several), {}
        for device in self.settings.several:
            run = runs.get(device.name)
            why = NO_TRIAL if run is None else _over_budget(run.pareto(), run.settings.budgets)
            if why is not None:
                reasons[device.name] = why
        return reasons

    def pick(self, which: str | None = None, *, allow_over_budget: bool = False) -> Mapping[str, Any]:
        """Return one of `networks`: ``"fastest"``, ``"knee"``, ``"best"`` or an id.

        None stands for the network in ``deploy/``: ``"best"`` where a budget limits the latency or what the search
        minimises, or the search had that goal, else ``"knee"``. A front without a knee gives its best.

        Networks are compared by their metric on the validation part and their latency as measured; those that another
        one beats in both are picked by their id alone, and those over the budget only where `allow_over_budget` says
        so.

        Raises:
            HwnasError: There is none of that name, or none that keeps the budget.
        """
        which = which or usual_pick(self.settings)
        return pick_network(self.networks, which, self.settings.budgets, allow_over_budget=allow_over_budget)


def _over_budget(networks: Sequence[Mapping[str, Any]], budgets: Mapping[str, float]) -> str | None:
    if not networks or any(keeps(network, budgets) for network in networks):
        return None
    return nearest(networks, budgets)


def search_result(setup: SearchSetup, study: Study) -> SearchResult:
    """Return the result of a search that has ended."""
    trials = tuple(_trial(trial, setup.space) for trial in study.trials)
    front = {trial.number for trial in study.front()}
    return SearchResult(
        path=setup.run.path,
        settings=setup.run.settings,
        trials=trials,
        front=tuple(trial for trial in trials if trial.number in front),
        networks=tuple(setup.run.pareto()),
    )


def _trial(trial: Trial, space: Space) -> FoundTrial:
    arch = space.decode(trial.codes)
    return FoundTrial(trial.number, arch, space.format(arch), dict(trial.values), trial.failed, trial.low_fidelity)
