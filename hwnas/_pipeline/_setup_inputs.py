"""First steps of a search: task, space, evaluators and strategy from the settings, or from objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._costs._soundness import require_json, require_sound
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._pipeline._final_recipe import require_finalizable
from hwnas._pipeline._oneshot import require_one_shot
from hwnas._pipeline._oneshot_strategy import OneShotStrategy
from hwnas._pipeline._overrides import NO_DATA, Overrides
from hwnas._pipeline._reach import with_reach
from hwnas._pipeline._setup import SearchInputs
from hwnas._pipeline._start import Start, require_use, resolve_start
from hwnas._pipeline._strategies import make_strategy
from hwnas._pipeline._train_precision import TRAINS, recipe_changes, training_device
from hwnas._runs._journal import has_trials
from hwnas._runs._metrics import metric_facts
from hwnas._runs._settings import SearchSettings
from hwnas.evaluators import Evaluator, make_evaluator, require_current
from hwnas.evaluators._precision import evaluated_precision
from hwnas.spaces import Space, make_space, space_defaults, space_identity, with_precision
from hwnas.tasks import Task, make_task
from profilers import Backend, TextProgress
from search import Strategy

_LOOKS = 64
"""Networks whose image sizes are looked at."""


def resolve_inputs(
    settings: SearchSettings, out: Path, overrides: Overrides, progress: TextProgress, *, parallel: bool
) -> SearchInputs:
    """Make what the settings name, and check that it goes together; cheap checks come before data are loaded.

    Args:
        settings: What to search for.
        out: The run directory.
        overrides: Objects that take the place of names in the settings.
        progress: Receives progress lines.
        parallel: Whether architectures are evaluated at the same time.

    Raises:
        HwnasError, ProfilerError, SearchError: One line each.
    """
    strategy = overrides.strategy or make_strategy(settings.strategy_name, **settings.all_strategy_options)
    backend = overrides.backend or make_search_backend(settings)
    require_one_shot(settings, out, strategy, own_evaluator=overrides.evaluator is not None)
    require_use(settings, own_evaluator=overrides.evaluator is not None, own_space=overrides.space is not None)
    task = resolve_task(settings, overrides, progress)
    settings = with_reach(settings, out, overrides, backend, progress)
    space = resolve_space(settings, overrides, task)
    if task is None and settings.model is None and not has_trials(out):
        for name, value in {
            "data_limit": settings.data_limit,
            "input_scaling": settings.input_scaling,
            **settings.data_options,
        }.items():
            if value is not None:
                raise HwnasError(f"--{name.replace('_', '-')} is of data, and this search has none; leave it out")
    if task is not None:
        task.require_fit(space)
        for line in _scaled_down(task, space):
            progress(line)
    start = resolve_start(settings, out, space, task, progress)
    evaluator, low_fidelity = resolve_evaluators(settings, overrides, space, task, start, strategy)
    for line in _unquantised(settings, evaluator, low_fidelity):
        progress(line)
    require_current(evaluator)
    require_finalizable(settings, task, evaluator, space)
    if parallel:
        _require_any_order(evaluator, low_fidelity)
    return SearchInputs(settings, task, space, evaluator, low_fidelity, strategy, start)


def _scaled_down(task: Task, space: Space) -> list[str]:
    """Return a line where the networks read images at half their size or less."""
    if len(task.input_shape) != 3:
        return []
    archs = space.sample(_LOOKS, np.random.default_rng(0))
    side, read = min(task.input_shape[1:]), max(space.input_shape(arch)[-1] for arch in archs)
    if 2 * read > side:
        return []
    more = "; --preset imagenet reads 128 to 224" if space.settings.get("preset") == "tiny" else ""
    return [f"data: images of {side} pixels are scaled down, since the networks read at most {read}{more}"]


def make_search_backend(
    settings: SearchSettings, image_channels: int = 3, progress: Callable[[str], None] = lambda text: None
) -> Backend:
    """Make what networks are measured with.

    Args:
        settings: What to search for.
        image_channels: Channels of the images that networks read.
        progress: Receives a line for each lost connection.

    Raises:
        HwnasError, DeviceUnavailableError: As `make_backend`.
    """
    return make_backend(**settings.measuring, image_channels=image_channels, progress=progress)


def resolve_task(settings: SearchSettings, overrides: Overrides, progress: TextProgress) -> Task | None:
    """Load the data and make their task; None where the evaluator looks at no data."""
    task = overrides.task or _make_task(settings)
    for note in task.notes if task is not None else ():
        progress(f"data: {note}")
    if settings.input_scaling is None or task is None:
        return task
    return task.with_scaling(settings.input_scaling)


def resolve_space(settings: SearchSettings, overrides: Overrides, task: Task | None) -> Space:
    """Make the space, and check that its costs are sound."""
    space = with_precision(
        overrides.space or make_space(settings.space, **_space_settings(settings, task)), settings.precision
    )
    require_sound(space)
    return space


def resolve_evaluators(
    settings: SearchSettings,
    overrides: Overrides,
    space: Space,
    task: Task | None,
    start: Start,
    strategy: Strategy,
) -> tuple[Evaluator, Evaluator | None]:
    """Make the evaluator and its low-fidelity stand-in, if any; a one-shot method trains its own."""
    evaluator = overrides.evaluator or _make_evaluator(settings, space, task, start, strategy)
    low_fidelity = _make_low_fidelity(settings, space, task, start)
    require_json(f"evaluator {evaluator.name}", evaluator.settings)
    return evaluator, low_fidelity


def identity_of(settings: SearchSettings, inputs: SearchInputs) -> dict[str, object]:
    """Return what the settings stand for; what follows from names that hwnas knows is left out."""
    task, evaluator = inputs.task, inputs.evaluator
    identity: dict[str, object] = {"space": space_identity(inputs.space), "evaluator": evaluator.settings}
    if inputs.low_fidelity is not None:
        identity["cheap"] = inputs.low_fidelity.settings
    identity |= metric_facts(evaluator.metric, settings.evaluator)
    if "weights" not in evaluator.settings:
        identity |= inputs.start.facts
    if task is not None and "data" not in evaluator.settings:
        identity["data"] = task.fingerprint
    return identity


def _make_task(settings: SearchSettings) -> Task | None:
    if settings.evaluator.startswith("table:") or settings.data == NO_DATA:
        return None
    size = settings.image_size
    if size is None and Path(settings.data).is_dir() and settings.space_settings.get("preset") == "imagenet":
        size = max(make_space(settings.space, **settings.space_settings).settings["resolution"])  # type: ignore[call-overload]
    more = {"seed": settings.seed, "limit": settings.data_limit, **settings.data_options}
    return make_task(settings.task, settings.data, image_size=size, **more)


def _space_settings(settings: SearchSettings, task: Task | None) -> dict[str, Any]:
    """Return the space's settings, those left open taken from the task."""
    chosen = dict(settings.space_settings)
    if task is None:
        return chosen
    needs = _TaskShape(task.input_shape, task.outputs[0].size, task.sample_rate)
    defaults = space_defaults(settings.space, needs, chosen)
    return {**defaults, **{name: value for name, value in chosen.items() if value is not None}}


@dataclass(frozen=True)
class _TaskShape:
    """What a space must know about a task."""

    input_shape: tuple[int, ...]
    outputs: int
    sample_rate: float | None = None


def _make_evaluator(
    settings: SearchSettings, space: Space, task: Task | None, start: Start, strategy: Strategy | None = None
) -> Evaluator:
    options = dict(settings.evaluator_options)
    if settings.latency_column is not None:
        if task is not None:
            raise HwnasError("--latency-column needs --evaluator table:FILE")
        options["extra_columns"] = [settings.latency_column]
    if task is None:
        return make_evaluator(settings.evaluator, space, None, **options)
    if settings.evaluator in TRAINS:
        options = {**recipe_changes(settings), **options}
    one_shot = strategy if isinstance(strategy, OneShotStrategy) else None
    method = None if one_shot is None else (one_shot.method, one_shot.method_options, one_shot.single)
    return make_evaluator(
        settings.evaluator,
        space,
        task,
        device=training_device(settings),
        seed=settings.seed,
        precision=evaluated_precision(settings.precision),
        initial=start.initial,
        initial_digest=start.digest,
        teacher=start.teacher,
        method=method,
        **options,
    )


def _make_low_fidelity(settings: SearchSettings, space: Space, task: Task | None, start: Start) -> Evaluator | None:
    """Make the low-fidelity evaluator: another column of a table, or another evaluator with its defaults."""
    if settings.low_fidelity is None:
        return None
    if task is None:
        return make_evaluator(settings.evaluator, space, None, accuracy_column=settings.low_fidelity)
    if settings.low_fidelity == settings.evaluator or settings.low_fidelity.startswith("table:"):
        raise HwnasError(
            f"--low-fidelity {settings.low_fidelity} cannot stand in for --evaluator {settings.evaluator}; name a "
            "cheaper evaluator"
        )
    return _make_evaluator(replace(settings, evaluator=settings.low_fidelity, evaluator_options={}), space, task, start)


def _unquantised(settings: SearchSettings, *evaluators: Evaluator | None) -> list[str]:
    """Return a line for each evaluator whose values are not those of the int8 networks that a search measures.

    Raises:
        HwnasError: The networks are of mixed precision: an evaluator that quantises none cannot tell them apart.
    """
    if settings.precision == "mixed":
        for evaluator in evaluators:
            if evaluator is not None and evaluator.metric.precision != "mixed":
                raise HwnasError(
                    f"--precision mixed needs an evaluator that quantises networks, {evaluator.name} does not; use "
                    "--evaluator supernet or train"
                )
    if settings.precision != "int8":
        return []
    return [
        f"--precision int8: evaluator {evaluator.name} quantises no network, its {evaluator.metric.name} is not that "
        "of the int8 network"
        for evaluator in evaluators
        if evaluator is not None and evaluator.metric.precision is None
    ]


def _require_any_order(*evaluators: Evaluator | None) -> None:
    """Refuse evaluators whose values depend on what was evaluated before."""
    for evaluator in evaluators:
        if evaluator is not None and evaluator.in_order:
            raise HwnasError(
                f"evaluator {evaluator.name} stops trainings early depending on earlier ones; use --workers 1, without "
                "--evaluation-timeout"
            )
