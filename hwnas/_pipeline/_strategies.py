"""Strategies by name: those of `search`, one-shot methods, and plug-ins."""

from __future__ import annotations

from collections.abc import Iterable

import search
from hwnas._common._plugins import (
    PluginError,
    distribution_of,
    load_plugin,
    make_plugin,
    plugin_names,
    refuse_shadow,
    takes,
)
from hwnas._pipeline._oneshot_strategy import OneShotStrategy, one_shot_options
from hwnas.oneshot import METHODS
from search import OptionValue, SearchError, Strategy, StrategyOption


def strategy_names() -> list[str]:
    """Return the strategies that `make_strategy` takes: ours without their variants, one-shot methods, plug-ins."""
    ours = [*search.strategy_names(), *METHODS]
    return [*search.STRATEGIES, *METHODS, *plugin_names("strategy", ours), *plugin_names("one-shot", ours)]


def strategy_options(name: str) -> tuple[StrategyOption, ...]:
    """Return the options that a strategy declares; a plug-in may declare them as the class attribute ``options``.

    One that declares none takes the arguments of its constructor as they are.

    Raises:
        SearchError: There is no strategy of that name.
        PluginError: A plug-in cannot be loaded.
    """
    if name in search.strategy_names():
        return search.strategy_options(name)
    if _is_one_shot(name):
        return one_shot_options(name)
    maker = load_plugin("strategy", name)
    if maker is None:
        raise SearchError(f"unknown strategy {name!r}; choose from {', '.join(strategy_names())}")
    declared = getattr(maker, "options", ())
    options = declared if isinstance(declared, tuple) else ()
    return tuple(option for option in options if isinstance(option, StrategyOption))


def parse_strategy_options(name: str, texts: Iterable[str]) -> dict[str, OptionValue]:
    """Return the options that texts ``name=value`` state, as keywords for `make_strategy`.

    Raises:
        SearchError: There is no strategy of that name, an option is unknown, or its value is not allowed.
        PluginError: A plug-in cannot be loaded.
    """
    return search.parse_options(name, strategy_options(name), texts)


def make_strategy(name: str, **options: object) -> Strategy:
    """Make a strategy.

    Args:
        name: A strategy, a variant or a plug-in.
        options: Options of the strategy; the others keep their defaults.

    Raises:
        SearchError: There is none of that name, an option is not allowed, or a package is not installed.
        PluginError: A plug-in cannot be used.
    """
    if name in search.strategy_names():
        _refuse_shadows(name)
        return search.make_strategy(name, **options)
    if _is_one_shot(name):
        if name in METHODS:
            _refuse_shadows(name)
        return OneShotStrategy(name, options)
    declared = strategy_options(name)
    if declared:
        options = dict(search.check_options(name, declared, options))
    else:
        _require_taken(name, options)
    made: Strategy = make_plugin("strategy", name, wants=("name", "propose"), **options)
    return made


def _is_one_shot(name: str) -> bool:
    """Return whether a name that is none of `search` is that of a one-shot method.

    Raises:
        PluginError: Plug-ins provide a strategy and a one-shot method of this name.
    """
    if name in METHODS:
        return True
    if name not in plugin_names("one-shot"):
        return False
    if other := distribution_of("strategy", name):
        both = f"{other} provides a strategy {name!r} and {distribution_of('one-shot', name)} a one-shot method"
        raise PluginError(f"{both} of this name; uninstall one of them")
    return True


def _refuse_shadows(name: str) -> None:
    for kind in ("strategy", "one-shot"):
        refuse_shadow(kind, name)


def _require_taken(name: str, options: Iterable[str]) -> None:
    """Refuse options that the maker of a plug-in, which declares none, does not take as arguments."""
    maker = load_plugin("strategy", name)
    taken = takes(maker) if maker is not None else ()
    for option in options:
        if option not in taken:
            raise SearchError(f"strategy {name} has no option {option!r}; known options: {', '.join(taken) or 'none'}")
