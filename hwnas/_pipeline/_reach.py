"""How far below a model its derived space reaches: as far as the budgets of the search need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas._costs._cost import LATENCY, cost_of_key, name_of_key, written_cost
from hwnas._errors import HwnasError
from hwnas._pipeline._measuring import only_predicted
from hwnas._pipeline._model import chosen_options, read_trainable
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._setup_inputs import make_search_backend
from hwnas._runs._kept_files import given_file
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import REACH, Architecture, DerivedSpace, input_channels, reaches
from latency_tables import OpGraph
from profilers import (
    STATISTICS,
    Backend,
    ReadModel,
    References,
    ReferenceTimer,
    TextProgress,
    executed_graph,
    fixed_rounds,
    fusion_of,
)

BELOW = 0.5
"""The smallest network of a space should take at most this share of each budget."""
_ROUNDS, _MOST_SECONDS = 20, 10.0


def with_reach(settings: SearchSettings, out: Path, overrides: Overrides, progress: TextProgress) -> SearchSettings:
    """Return the settings with the widths and resolutions of a derived space, where these were left open.

    A run that was begun keeps what it was begun with, and one with a warm start takes the space of that. Where nothing
    can be measured here, with several devices, and without budgets, the space has all default widths and resolutions.

    Args:
        settings: What to search for.
        out: The run directory.
        overrides: Objects that take the place of names in the settings.
        progress: Receives progress lines.

    Raises:
        HwnasError, ProfilerError: The model cannot be read, or the device cannot measure.
    """
    if settings.model is None or overrides.space is not None or all(name in settings.space_settings for name in REACH):
        return settings
    kept = _kept(out) or ({} if settings.warm_start is None else _kept(Path(settings.warm_start)))
    if kept:
        return replace(settings, space_settings={**kept, **settings.space_settings})
    model = read_trainable(given_file(out, "model", settings.model))
    options = chosen_options(settings.space_settings)
    spaces = reaches(model.graph, {**options, "sha256": model.sha256})
    space = spaces[-1]
    measures = not settings.devices and not only_predicted(settings, overrides.table)
    if settings.budgets and len(spaces) > 1 and measures:
        backend = overrides.backend or make_search_backend(settings, input_channels(space), progress)
        space = reaching(spaces, settings.budgets, backend, settings.precision, settings.latency_statistic, progress)
    return replace(settings, space_settings=dict(space.settings))


def reach_of(
    model: ReadModel, options: Mapping[str, Any], budgets: Mapping[str, float], backend: Backend, progress: TextProgress
) -> dict[str, Any]:
    """Return the options of a model's space with widths and resolutions that reach below budgets.

    Args:
        model: The model.
        options: Options of the space; widths and resolutions that they hold stay.
        budgets: Upper bounds by the cost's key.
        backend: Measures latencies.
        progress: Receives progress lines.

    Raises:
        HwnasError, ProfilerError: An option is out of range, or the device cannot measure.
    """
    options = chosen_options(options)
    spaces = reaches(model.graph, {**options, "sha256": model.sha256})
    settings = reaching(spaces, budgets, backend, progress=progress).settings
    return {**options, **{name: settings[name] for name in REACH}}


def reaching(
    spaces: Sequence[DerivedSpace],
    budgets: Mapping[str, float],
    backend: Backend,
    precision: str = "fp32",
    statistic: str | None = None,
    progress: TextProgress = lambda text: None,
) -> DerivedSpace:
    """Return the first space whose smallest network takes at most `BELOW` of each budget.

    Where none does, the one whose smallest network comes closest to its budgets; where no cost is known, the last one.

    Args:
        spaces: Spaces of one model, each of which reaches further below it than the one before.
        budgets: Upper bounds by the cost's key.
        backend: Measures latencies, if these are bound.
        precision: Number format of the networks.
        statistic: Which statistic of the latency is bound; None for the median.
        progress: Receives progress lines.

    Raises:
        ProfilerError: The device cannot measure.
    """
    graphs = [_smallest(space) for space in spaces]
    whole = spaces[0].graph(spaces[0].largest)
    values: dict[str, list[float]] = {}
    for key in budgets:
        cost = cost_of_key(key)
        if key == LATENCY.key:
            values[key] = _latencies([*graphs, whole], backend, statistic, progress)
        elif cost is not None and cost.of_graph is not None:
            number_format = "int8" if precision == "mixed" else precision
            values[key] = [cost.value(graph, backend.batch, number_format) for graph in (*graphs, whole)]
    bound = {key: value for key, value in budgets.items() if key in values}
    if not bound:
        return spaces[-1]
    shares = [max(values[key][i] / bound[key] for key in bound) for i in range(len(spaces))]
    chosen = next((i for i, share in enumerate(shares) if share <= BELOW), shares.index(min(shares)))
    progress(_line(spaces[chosen], {key: (values[key][chosen], values[key][-1], bound[key]) for key in bound}))
    return spaces[chosen]


def _line(space: DerivedSpace, costs: Mapping[str, tuple[float, float, float]]) -> str:
    """Return a line on a space: where it begins, and by how much its smallest network keeps the budgets."""
    widths, heights = space.settings["widths"], space.plan.resolutions
    assert isinstance(widths, list)
    parts = [f"widths from {100 * widths[0]:g} % on"]
    if heights:
        parts.append(f"resolution {', '.join(map(str, heights))}")
    written = [
        f"{name_of_key(key)} {written_cost(key, _rounded(least))} (the model {written_cost(key, _rounded(whole))}, "
        f"budget {written_cost(key, bound)})"
        for key, (least, whole, bound) in costs.items()
    ]
    return f"searched, as the budgets need: {', '.join(parts)}; the smallest network has {', '.join(written)}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if value < 1000 else float(round(value))


def _smallest(space: DerivedSpace) -> OpGraph:
    return space.graph(Architecture(tuple(choice.values[0] for choice in space.choices)))


def _latencies(
    graphs: Sequence[OpGraph], backend: Backend, statistic: str | None, progress: TextProgress
) -> list[float]:
    """Return milliseconds of networks, measured in the same rounds."""
    progress(f"measuring the model and the smallest networks of {len(graphs) - 1} spaces of it")
    runnables = {str(i): backend.load(executed_graph(graph, fusion_of(backend))) for i, graph in enumerate(graphs)}
    session = ReferenceTimer(backend, References()).measure(runnables, fixed_rounds(_ROUNDS, max_seconds=_MOST_SECONDS))
    taken = statistic if statistic is not None and statistic in STATISTICS else DEFAULT_STATISTIC
    return [session.times[str(i)].raw[taken] for i in range(len(graphs))]


def _kept(out: Path) -> dict[str, Any]:
    """Return the widths and resolutions of the derived space that a run in a folder was begun with."""
    try:
        before = Run.open(out).settings
    except (HwnasError, OSError):
        return {}
    if before.space != DerivedSpace.name:
        return {}
    return {name: before.space_settings[name] for name in REACH if name in before.space_settings}
