"""Strategies by name: those of `search`, and plug-ins."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import search
from hwnas._common._plugins import load_plugin, make_plugin, plugin_names, refuse_shadow, takes
from search import STRATEGIES, SearchError, Strategy

_MAKE: Callable[..., Strategy] = search.make_strategy


def strategy_names() -> list[str]:
    """What `make_strategy` takes: ours, then plug-ins."""
    return [*STRATEGIES, *plugin_names("strategy", STRATEGIES)]


def make_strategy(name: str, **options: object) -> Strategy:
    """Make a strategy.

    Args:
        name: Its name.
        options: Its options; the others keep their defaults.

    Raises:
        SearchError: There is none of that name, it does not take an option, or the package that it needs is not
            installed.
        PluginError: A plug-in cannot be used.
    """
    if name in STRATEGIES:
        refuse_shadow("strategy", name)
        if options and "options" not in inspect.signature(search.make_strategy).parameters:
            raise SearchError(f"strategy {name} has no option {next(iter(options))!r}")
        return _MAKE(name, **options)
    maker = load_plugin("strategy", name)
    if maker is None:
        raise SearchError(f"unknown strategy {name!r}; choose from {', '.join(strategy_names())}")
    for option in options:
        if option not in takes(maker):
            taken = ", ".join(takes(maker)) or "none"
            raise SearchError(f"strategy {name} has no option {option!r}; it takes {taken}")
    made: Strategy = make_plugin("strategy", name, wants=("name", "propose"), **options)
    return made
