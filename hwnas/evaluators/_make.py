"""Evaluators by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from hwnas._common._plugins import load_plugin, make_plugin, only_taken, plugin_names, refuse_shadow, takes
from hwnas._common._seeds import is_whole
from hwnas._errors import EvaluatorError
from hwnas.evaluators._base import Evaluator, require_current
from hwnas.evaluators._oneshot import OneShotEvaluator
from hwnas.evaluators._proxy import PROXIES, ProxyEvaluator
from hwnas.evaluators._supernet import SupernetEvaluator
from hwnas.evaluators._table import TableEvaluator
from hwnas.evaluators._train import TrainEvaluator
from hwnas.spaces import Space
from hwnas.tasks import DataSet, Task, as_task
from hwnas.training import default_recipe, recipe_settings

if TYPE_CHECKING:
    from hwnas.training import Teacher

_TABLE = "table:"
SUPERNETS_ALONE = ("random_subnets", "sampling", "candidates", "taught_by")
"""Fields of a recipe that only supernets use."""


def evaluator_names() -> list[str]:
    """Return the names of the built-in evaluators, sorted."""
    return sorted(["supernet", "table:FILE", "train", *PROXIES])


def make_evaluator(
    spec: str,
    space: Space,
    data: Task | DataSet | None = None,
    *,
    device: str = "cpu",
    seed: int = 0,
    threads: int | None = None,
    precision: str = "fp32",
    initial: Mapping[str, npt.NDArray[np.float32]] | None = None,
    initial_digest: str | None = None,
    teacher: Teacher | None = None,
    method: tuple[str, Mapping[str, object], float] | None = None,
    **options: object,
) -> Evaluator:
    """Build an evaluator.

    Args:
        spec: ``"supernet"``, ``"train"``, ``"table:FILE"``, a key of `PROXIES` or the name of a plug-in.
        space: The space whose networks are evaluated.
        data: What networks are trained for: a task, or loaded data (`hwnas.data`); not for tables.
        device: ``"cpu"`` or ``"cuda"``; not for tables.
        seed: Decides everything random in training.
        threads: Torch's threads while training and evaluating; None for its own choice.
        precision: ``"int8"`` for the metric of quantised networks, where the evaluator has weights to quantise.
        initial: Weights that trainings of ``supernet`` and ``train`` start from (see these); others do not use them.
        initial_digest: What tells them from others; None for their own SHA-256.
        teacher: A trained network that these trainings learn from.
        method: Name, options and `single` of the one-shot method that trains the supernet (`OneShotEvaluator`); None
            for none.
        options: Settings of the training (`hwnas.training.recipe_settings`; None: the default for the task);
            ``bn_statistics`` of ``supernet``; ``halving`` of ``train``. Proxies take ``samples`` alone, ``table:FILE``
            takes ``accuracy_column`` and ``extra_columns``.

    Raises:
        EvaluatorError: An unknown evaluator or option, an impossible seed or number of threads, or data that does not
            fit the space.
        PluginError: It is a plug-in's that cannot be used.
    """
    if not is_whole(seed) or seed < 0:
        raise EvaluatorError(f"evaluator {spec}: the seed must be a whole number of 0 or more, got {seed!r}")
    if threads is not None and (not is_whole(threads) or threads < 1):
        raise EvaluatorError(f"evaluator {spec}: the threads must be a whole number of 1 or more, got {threads!r}")
    if spec.startswith(_TABLE):
        unknown = sorted(set(options) - {"accuracy_column", "extra_columns"})
        if unknown:
            raise EvaluatorError(
                f"evaluator table has no option {unknown[0]!r}; known options: accuracy_column, extra_columns"
            )
        column = cast("str | None", options.get("accuracy_column"))
        extra = tuple(cast("Sequence[str]", options.get("extra_columns") or ()))
        return TableEvaluator(space, spec.removeprefix(_TABLE), column=column, extra_columns=extra)
    task = None if data is None else as_task(data)
    if spec not in ("supernet", "train", *PROXIES):
        given: dict[str, object] = {"device": device, "seed": seed, "threads": threads}
        if precision != "fp32":  # else a plug-in's own option of that name keeps its default
            given["precision"] = precision
        return _plugin(spec, space, task, given, options)
    refuse_shadow("evaluator", spec)
    if task is None:
        raise EvaluatorError(f"evaluator {spec}: it needs a data set")
    task.require_fit(space)
    if spec in PROXIES:
        unknown = sorted(set(options) - {"samples", "images"})
        if unknown:
            raise EvaluatorError(f"evaluator {spec} has no option {unknown[0]!r}; known options: samples")
        samples = cast(int, options.get("samples", options.get("images", 64)))  # the latter in earlier versions
        return ProxyEvaluator(spec, space, task, samples=samples, seed=seed, device=device, threads=threads)
    common = {"seed": seed, "device": device, "threads": threads, "precision": precision}
    start = {"initial": initial, "initial_digest": initial_digest, "teacher": teacher}
    if spec == "train":
        halving = cast("int | None", options.pop("halving", None))
        recipe = default_recipe(task, **options)
        return TrainEvaluator(space, task, recipe, halving=halving, **common, **start)  # type: ignore[arg-type]
    statistics = options.pop("bn_statistics", options.pop("calibration", None))  # the latter in earlier versions
    more: dict[str, float] = {} if statistics is None else {"bn_statistics": cast(int, statistics)}
    recipe = default_recipe(task, **options)
    recipe.require_one_size()
    if method is not None:
        name, own, single = method
        more = {**more, "single": single}
        return OneShotEvaluator(name, own, space, task, recipe, **common, **start, **more)  # type: ignore[arg-type]
    return SupernetEvaluator(space, task, recipe, **common, **start, **more)  # type: ignore[arg-type]


def evaluator_parameters(spec: str) -> tuple[str, ...]:
    """Return options that `make_evaluator` takes with a name, except settings of training that only some tasks have.

    Raises:
        EvaluatorError: There is no evaluator of that name.
        PluginError: It is a plug-in's that cannot be used.
    """
    if spec.startswith(_TABLE):
        return ("accuracy_column", "extra_columns")
    if spec in PROXIES:
        return ("samples",)
    recipe = recipe_settings()
    if spec == "supernet":
        return (*recipe, "bn_statistics")
    if spec == "train":
        return (*(name for name in recipe if name not in SUPERNETS_ALONE), "halving")
    return _plugin_parameters(_plugin_maker(spec))


def _plugin_maker(name: str) -> Callable[..., Evaluator]:
    maker = load_plugin("evaluator", name)
    if maker is None:
        known = ", ".join([*evaluator_names(), *plugin_names("evaluator", evaluator_names())])
        raise EvaluatorError(f"unknown evaluator {name!r}; known: {known}")
    return maker


def _plugin_parameters(maker: Callable[..., Evaluator]) -> tuple[str, ...]:
    """Return options of a plug-in's evaluator: what it takes beside the space and the data."""
    return takes(maker)[2:]


def _plugin(
    name: str, space: Space, task: Task | None, given: Mapping[str, object], options: Mapping[str, object]
) -> Evaluator:
    """Make a plug-in's evaluator from space, data, its options, and what it takes of `given` and the task."""
    maker = _plugin_maker(name)
    for option in options:
        if option not in takes(maker):
            taken = ", ".join(_plugin_parameters(maker)) or "none"
            raise EvaluatorError(f"evaluator {name} has no option {option!r}; known options: {taken}")
    if task is not None:
        task.require_fit(space)
    wants = ("name", "settings", "evaluate", "metric")
    more = {**only_taken(maker, {**given, "task": task}), **options}
    data = None if task is None else task.data
    made: Evaluator = make_plugin("evaluator", name, space, data, wants=wants, **more)
    require_current(made)
    return made
