"""Evaluators by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import cast

from hwnas._common._plugins import load_plugin, make_plugin, only_taken, plugin_names, refuse_shadow, takes
from hwnas._errors import EvaluatorError
from hwnas.data import ImageData
from hwnas.evaluators._base import Evaluator
from hwnas.evaluators._proxy import PROXIES, ProxyEvaluator
from hwnas.evaluators._squares import require_squares
from hwnas.evaluators._supernet import SupernetEvaluator
from hwnas.evaluators._table import TableEvaluator
from hwnas.evaluators._train import TrainEvaluator
from hwnas.spaces import Architecture, Space
from hwnas.training import Recipe, default_recipe

_TABLE = "table:"
SUPERNETS_ALONE = ("random_subnets", "sampling", "candidates")
"""Fields of a recipe that only supernets use."""


def evaluator_names() -> list[str]:
    """What `make_evaluator` takes of ours, sorted."""
    return sorted(["supernet", "table:FILE", "train", *PROXIES])


def make_evaluator(
    spec: str,
    space: Space,
    data: ImageData | None = None,
    *,
    device: str = "cpu",
    seed: int = 0,
    threads: int | None = None,
    **options: object,
) -> Evaluator:
    """Build an evaluator.

    Args:
        spec: ``"supernet"``, ``"train"``, ``"table:FILE"``, a key of `PROXIES` or the name of a plug-in.
        space: the space whose networks are evaluated.
        data: the data set; not for tables.
        device: ``"cpu"`` or ``"cuda"``; not for tables.
        seed: of training.
        threads: of torch while training and evaluating; None for torch's default.
        options: fields of `hwnas.training.Recipe` (None: the default for the size of the data); ``calibration`` of
            ``supernet``; ``halving`` of ``train``. Proxies take ``images`` alone, ``table:FILE`` takes
            ``accuracy_column`` and ``known``.

    Raises:
        EvaluatorError: an unknown evaluator or option, or data that does not fit the space.
        PluginError: it is a plug-in's that cannot be used.
    """
    if spec.startswith(_TABLE):
        unknown = sorted(set(options) - {"accuracy_column", "known"})
        if unknown:
            raise EvaluatorError(f"evaluator table has no option {unknown[0]!r}; it takes accuracy_column, known")
        column = cast("str | None", options.get("accuracy_column"))
        known = tuple(cast("Sequence[str]", options.get("known") or ()))
        return TableEvaluator(space, spec.removeprefix(_TABLE), accuracy_column=column, known=known)
    if spec not in ("supernet", "train", *PROXIES):
        return _plugin(spec, space, data, {"device": device, "seed": seed, "threads": threads}, options)
    refuse_shadow("evaluator", spec)
    if data is None:
        raise EvaluatorError(f"evaluator {spec}: it needs a data set")
    _check_fit(space, data)
    if spec in PROXIES:
        unknown = sorted(set(options) - {"images"})
        if unknown:
            raise EvaluatorError(f"evaluator {spec} has no option {unknown[0]!r}; it takes images")
        images = cast(int, options.get("images", 64))
        return ProxyEvaluator(spec, space, data, images=images, seed=seed, device=device, threads=threads)
    if spec == "train":
        halving = cast("int | None", options.pop("halving", None))
        recipe = default_recipe(data, **options)
        return TrainEvaluator(space, data, recipe, seed=seed, device=device, threads=threads, halving=halving)
    calibration = options.pop("calibration", None)
    extra = {} if calibration is None else {"calibration": cast(int, calibration)}
    recipe = default_recipe(data, **options)
    return SupernetEvaluator(space, data, recipe, seed=seed, device=device, threads=threads, **extra)


def evaluator_parameters(spec: str) -> tuple[str, ...]:
    """Options that `make_evaluator` takes with a name.

    Raises:
        EvaluatorError: There is no evaluator of that name.
        PluginError: It is a plug-in's that cannot be used.
    """
    if spec.startswith(_TABLE):
        return ("accuracy_column", "known")
    if spec in PROXIES:
        return ("images",)
    recipe = tuple(field.name for field in fields(Recipe))
    if spec == "supernet":
        return (*recipe, "calibration")
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
    """Options of a plug-in's evaluator: what it takes beside the space and the data."""
    return takes(maker)[2:]


def _plugin(
    name: str, space: Space, data: ImageData | None, given: Mapping[str, object], options: Mapping[str, object]
) -> Evaluator:
    """An evaluator of a plug-in, which is called with space and data, its options, and what of `given` it takes."""
    maker = _plugin_maker(name)
    for option in options:
        if option not in takes(maker):
            taken = ", ".join(_plugin_parameters(maker)) or "none"
            raise EvaluatorError(f"evaluator {name} has no option {option!r}; it takes {taken}")
    if data is not None:
        _check_fit(space, data)
    wants = ("name", "settings", "evaluate", "measure", "trains")
    more = {**only_taken(maker, given), **options}
    made: Evaluator = make_plugin("evaluator", name, space, data, wants=wants, **more)
    return made


def _check_fit(space: Space, data: ImageData) -> None:
    """Raise `EvaluatorError` where the networks do not read such images or give other numbers of classes."""
    first = space.canonical(Architecture(tuple(choice.values[-1] for choice in space.choices)))
    graph = space.graph(first)
    require_squares(space, data)
    channels, classes = graph.input_shape[0], graph.output_shape[0]
    if channels != data.channels:
        raise EvaluatorError(
            f"data {data.name}: images have {data.channels} channels, the networks of the space read {channels}; "
            f"set image_channels={data.channels}"
        )
    if classes != len(data.classes):
        raise EvaluatorError(
            f"data {data.name}: {len(data.classes)} classes, the networks of the space tell {classes}; "
            f"set classes={len(data.classes)}"
        )
