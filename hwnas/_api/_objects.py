"""Names and objects that a search is given, and the settings that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas._api._given import refuse_options
from hwnas._api._settings import search_settings
from hwnas._common._option import renamed
from hwnas._errors import HwnasError
from hwnas._pipeline._overrides import NO_DATA, Overrides
from hwnas._runs._options import DATA_SHORTHANDS, DEVICE, EVALUATOR, SPACE_SHORTHANDS, default, setting_options
from hwnas._runs._settings import SearchSettings
from hwnas.evaluators import Evaluator
from hwnas.spaces import Space
from hwnas.tasks import DataSet, Task, as_task
from latency_tables import LatencyTable
from profilers import Backend
from search import Strategy

_OBJECTS = ("space", "data", "evaluator", "strategy", "table", "device")
"""Options that may be objects."""


def objects_of(given: Mapping[str, Any]) -> Overrides:
    """Return the options that are given as objects.

    Raises:
        HwnasError: Something is neither a name nor an object of the kind: a class, most likely.
    """
    for name, kind in (("space", Space), ("evaluator", Evaluator)):
        if not isinstance(given[name], (str, kind)) and not (name == "space" and given[name] is None):
            raise HwnasError(f"{name} must be a name or an instance of hwnas.{kind.__name__}, got {given[name]!r}")
    strategy, data, table = given["strategy"], given["data"], given["table"]
    if not isinstance(strategy, str) and (isinstance(strategy, type) or not hasattr(strategy, "propose")):
        raise HwnasError(f"strategy must be a name or an instance with a method propose, got {strategy!r}")
    return Overrides(
        space=None if isinstance(given["space"], str) else given["space"],
        task=as_task(data) if isinstance(data, (Task, DataSet)) else None,
        evaluator=None if isinstance(given["evaluator"], str) else given["evaluator"],
        strategy=None if isinstance(strategy, str) else strategy,
        table=table if isinstance(table, LatencyTable) else None,
        backend=None if isinstance(given["device"], str) else given["device"],
    )


def settings_of(objects: Overrides, given: Mapping[str, Any], more: Mapping[str, Any], out: Path) -> SearchSettings:
    """Return the settings that names and objects stand for.

    Args:
        objects: What is given as an object.
        given: Named arguments of `hwnas.search`.
        more: Its other options.
        out: The run directory.

    Raises:
        HwnasError: An option is unknown, or belongs to something that is given as an object.
    """
    more = renamed(setting_options(), more)
    known = {option.name for option in setting_options()} - given.keys()
    for name in more:
        if name not in known:
            raise HwnasError(f"search has no setting {name!r}; known settings: {', '.join(sorted(known))}")
    _refuse_settings_of(objects, more)
    named = {**given, **{name: _name(name, given) for name in _OBJECTS}}
    if objects.task is not None:
        named["task"] = objects.task.name
    if objects.backend is not None:
        named["batch"] = objects.backend.batch
    settings = search_settings({**named, **more}, out, space_is_object=objects.space is not None)
    return settings if objects.space is None else replace(settings, space_settings=objects.space.settings)


def _refuse_settings_of(objects: Overrides, more: Mapping[str, Any]) -> None:
    """Refuse settings of what is an object, which has its own."""
    if objects.space is not None:
        refuse_options(more, ("space_settings", *(set(SPACE_SHORTHANDS) - {"image_size"})), "space")
    if objects.task is not None:
        refuse_options(more, (*DATA_SHORTHANDS, "data_options"), "data")
    if objects.evaluator is not None:
        refuse_options(more, (*EVALUATOR, "evaluator_options"), "evaluator")
    if objects.strategy is not None:
        refuse_options(more, ("strategy_options",), "strategy")
        if more.get("low_fidelity") is not None:
            raise HwnasError("low_fidelity needs strategy='lamoo', got an object")
    if objects.backend is not None:
        refuse_options(more, (option.name for option in DEVICE), "device")


def _name(option: str, given: Mapping[str, Any]) -> str | None:
    """Return the name in the settings of an option that may be an object."""
    value: Space | Evaluator | Strategy | Backend | Task | DataSet | LatencyTable | str | Path | None = given[option]
    if option == "data" and value is None:
        evaluator = _name("evaluator", given) or ""
        return str(default("data")) if evaluator.startswith("table:") else NO_DATA
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, LatencyTable):
        return str(value.source or "the given one")
    if option == "device" and hasattr(value, "identity"):
        return str(value.identity()["device"])
    if isinstance(value, (Task, DataSet)):
        return as_task(value).data_name
    if isinstance(value, Path):
        return str(value)
    if not isinstance(getattr(value, "name", None), str):
        kind = {"data": "a path, a data set or a task", "table": "a path or a table"}.get(
            option, "a name or an object of it"
        )
        raise HwnasError(f"{option} must be {kind}, got {type(value).__name__}")
    return value.name  # type: ignore[union-attr]
