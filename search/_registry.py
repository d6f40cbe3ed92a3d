"""Strategies by name. The registry follows from the classes: a new strategy is one file in `search/strategies`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

import search.lamoo
import search.strategies
from search._errors import SearchError
from search._options import OptionValue, StrategyOption, check_options, parse_options
from search._packages import require_package
from search.strategies import NamedStrategy, Strategy

__all__ = [
    "STRATEGIES",
    "STRATEGY_VARIANTS",
    "make_strategy",
    "parse_strategy_options",
    "strategy_names",
    "strategy_options",
]


def _strategy_classes() -> dict[str, type[NamedStrategy]]:
    """Find every `NamedStrategy` with a name of its own: LaMOO first, the others in the order of their modules."""
    classes: dict[str, type[NamedStrategy]] = {}
    for package in (search.lamoo, search.strategies):
        for info in iter_modules(package.__path__, f"{package.__name__}."):
            for member in vars(import_module(info.name)).values():
                own = isinstance(member, type) and member.__module__ == info.name and issubclass(member, NamedStrategy)
                if own and "name" in vars(member):
                    classes[member.name] = member
    return classes


_CLASSES = _strategy_classes()

STRATEGIES: tuple[str, ...] = tuple(_CLASSES)
"""Names of the strategies, whether the packages that they need are installed or not."""

STRATEGY_VARIANTS: Mapping[str, tuple[str, Mapping[str, OptionValue]]] = {
    variant: (name, options) for name, kind in _CLASSES.items() for variant, options in kind.variants.items()
}
"""Names that stand for a strategy with some options set: by each of them the strategy and these options."""


def strategy_names() -> list[str]:
    """List every name that `make_strategy` takes: the strategies, then the variants."""
    return [*STRATEGIES, *STRATEGY_VARIANTS]


def _resolve(name: str) -> tuple[type[NamedStrategy], Mapping[str, OptionValue]]:
    """Find the class that a name stands for, and the options that the name sets."""
    if name in _CLASSES:
        return _CLASSES[name], {}
    if name in STRATEGY_VARIANTS:
        strategy, options = STRATEGY_VARIANTS[name]
        return _CLASSES[strategy], options
    raise SearchError(f"unknown strategy {name!r}; choose from {', '.join(STRATEGIES)}")


def strategy_options(name: str) -> tuple[StrategyOption, ...]:
    """List the options of a strategy: name, type, default, allowed values and a line of help for each.

    Args:
        name: Name of a strategy or a variant; a variant does not take the options that it sets.

    Raises:
        SearchError: There is no strategy of that name.
    """
    kind, fixed = _resolve(name)
    return tuple(option for option in kind.options if option.name not in fixed)


def parse_strategy_options(name: str, texts: Iterable[str]) -> dict[str, OptionValue]:
    """Read options from texts ``name=value``, as keywords for `make_strategy`.

    Args:
        name: Name of a strategy or a variant.
        texts: One text for each option.

    Raises:
        SearchError: There is no such strategy, a text is not of this form, an option is unknown or given
            twice, or its value is not allowed. The message lists what is allowed.
    """
    return parse_options(name, strategy_options(name), texts)


def make_strategy(name: str, **options: object) -> Strategy:
    """Make a strategy.

    Args:
        name: Name of a strategy or a variant.
        options: Options of the strategy (see `strategy_options`); the others keep their defaults.

    Returns:
        The strategy. Its `name` states the options that differ from their defaults.

    Raises:
        SearchError: There is no such strategy, an option is not allowed, or a package is not installed.
    """
    kind, fixed = _resolve(name)
    given = {**fixed, **check_options(name, strategy_options(name), options)}
    values = {option.name: given.get(option.name, option.default) for option in kind.options}
    changed = {option.name: values[option.name] for option in kind.options if values[option.name] != option.default}
    conflict = kind.conflict(changed)
    if conflict is not None:
        raise SearchError(f"strategy {name}: {conflict}")
    for package in kind.packages_for(values):
        require_package(package, f"strategy {name}", kind.extra)
    strategy = kind.from_options(values)
    strategy.name = _label(kind, changed)
    return strategy


def _label(kind: type[NamedStrategy], changed: Mapping[str, OptionValue]) -> str:
    """Name a strategy by its options that differ from their defaults."""
    for variant, options in kind.variants.items():
        if changed == options:
            return variant
    listed = ", ".join(f"{name}={value}" for name, value in changed.items())
    return f"{kind.name}({listed})" if listed else kind.name
