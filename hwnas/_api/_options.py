"""Options of the commands, as they are typed or as Python gives them, and the settings that they stand for.

One reading for both faces: ``--latency-budget 4ms --epochs 4`` and ``latency_budget="4ms", epochs=4`` are one search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from hwnas._errors import HwnasError
from hwnas._runs._record import SETTINGS, read_record
from hwnas._runs._settings import OBJECTIVES, SearchSettings, parse_count, parse_latency, parse_recipe

MOBILE = ("preset", "resolution", "width")
"""Options of the space mobilenetv3."""
SPACE = (*MOBILE, "image_size", "classes", "image_channels")
_BUDGETS = {f"{word}_budget": word for word in OBJECTIVES}
EVALUATOR = ("epochs", "recipe", "halving", "supernet_sampling", "accuracy_column")
"""Options of evaluators."""
_FINAL = ("final_epochs", "final_recipe")
_MOST = 1e300


def search_option_names() -> set[str]:
    """What `search_settings` takes: options of `hwnas search`, and attributes of `SearchSettings`."""
    return {*(item.name for item in fields(SearchSettings)), *SPACE, *_BUDGETS, *EVALUATOR, *_FINAL}


def search_settings(given: Mapping[str, Any], out: Path | None = None) -> SearchSettings:
    """The settings of a search.

    Args:
        given: options of the command line by name, with ``_`` for ``-``, and attributes of `SearchSettings`; None
            stands for the default. Texts are read as on the command line; numbers of latencies are milliseconds.
        out: the run directory; it keeps the declaration of its space, should the file be gone.

    Raises:
        HwnasError: an unknown option, one of another space or evaluator, or a value that cannot be read.
    """
    known = search_option_names()
    if unknown := sorted(set(given) - known):
        raise HwnasError(f"search has no setting {unknown[0]!r}; it takes {', '.join(sorted(known))}")
    rest = {name: _plain(value) for name, value in given.items() if value is not None}
    rest |= _declared(rest, out)
    evaluator = rest.get("evaluator", SearchSettings.evaluator)
    looked_up = str(evaluator).startswith("table:")
    found: dict[str, Any] = {
        "space_settings": {**_mapping("space_settings", rest), **space_settings(rest)},
        "evaluator_options": {**_mapping("evaluator_options", rest), **_evaluator_options(rest, str(evaluator))},
        "budgets": _budgets(rest),
        "final_recipe": _recipe("final_recipe", rest.get("final_recipe"), rest.get("final_epochs")),
        "minimize": names_of("minimize", rest.get("minimize", SearchSettings.minimize)),
    }
    if looked_up and "image_size" in _image_settings(rest):
        rest.pop("image_size", None)  # of the space alone: no images are loaded
    attributes = {item.name for item in fields(SearchSettings)} - found.keys()
    found |= {name: value for name, value in rest.items() if name in attributes}
    _require_kinds(found)
    return SearchSettings(**found)


def space_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the space that options name.

    Args:
        given: options by name; those of other things are passed over.

    Raises:
        HwnasError: an option belongs to another space, or a list cannot be read.
    """
    space = given.get("space", SearchSettings.space)
    mobile = {name: given[name] for name in MOBILE if given.get(name) is not None}
    for name, kind in (("resolution", int), ("width", float)):
        if name in mobile:
            mobile[name] = _numbers(f"--{name}", mobile[name], kind)
    if mobile and space != "mobilenetv3":
        raise HwnasError(f"--{next(iter(mobile))} is an option of mobilenetv3, not of {space}")
    return {**mobile, **{name: given[name] for name in _image_settings(given) if given.get(name) is not None}}


def _image_settings(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Options about images and classes that are settings of the space."""
    space = given.get("space", SearchSettings.space)
    declaration = _mapping("space_settings", given).get("declaration")
    if declaration is None and str(space).endswith(".json"):
        from hwnas.spaces import read_declaration

        declaration = read_declaration(Path(space))
    declared = declaration.get("settings") if isinstance(declaration, Mapping) else None
    sized = "image_size" in declared if isinstance(declared, Mapping) else space == "nasbench201"
    return ("classes", "image_channels", *(["image_size"] if sized else []))


def _declared(given: Mapping[str, Any], out: Path | None) -> dict[str, Any]:
    """Replace a file that declares a space by the declaration, so that nothing needs the file again.

    Raises:
        HwnasError: the file cannot be read, and the run does not hold the declaration either.
    """
    name = given.get("space")
    if not isinstance(name, str) or not name.endswith(".json"):
        return {}
    from hwnas.spaces import DeclaredSpace, read_declaration

    kept: Any = None
    if out is not None and not Path(name).exists() and (out / SETTINGS).exists():
        kept = read_record(out)["settings"].get("space_settings", {}).get("declaration")
    declaration = read_declaration(Path(name)) if kept is None else kept
    return {
        "space": DeclaredSpace.name,
        "space_settings": {**_mapping("space_settings", given), "declaration": declaration},
    }


def profiled_space(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a space to profile: `space_settings`, but that nothing is passed over.

    Raises:
        HwnasError: as there, or ``image_size`` for a space that takes resolutions.
    """
    if given.get("space", SearchSettings.space) == "mobilenetv3" and given.get("image_size") is not None:
        raise HwnasError("--image-size is an option of nasbench201; mobilenetv3 takes --resolution")
    return space_settings(given)


def names_of(option: str, value: object) -> tuple[str, ...]:
    """One name, several with commas between, or a sequence of names.

    Raises:
        HwnasError: it is none of these.
    """
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise HwnasError(f"{option} must be names, like 'latency' or 'latency,macs', not {value!r}")
    return tuple(value)


def _budgets(given: Mapping[str, Any]) -> dict[str, float]:
    """Upper bounds by cost name, from ``budgets`` and from an option for each cost."""
    words = dict(_mapping("budgets", given))
    for option, word in _BUDGETS.items():
        if option in given:
            if word in words:
                raise HwnasError(f"budget {word} is given twice, in budgets and as {option}; leave one out")
            words[word] = given[option]
    return {OBJECTIVES[_cost(word)]: _bound(word, _plain(value)) for word, value in words.items()}


def _cost(word: str) -> str:
    if word not in OBJECTIVES:
        raise HwnasError(f"unknown cost {word!r} in budgets; known costs: {', '.join(OBJECTIVES)}")
    return word


def _bound(word: str, value: object) -> float:
    if isinstance(value, str):
        value = parse_latency(value) if word == "latency" else parse_count(value)
    if type(value) not in (int, float) or not 0 < value <= _MOST:  # type: ignore[operator]
        raise HwnasError(f"budget {word} must be a positive number, or like '4ms' or '600k', not {value!r}")
    return float(value)  # type: ignore[arg-type]


def _evaluator_options(given: Mapping[str, Any], evaluator: str) -> dict[str, Any]:
    """Options of the evaluator that were given; those of another evaluator are refused."""
    found = _recipe("recipe", given.get("recipe"), given.get("epochs"))
    for option, (name, owner) in {
        "halving": ("halving", "train"),
        "supernet_sampling": ("sampling", "supernet"),
    }.items():
        if option in given:
            if evaluator != owner:
                raise HwnasError(f"{_typed(option)} goes with --evaluator {owner}")
            found[name] = given[option]
    if "accuracy_column" in given:
        found["accuracy_column"] = given["accuracy_column"]
    return found


def _recipe(option: str, value: object, epochs: int | None) -> dict[str, Any]:
    """Settings of a training, with the epochs that have an option of their own."""
    if isinstance(value, str):
        value = parse_recipe(_typed(option), value)
    recipe = dict(_mapping(option, {option: value} if value is not None else {}))
    return recipe if epochs is None else {**recipe, "epochs": epochs}


def _mapping(option: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    value = given.get(option, {})
    if not isinstance(value, Mapping):
        raise HwnasError(f"{option} must be a dictionary, not {value!r}")
    return value


def _numbers(option: str, value: object, kind: Callable[[Any], int | float]) -> list[int | float]:
    parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, Real) else value
    try:
        return [kind(part) for part in parts]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise HwnasError(f"cannot read {option} {value!r}; write numbers with commas between, like 16,32") from None


def _plain(value: Any) -> Any:
    """Numbers of other libraries as Python's own."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _require_kinds(found: Mapping[str, Any]) -> None:
    """Refuse values of another type than their attribute has; None is no value here."""
    optional = {"data_limit": int, "image_size": int, "evaluation_threads": int}
    for item in fields(SearchSettings):
        if item.name not in found or item.default is MISSING:
            continue
        kind = optional.get(item.name, str if item.default is None else type(item.default))
        value = found[item.name]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            names = {int: "a whole number", str: "a text", bool: "True or False", tuple: "names"}
            raise HwnasError(f"{_typed(item.name)} must be {names.get(kind, kind.__name__)}, not {value!r}")


def _typed(option: str) -> str:
    return f"--{option.replace('_', '-')}"
