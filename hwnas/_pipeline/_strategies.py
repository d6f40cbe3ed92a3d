"""Strategies by name: those of `search`, and plug-ins."""

from __future__ import annotations

import search
from hwnas._common._plugins import load_plugin, make_plugin, plugin_names, refuse_shadow
from search import STRATEGIES, SearchError, Strategy


def strategy_names() -> list[str]:
    """What `make_strategy` takes: ours, then plug-ins."""
    return [*STRATEGIES, *plugin_names("strategy", STRATEGIES)]


def make_strategy(name: str) -> Strategy:
    """The strategy called `name`, with its default settings.

    Raises:
        SearchError: there is none of that name, or the package that it needs is not installed.
        PluginError: a plug-in cannot be used.
    """
    if name in STRATEGIES:
        refuse_shadow("strategy", name)
        return search.make_strategy(name)
    if load_plugin("strategy", name) is None:
        raise SearchError(f"unknown strategy {name!r}; choose from {', '.join(strategy_names())}")
    made: Strategy = make_plugin("strategy", name, wants=("name", "propose"))
    return made
