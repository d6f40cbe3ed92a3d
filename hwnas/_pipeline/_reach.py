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
from hwnas._pipeline._opening import named_networks
from hwnas._pipeline._overrides import Overrides
from hwnas._runs._kept_files import given_file
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._tables._build import require_coverage
from hwnas.spaces import REACH, DerivedSpace, reaches, with_precision
from latency_tables import LatencyTable, LatencyTableError, OpGraph, load_table
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
    mixed_graph,
)

BELOW = 0.75
"""The smallest network of a space should take at most this share of each budget."""
_ROUNDS, _MOST_SECONDS = 20, 10.0


def with_kept_reach(settings: SearchSettings, out: Path, progress: TextProgress) -> SearchSettings:
    """Return the settings with the widths and resolutions that a run or its warm start has already.

    Args:
        settings: What to search for.
        out: The run directory. A run that has trials keeps its space; one without trials does with the same budgets.
        progress: Receives a line where the space was chosen for other budgets.
    """
    if not _is_open(settings):
        return settings
    kept = _kept(out, settings)
    if kept is None or not (Run(out, settings, {}).has_trials() or kept.budgets == settings.budgets):
        kept = None if settings.warm_start is None else _kept(Path(settings.warm_start), settings)
    if kept is None:
        return settings
    reach = {name: kept.space_settings[name] for name in REACH}
    if kept.budgets != settings.budgets:
        progress(
            f"the space stays as it was begun for other budgets (widths {_shares(reach['widths'])}); for networks that "
            "are much faster, begin a search with another --out"
        )
    return replace(settings, space_settings={**reach, **settings.space_settings})


def with_reach(
    settings: SearchSettings, out: Path, overrides: Overrides, backend: Backend | None, progress: TextProgress
) -> SearchSettings:
    """Return the settings with the widths and resolutions of a derived space, where these were left open.

    Where a budget cannot be compared with anything (no device measures, there are several devices), and without
    budgets, the space has all default widths and resolutions. Spaces that lack a network of ``--begin-with``, or ops of
    a latency table that was given, are left out.

    Args:
        settings: What to search for.
        out: The run directory.
        overrides: Objects that take the place of names in the settings.
        backend: Measures latencies.
        progress: Receives progress lines.

    Raises:
        HwnasError, ProfilerError: The model cannot be read, or the device cannot measure.
    """
    if not _is_open(settings) or overrides.space is not None:
        return settings
    model = read_trainable(given_file(out, "model", settings.model or ""))
    options = {**chosen_options(settings.space_settings), "sha256": model.sha256}
    spaces = _usable(reaches(model.graph, options), settings, _tables(settings, overrides.table))
    budgets, space = settings.budgets, spaces[-1]
    if budgets and not settings.devices:
        measures = settings.measure != "none" and not only_predicted(settings, overrides.table)
        space = reaching(
            spaces, budgets, backend if measures else None, settings.precision, settings.latency_statistic, progress
        )
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
    backend: Backend | None,
    precision: str = "fp32",
    statistic: str | None = None,
    progress: TextProgress = lambda text: None,
) -> DerivedSpace:
    """Return the first space whose smallest network takes at most `BELOW` of each budget.

    Where none does, the one whose smallest network comes closest to its budgets; where the cost of a budget is not
    known, the last one.

    Args:
        spaces: Spaces of one model, each of which reaches further below it than the one before.
        budgets: Upper bounds by the cost's key.
        backend: Measures latencies, if these are bound; None where nothing does.
        precision: Number format of the networks; ``"mixed"`` compares small networks of int8 with the model as it is.
        statistic: Which statistic of the latency is bound; None for the median.
        progress: Receives progress lines.

    Raises:
        ProfilerError: The device cannot measure.
    """
    if len(spaces) == 1:
        return spaces[0]
    graphs = [*(space.graph(space.smallest) for space in spaces), spaces[0].graph(spaces[0].largest)]
    formats = [*("int8" if precision == "mixed" else precision for _ in spaces), precision]
    batch = 1 if backend is None else backend.batch
    values: dict[str, list[float]] = {}
    for key in budgets:
        cost = cost_of_key(key)
        if key == LATENCY.key and backend is not None:
            progress(f"measuring the model and the smallest network of each of {len(spaces)} spaces")
            int8 = [precision == "mixed" and number_format == "int8" for number_format in formats]
            values[key] = _latencies(graphs, int8, backend, statistic)
        elif cost is not None and cost.of_graph is not None:
            values[key] = [cost.value(*each) for each in zip(graphs, [batch] * len(graphs), formats, strict=True)]
    if set(values) != set(budgets):
        return spaces[-1]
    shares = [max(values[key][i] / budgets[key] for key in budgets) for i in range(len(spaces))]
    chosen = next((i for i, share in enumerate(shares) if share <= BELOW), shares.index(min(shares)))
    costs = {key: (values[key][chosen], values[key][-1], budgets[key]) for key in budgets}
    progress(_line(spaces[chosen], costs, below=shares[chosen] <= BELOW))
    return spaces[chosen]


def _line(space: DerivedSpace, costs: Mapping[str, tuple[float, float, float]], *, below: bool) -> str:
    """Return a line on a space: what it holds, and by how much its smallest network keeps the budgets."""
    heights = space.plan.resolutions
    pixels = f" at {' or '.join(map(str, heights))} pixels" if heights else ""
    written = [
        f"{name_of_key(key)} {written_cost(key, _rounded(least))} (budget {written_cost(key, bound)}, the model "
        f"{written_cost(key, _rounded(whole))})"
        for key, (least, whole, bound) in costs.items()
    ]
    closest = "" if below else "; no space reaches below three quarters of the budgets, this one comes closest"
    return (
        f"the space holds {_shares(space.settings['widths'])} of the channels{pixels}; its smallest network has "
        f"{', '.join(written)}{closest}"
    )


def _shares(widths: Any) -> str:
    *some, last = (f"{100 * share:g}" for share in widths)
    return f"{', '.join(some)} and {last} %" if some else f"{last} %"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if value < 1000 else float(round(value))


def _latencies(graphs: Sequence[OpGraph], int8: Sequence[bool], backend: Backend, statistic: str | None) -> list[float]:
    """Return milliseconds of networks, some of them with int8 nodes, measured in the same rounds."""
    executed = [executed_graph(graph, fusion_of(backend)) for graph in graphs]
    executed = [
        mixed_graph(graph, {node.name for node in graph.nodes}) if small else graph
        for graph, small in zip(executed, int8, strict=True)
    ]
    runnables = {str(i): backend.load(graph) for i, graph in enumerate(executed)}
    session = ReferenceTimer(backend, References()).measure(runnables, fixed_rounds(_ROUNDS, max_seconds=_MOST_SECONDS))
    taken = statistic if statistic is not None and statistic in STATISTICS else DEFAULT_STATISTIC
    return [session.times[str(i)].raw[taken] for i in range(len(graphs))]


def _is_open(settings: SearchSettings) -> bool:
    """Return whether a search around a model does not say how far its space reaches."""
    return settings.model is not None and any(name not in settings.space_settings for name in REACH)


def _kept(folder: Path, settings: SearchSettings) -> SearchSettings | None:
    """Return the settings of the run in a folder, if it searches the space of the same model."""
    try:
        before = Run.open(folder).settings
    except (HwnasError, OSError):
        return None
    held, wanted = before.space_settings, settings.space_settings
    same = before.space == DerivedSpace.name and held.get("sha256") == wanted.get("sha256")
    return before if same and all(name in held for name in REACH) else None


def _tables(settings: SearchSettings, table: LatencyTable | None) -> list[LatencyTable]:
    """Return the latency tables that a search was given.

    Raises:
        LatencyTableError: One cannot be read.
    """
    if table is not None:
        return [table]
    files = [settings.table, *(facts.get("table") for facts in settings.devices.values())]
    return [load_table(Path(file)) for file in dict.fromkeys(files) if file is not None]


def _usable(
    spaces: Sequence[DerivedSpace], settings: SearchSettings, tables: Sequence[LatencyTable]
) -> Sequence[DerivedSpace]:
    """Leave out spaces without the networks to begin with, and those that tables have no prices for.

    Where tables have prices for none, the space of the same model that one of them was made for takes their place.
    """
    begun = [space for space in spaces if _has_networks(space, settings)] or spaces
    priced = [space for space in begun if all(_is_priced(space, settings, table) for table in tables)]
    if priced:
        return priced
    for table in tables:
        given: Any = table.space.get("settings")
        own = dict(given) if table.space.get("name") == DerivedSpace.name and isinstance(given, Mapping) else {}
        if own.get("sha256") == spaces[0].settings["sha256"] and all(name in own for name in REACH):
            model = spaces[0].settings
            return [DerivedSpace(**{**model, **{name: own[name] for name in REACH}})]
    return begun


def _has_networks(space: DerivedSpace, settings: SearchSettings) -> bool:
    try:
        named_networks(with_precision(space, settings.precision), settings.begin_with)
    except HwnasError:
        return False
    return True


def _is_priced(space: DerivedSpace, settings: SearchSettings, table: LatencyTable) -> bool:
    try:
        require_coverage(table, with_precision(space, settings.precision))
    except LatencyTableError:
        return False
    return True
