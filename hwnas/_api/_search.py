"""The Python API: `profile` and `search`, with names, files and numbers as on the command line, or with objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from hwnas._api._options import EVALUATOR, SPACE, profiled_space, search_option_names, search_settings
from hwnas._costs._soundness import require_sound
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._pipeline._overrides import NO_DATA, Overrides
from hwnas._pipeline._search import run_pipeline
from hwnas._runs._front import pick_network
from hwnas._runs._settings import SearchSettings
from hwnas._runs._watch import Lines
from hwnas._tables._build import build_table, default_table_path, require_drawing
from hwnas._tables._bundle import import_table
from hwnas._workers import parse_workers
from hwnas.data import ImageData
from hwnas.evaluators import Evaluator
from hwnas.spaces import Architecture, Space, input_channels, make_space
from hwnas.tasks import Task, as_task
from latency_tables import LatencyTable
from profilers import Backend
from search import Strategy, Trial

_A = {"space": "a space", "evaluator": "an evaluator", "device": "a device"}


class Measuring(TypedDict, total=False):
    """How a device measures; each has the default that the command line has."""

    threads: int
    batch: int
    precision: str
    provider: str | None
    protocol: str | None
    channels_last: bool


class Profiling(Measuring, total=False):
    """What else `hwnas profile` takes: settings of a space that is named, and what comes from elsewhere."""

    preset: str | None
    resolution: str | int | Sequence[int] | None
    width: str | float | Sequence[float] | None
    image_size: int | None
    classes: int | None
    image_channels: int | None
    output: str | Path | None
    result: str | Path | None


@dataclass(frozen=True)
class FoundTrial:
    """One evaluated architecture.

    Attributes:
        number: of the trial, counted from 0.
        arch: the architecture.
        text: the same in words, as `hwnas predict` takes it.
        values: objectives by name; empty where it failed.
        failed: why it has no values; None where it has.
        cheap: whether the cheap stand-in was evaluated.
    """

    number: int
    arch: Architecture
    text: str
    values: Mapping[str, float]
    failed: str | None
    cheap: bool


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        path: the run directory.
        settings: what was searched for.
        trials: everything that was evaluated, by number.
        front: the trials within the budgets that no other one dominates.
        networks: what was handed over: the entries of ``pareto.json``, at most ten of the front.
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

    def pick(self, which: str = "knee", *, allow_over_budget: bool = False) -> Mapping[str, Any]:
        """One of `networks`: ``"fastest"``, ``"knee"``, ``"best"`` or an id.

        Networks are compared by their metric on the validation part and their latency as measured; those that another
        one beats in both are picked by their id alone, and those over the budget only where `allow_over_budget` says
        so.

        Raises:
            HwnasError: there is none of that name, or none that keeps the budget.
        """
        return pick_network(self.networks, which, self.settings.budgets, allow_over_budget=allow_over_budget)


def profile(
    space: Space | str = "mobilenetv3",
    device: Backend | str = "cpu",
    *,
    out: str | Path | None = None,
    networks: int = 50,
    seed: int = 0,
    force: bool = False,
    progress: Callable[[str], None] = lambda text: None,
    **more: Unpack[Profiling],
) -> LatencyTable:
    """Measure a latency table of a space on a device, as ``hwnas profile`` does.

    An interrupted call goes on where it stopped; a table that is there already is returned as it is.

    Args:
        space: a space, or the name of one in its default settings (see `make_space`).
        device: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"ssh://[user@]host[:port]"``, or a backend.
        out: the table's file; None for one in the user's table folder, where searches look for tables.
        networks: random networks that the table is held against; ten more are drawn for calibration.
        seed: of these networks.
        force: measure again what is there already.
        progress: receives lines for people; `print`, say.
        more: any other option of ``hwnas profile``, by its name there: of a device that is named ``threads``,
            ``batch``, ``precision``, ``provider``, ``protocol`` and ``channels_last``; of a space that is named
            ``preset``, ``resolution``, ``width``, ``image_size``, ``classes`` and ``image_channels``; ``output`` for
            ``out``; ``result``, which is ``--import``, makes the table of a bundle's ``result.json``.

    Raises:
        HwnasError, LatencyTableError, ProfilerError: one line each, for people.
    """
    require_drawing(networks, seed)
    measuring = _profiling(more)
    out = more.get("output") if out is None else out
    if (result := more.get("result")) is not None:
        return import_table(result, out, force=force)
    settings = profiled_space({**more, "space": _name(space)}) if isinstance(space, str) else {}
    if not isinstance(space, str):
        _refuse_settings(more, SPACE, "space")
    found = make_space(space, **settings) if isinstance(space, str) else space
    require_sound(found)
    if isinstance(device, str):
        backend = make_backend(device, image_channels=input_channels(found), progress=progress, **measuring)
    else:
        _refuse_settings(measuring, Measuring.__annotations__, "device")
        backend = device
    path = default_table_path(found, backend) if out is None else Path(out)
    return build_table(found, backend, path, networks=networks, seed=seed, force=force, progress=progress)


def search(
    space: Space | str = "mobilenetv3",
    *,
    out: str | Path,
    data: Task | ImageData | str | Path | None = None,
    evaluator: Evaluator | str = "supernet",
    table: LatencyTable | str | Path | None = None,
    budgets: Mapping[str, float | str] | None = None,
    minimize: str | Sequence[str] = ("latency",),
    samples: int = 200,
    strategy: Strategy | str = "lamoo",
    seed: int = 0,
    device: Backend | str = "cpu",
    workers: int | str = 1,
    ray_address: str | None = None,
    evaluation_timeout: float | None = None,
    progress: Callable[[str], None] = lambda text: None,
    **more: Any,
) -> SearchResult:
    """Search networks and hand the front over, as ``hwnas search`` does.

    The same call goes on with an interrupted search, and with a finished one that is asked for more samples or other
    budgets. Another search in the same folder is refused: objects are told apart by the space's name, settings and
    `Space.fingerprint` and by the evaluator's name and settings.

    Args:
        space: a space, or the name of one, whose settings then follow from the data and from ``space_settings``.
        out: the run directory.
        data: what `load_data` takes or gave, or a task. None is for evaluators that look at no data; then nothing is
            trained, written or measured in the end, unless the evaluator has weights.
        evaluator: an evaluator of this space, or what ``--evaluator`` takes.
        table: latencies: a table, or its file. None for one that fits this device; without one it is measured.
        budgets: upper bounds by cost: ``{"latency": "4ms", "params": 600_000}``. Numbers are milliseconds, counts and
            bytes; a text needs its unit.
        minimize: costs beside the metric: of ``latency``, ``macs``, ``params``, ``memory``; one, several in a
            sequence, or ``"latency,macs"``.
        samples: architectures to evaluate.
        strategy: a strategy, or what ``--strategy`` takes.
        seed: of everything random.
        device: what measures, as for `profile`.
        workers: processes that evaluate, or ``"ray"``. Processes import the calling script again, which
            must then call this below ``if __name__ == "__main__":``.
        ray_address: of the Ray cluster; None for the one that Ray finds.
        evaluation_timeout: seconds after which an evaluation has failed; it is made in a worker process then.
        progress: receives lines for people; `print`, say.
        more: any other option of ``hwnas search``, by its name there with ``_`` for ``-`` (``epochs=4``,
            ``latency_budget="4ms"``, ``resolution=[16, 32]``), or attribute of `SearchSettings`. Texts are read as on
            the command line. What is for terminals alone (``--quiet``, ``--json``, ``--debug``) is not taken.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: one line each, for people.
        KeyboardInterrupt: the user stopped it; every finished trial is safe.
    """
    _require_kinds(space, evaluator, strategy)
    given = Overrides(
        space=None if isinstance(space, str) else space,
        task=as_task(data) if isinstance(data, (Task, ImageData)) else None,
        evaluator=None if isinstance(evaluator, str) else evaluator,
        strategy=None if isinstance(strategy, str) else strategy,
        table=table if isinstance(table, LatencyTable) else None,
        backend=None if isinstance(device, str) else device,
    )
    if isinstance(data, Task):
        more = {**more, "task": data.name}
    settings = _settings(
        given,
        more,
        space=_name(space),
        data=_data_name(data, evaluator),
        evaluator=_name(evaluator),
        strategy=_name(strategy),
        table=str(table.source or "the given one") if isinstance(table, LatencyTable) else table and str(table),
        device=device if isinstance(device, str) else str(device.identity()["device"]),
        budgets=budgets or {},
        minimize=minimize,
        samples=samples,
        seed=seed,
    )
    parts, study = run_pipeline(
        settings, Path(out), Lines(progress), given, parse_workers(str(workers), ray_address, evaluation_timeout)
    )
    trials = tuple(_found(trial, parts.space) for trial in study.trials)
    front = {trial.number for trial in study.front()}
    return SearchResult(
        path=parts.run.path,
        settings=parts.run.settings,
        trials=trials,
        front=tuple(trial for trial in trials if trial.number in front),
        networks=tuple(parts.run.pareto()),
    )


def _name(thing: Space | Evaluator | Strategy | str) -> str:
    return thing if isinstance(thing, str) else thing.name


def _data_name(data: Task | ImageData | str | Path | None, evaluator: Evaluator | str) -> str:
    """What the settings call the data; beside a table as the command line does, which has a default there."""
    if data is None:
        return SearchSettings().data if _name(evaluator).startswith("table:") else NO_DATA
    return as_task(data).data_name if isinstance(data, (Task, ImageData)) else str(data)


def _require_kinds(space: object, evaluator: object, strategy: object) -> None:
    """Refuse what is neither a name nor an object of the kind: a class, most likely."""
    for name, value, kind in (("space", space, Space), ("evaluator", evaluator, Evaluator)):
        if not isinstance(value, (str, kind)):
            raise HwnasError(f"{name} must be a name or an instance of hwnas.{kind.__name__}, not {value!r}")
    if not isinstance(strategy, str) and (isinstance(strategy, type) or not hasattr(strategy, "propose")):
        raise HwnasError(f"strategy must be a name or an instance with a method propose, not {strategy!r}")


def _settings(given: Overrides, more: Mapping[str, Any], **named: Any) -> SearchSettings:
    """The settings that names and objects stand for."""
    known = search_option_names() - named.keys()
    for name in more:
        if name not in known:
            raise HwnasError(f"search has no setting {name!r}; it takes {', '.join(sorted(known))}")
    if given.space is not None:
        if "space_settings" in more:
            raise HwnasError("space_settings go with the name of a space; this one has its settings already")
        _refuse_settings(more, set(SPACE) - {"image_size"}, "space")
    if given.evaluator is not None:
        _refuse_settings(more, (*EVALUATOR, "evaluator_options"), "evaluator")
    if given.strategy is not None and more.get("cheap") is not None:
        raise HwnasError("cheap goes with strategy='lamoo', not with an object")
    if given.backend is not None:
        _refuse_settings(more, Measuring.__annotations__, "device")
        named["batch"] = given.backend.batch
    found = search_settings({**named, **more})
    return found if given.space is None else replace(found, space_settings=given.space.settings)


def _profiling(more: Mapping[str, Any]) -> dict[str, Any]:
    """The options of measuring among those of a profile, which must all be known."""
    known = {*Profiling.__annotations__, *Measuring.__annotations__}
    for name in more:
        if name not in known:
            raise HwnasError(f"profile has no option {name!r}; it takes {', '.join(sorted(known))}")
    return {name: value for name, value in more.items() if name in Measuring.__annotations__}


def _refuse_settings(options: Mapping[str, Any], names: Iterable[str], thing: str) -> None:
    """Refuse options of something that is given as an object."""
    for name in names:
        if options.get(name) is not None:
            raise HwnasError(f"{name} goes with the name of {_A[thing]}; this one has its settings already")


def _found(trial: Trial, space: Space) -> FoundTrial:
    arch = space.decode(trial.codes)
    return FoundTrial(trial.number, arch, space.format(arch), dict(trial.values), trial.failed, trial.cheap)
