"""One-shot methods by name; a module is imported when its method is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from hwnas._common._plugins import PluginError, distribution_of, load_plugin, plugin_names
from hwnas._errors import HwnasError
from search import SearchError, check_options, parse_options

if TYPE_CHECKING:
    from hwnas.oneshot._method import OneShotMethod
    from hwnas.spaces import Space
    from search import OptionValue, StrategyOption

METHODS = {
    "drnas": "_drnas:DrNAS",
    "ddpnas": "_ddpnas:DDPNAS",
    "dmasking": "_dmasking:DMasking",
    "pvnas": "_pvnas:PVNAS",
    "dash": "_dash:DASH",
}
"""Module and class of each of our methods, by name."""


def method_names() -> list[str]:
    """Return the methods that `make_method` takes: ours, then those of plug-ins."""
    return [*METHODS, *plugin_names("one-shot", METHODS)]


def method_options(name: str) -> tuple[StrategyOption, ...]:
    """List the options of a method: name, type, default, allowed values and a line of help for each.

    Raises:
        HwnasError: There is no method of that name, or a plug-in cannot be used.
    """
    return _class_of(name).options


def parse_method_options(name: str, texts: Iterable[str]) -> dict[str, OptionValue]:
    """Read options from texts ``name=value``, as keywords for `make_method`.

    Raises:
        HwnasError: There is no such method or option, a text is not of this form, or a value is not allowed.
    """
    with _as_ours():
        return parse_options(name, method_options(name), texts, kind="method")


def make_method(name: str, space: Space, *, epochs: int, **options: object) -> OneShotMethod:
    """Make a one-shot method.

    Args:
        name: Name of the method: one of `METHODS`, or that of a plug-in.
        space: The space whose choices it learns about.
        epochs: Epochs of the whole training.
        options: Options of the method (see `method_options`); the others keep their defaults.

    Raises:
        HwnasError: There is no such method or option, a value is not allowed, or there are too few epochs.
    """
    kind = _class_of(name)
    with _as_ours():
        given = check_options(name, kind.options, options, kind="method")
    values = {option.name: option.default for option in kind.options} | given
    if epochs < 1:
        raise HwnasError(f"method {name}: epochs must be 1 or more, got {epochs}")
    make: Callable[..., OneShotMethod] = kind
    return make(space, epochs=epochs, **values)


def _class_of(name: str) -> type[OneShotMethod]:
    if name not in METHODS:
        return _plugin(name)
    module, _, member = METHODS[name].partition(":")
    kind: type[OneShotMethod] = getattr(import_module(f"hwnas.oneshot.{module}"), member)
    return kind


def _plugin(name: str) -> type[OneShotMethod]:
    """Return the class that a plug-in's entry point stands for.

    Raises:
        HwnasError: There is none of that name.
        PluginError: It is no one-shot method of that name.
    """
    from hwnas.oneshot._method import OneShotMethod

    kind: object = load_plugin("one-shot", name)
    if kind is None:
        raise HwnasError(f"unknown one-shot method {name!r}; choose from {', '.join(method_names())}")
    owner = f"one-shot {name!r} of {distribution_of('one-shot', name)}"
    if not (isinstance(kind, type) and issubclass(kind, OneShotMethod)):
        raise PluginError(f"{owner} is not a valid one-shot method: it must be a subclass of OneShotMethod")
    stated = getattr(kind, "name", None)
    if stated != name:
        raise PluginError(f"{owner} has the attribute name = {stated!r}; both names must be the same")
    return kind


@contextmanager
def _as_ours() -> Iterator[None]:
    """Raise the errors of `search` about options as `HwnasError`."""
    try:
        yield
    except SearchError as error:
        raise HwnasError(str(error)) from None
