"""From the options of a search, as they are typed or as Python gives them, to its settings.

One reading for both faces: ``--latency-budget 4ms --epochs 4`` and ``latency_budget="4ms", epochs=4`` are one search.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas._api._given import read_options, space_settings
from hwnas._api._several import with_devices
from hwnas._common._option import Option, dashed, plain
from hwnas._costs._cost import bound_of, cost_named
from hwnas._errors import HwnasError
from hwnas._pipeline._model import read_model
from hwnas._runs._kept_files import given_file
from hwnas._runs._options import (
    DATA_SHORTHANDS,
    EVALUATOR_SHORTHANDS,
    SETTINGS,
    budget_options,
    default,
    setting_options,
)
from hwnas._runs._record import SETTINGS as SETTINGS_FILE
from hwnas._runs._record import read_record
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import REACH, DeclaredSpace, DerivedSpace, is_file, read_declaration
from hwnas.tasks import usual_space, usual_task

_TABLE = "table:"
_NO_DATA_OPTIONS = {
    "data": "--data",
    "name": "--task",
    "image_size": "--image-size",
    "seed": "--seed",
    "limit": "--data-limit",
}
"""What tasks take from options of the whole search."""


def search_settings(
    given: Mapping[str, Any], out: Path | None = None, *, space_is_object: bool = False
) -> SearchSettings:
    """Return the settings of a search.

    Args:
        given: Options of the command line by name, with ``_`` for ``-``, and attributes of `SearchSettings`; None
            stands for the default. Texts are read as on the command line; numbers of latencies are milliseconds.
        out: The run directory; it keeps the declaration of its space, should the file be gone.
        space_is_object: Whether ``space`` is the name of an object, which has its settings already.

    Raises:
        HwnasError: An option is unknown, does not belong to the space or evaluator, or cannot be read.
    """
    values = with_devices(read_options("search", setting_options(), given))
    if not space_is_object:
        values |= _declared(values, out)
        values |= _derived(values, out)
    settings = {name: value for name, value in values.items() if name in SETTINGS}
    evaluator = values.get("evaluator", default("evaluator"))
    settings["data_options"] = data_options = _data_options(values)
    if not space_is_object:
        settings["space"] = space = values.get("space") or _usual_space(evaluator, values, data_options)
        settings["space_settings"] = space_settings(space, values, loads_images=True)
        if evaluator.startswith(_TABLE) and "image_size" in values and "image_size" in settings["space_settings"]:
            del settings["image_size"]  # the space's alone: no images are loaded
    settings["evaluator_options"] = _evaluator_options(evaluator, values)
    settings["budgets"] = _budgets(values)
    settings["final_recipe"] = _recipe(values, "final_recipe", "final_epochs")
    return SearchSettings(**settings)


def _declared(values: Mapping[str, Any], out: Path | None) -> dict[str, Any]:
    """Replace a file that declares a space by the declaration, so that nothing needs the file again.

    Raises:
        HwnasError: The file cannot be read, and the run does not hold the declaration either.
    """
    name = values.get("space")
    if not isinstance(name, str) or not is_file(name):
        return {}
    kept: Any = None
    if out is not None and not Path(name).exists() and (out / SETTINGS_FILE).exists():
        kept = read_record(out)["settings"].get("space_settings", {}).get("declaration")
    declaration = read_declaration(Path(name)) if kept is None else kept
    settings = {**values.get("space_settings", {}), "declaration": declaration}
    return {"space": DeclaredSpace.name, "space_settings": settings}


def _derived(values: Mapping[str, Any], out: Path | None) -> dict[str, Any]:
    """Return the space of a trained network and its settings, so that only trainings need the file again.

    How far it reaches below the model (`REACH`) follows from the budgets, unless the options say it.

    Raises:
        HwnasError: Another space is named too, the file is missing, or nothing of the model can be left out.
        ProfilerError: The file cannot be read.
    """
    if "model" not in values:
        if values.get("space") == DerivedSpace.name:
            raise HwnasError("--space derived is the space of a trained model; name the model: --model FILE")
        return {}
    if values.get("space", DerivedSpace.name) != DerivedSpace.name:
        raise HwnasError(f"--model has a space of its own, got --space {values['space']}; leave one of them out")
    path = given_file(out or Path(), "model", values["model"])
    options = values.get("space_settings", {})
    settings = read_model(path, options).space.settings
    chosen = {name: value for name, value in settings.items() if name not in REACH or name in options}
    return {"space": DerivedSpace.name, "space_settings": chosen}


def _usual_space(evaluator: str, values: Mapping[str, Any], data_options: Mapping[str, Any]) -> str:
    """Return the space that is searched where none is named: it follows from the task, and that from the data."""
    if evaluator.startswith(_TABLE):
        return str(default("space"))
    return usual_space(values.get("task") or usual_task(values.get("data", default("data")), data_options))


def _data_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of how data are read, those with a name of their own among them; names are in lists.

    Raises:
        HwnasError: One is given twice, or cannot be read.
    """
    options = dict(values.get("data_options", {}))
    for name, own in _NO_DATA_OPTIONS.items():
        if name in options:
            raise HwnasError(f"--data-option cannot set {name}; give {own}")
    for name, option in DATA_SHORTHANDS.items():
        if name in values and name in options:
            raise HwnasError(f"{name} is given twice, as {dashed(name)} and as --data-option; leave one out")
        if name in values or name in options:
            value = values[name] if name in values else option.read(options[name])
            options[name] = list(value) if isinstance(value, tuple) else value
    return options


def _evaluator_options(evaluator: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the evaluator that were given; those of another evaluator are refused."""
    options = {**values.get("evaluator_options", {}), **_recipe(values, "recipe", "epochs")}
    given = {option: name for option, name in EVALUATOR_SHORTHANDS.items() if option in values}
    if given:
        from hwnas.evaluators import evaluator_parameters

        for option, name in given.items():
            if name not in evaluator_parameters(evaluator):
                raise HwnasError(f"{dashed(option)} is not an option of evaluator {evaluator}; leave it out")
            options[name] = values[option]
    return options


def _recipe(values: Mapping[str, Any], recipe: str, epochs: str) -> dict[str, Any]:
    """Return settings of a training, with the epochs that have an option of their own."""
    settings = dict(values.get(recipe, {}))
    return {**settings, "epochs": values[epochs]} if epochs in values else settings


def _budgets(values: Mapping[str, Any]) -> dict[str, float]:
    """Return upper bounds by the key of a cost, from ``budgets`` and from an option for each cost."""
    bounds = dict(values.get("budgets", {}))
    for name, option in budget_options().items():
        if option.name in values:
            _require_once(name, option, bounds)
            bounds[name] = values[option.name]
    budgets: dict[str, float] = {}
    for name, value in bounds.items():
        cost = cost_named(name, "budgets")
        if cost.key in budgets:
            raise HwnasError(f"budget {cost.name} is given twice, once as {cost.also}; leave one out")
        budgets[cost.key] = bound_of(cost, plain(value))
    return budgets


def _require_once(name: str, option: Option, bounds: Mapping[str, Any]) -> None:
    if name in bounds:
        raise HwnasError(f"budget {name} is given twice, in budgets and as {option.name}; leave one out")
