"""Plug-ins: spaces, tasks, strategies, evaluators and so on (`KINDS`) that other distributions bring as entry points.

Names are read from the distributions' metadata; a plug-in's own code runs when it is requested by name. Operators are
only listed here: `profilers` itself loads them, in whatever process meets an op of theirs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hwnas._common._about import ABOUT
from hwnas._common._foreign import LEAVES
from hwnas._errors import HwnasError

KINDS = {
    "space": "hwnas.spaces",
    "task": "hwnas.tasks",
    "strategy": "hwnas.strategies",
    "one-shot": "hwnas.oneshot",
    "evaluator": "hwnas.evaluators",
    "device": "hwnas.profilers",
    "operator": "hwnas.operators",
    "cost": "hwnas.costs",
}
"""Groups of entry points, by what a plug-in in them is called on the command line."""


class PluginError(HwnasError):
    """A plug-in that cannot be loaded, fails, or has a name that is taken."""


def plugin_names(kind: str, besides: Collection[str] = ()) -> list[str]:
    """Return names of installed plug-ins of a kind (a key of `KINDS`) other than ours, `besides`, sorted."""
    return sorted({point.name for point in _points(kind)} - set(besides))


def distribution_of(kind: str, name: str) -> str:
    """Return the distributions that bring a plug-in, with their versions."""
    return ", ".join(sorted({_distribution_text(point) for point in _points(kind) if point.name == name}))


def refuse_shadow(kind: str, name: str) -> None:
    """Refuse a plug-in that uses a name of hwnas's own.

    Raises:
        PluginError: A plug-in claims the name.
    """
    claimed = distribution_of(kind, name)
    if claimed:
        raise PluginError(f"{claimed} provides a {kind} {name!r}, but hwnas has one of this name itself; uninstall it")


def load_plugin(kind: str, name: str) -> Callable[..., Any] | None:
    """Return what a plug-in's entry point stands for; None where there is no plug-in of that name.

    Raises:
        PluginError: It cannot be loaded or called, or two distributions bring it.
    """
    points = [point for point in _points(kind) if point.name == name]
    if not points:
        return None
    if len({_distribution_text(point) for point in points}) > 1:
        raise PluginError(f"{kind} {name!r} is provided by {distribution_of(kind, name)}; uninstall all but one")
    try:
        maker = points[0].load()
        if callable(maker):
            inspect.signature(maker)
    except (Exception, *LEAVES) as error:
        raise PluginError(
            f"{kind} {name!r} of {_distribution_text(points[0])} cannot be loaded: {_cause(error)}"
        ) from error
    if not callable(maker):
        raise PluginError(
            f"{kind} {name!r} of {_distribution_text(points[0])} cannot be loaded: {points[0].value} is not callable"
        )
    return maker  # type: ignore[no-any-return]


def make_plugin(kind: str, name: str, *things: object, wants: Collection[str], **options: object) -> Any:
    """Call a plug-in.

    Args:
        kind: A key of `KINDS`.
        name: Name of an installed plug-in.
        things: What it is called with.
        wants: Methods and attributes that the result must have.
        options: Keyword arguments, each of which it takes.

    Raises:
        PluginError: It fails, or makes something else.
    """
    maker = load_plugin(kind, name)
    assert maker is not None
    owner = f"{kind} {name!r} of {distribution_of(kind, name)}"
    try:
        made = maker(*things, **options)
    except HwnasError:
        raise
    except (Exception, *LEAVES) as error:
        raise PluginError(f"{owner} failed: {_cause(error)}") from error
    missing = [want for want in wants if not hasattr(made, want)]
    if missing:
        raise PluginError(f"{owner} is not a valid {kind}: what it returns has no {missing[0]}")
    if kind != "device" and made.name != name:
        raise PluginError(f"{owner} has the attribute name = {made.name!r}; both names must be the same")
    return made


def takes(maker: Callable[..., Any]) -> tuple[str, ...]:
    """Return names of the keyword arguments that a plug-in's entry point takes."""
    positional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    return tuple(n for n, p in inspect.signature(maker).parameters.items() if p.kind not in positional)


def only_taken(maker: Callable[..., Any], options: Mapping[str, object]) -> dict[str, object]:
    """Return those of the options that an entry point takes."""
    return {name: value for name, value in options.items() if name in takes(maker)}


@dataclass(frozen=True)
class Installed:
    """A space, strategy, evaluator, device or cost by name.

    Attributes:
        kind: A key of `KINDS`.
        name: What its option takes.
        source: ``hwnas``, or the distributions that bring it, with their versions.
        about: What it is; empty for those of plug-ins.
        usable: Whether the name means this one; a plug-in cannot take a name of hwnas's own.
    """

    kind: str
    name: str
    source: str
    about: str = ""
    usable: bool = True

    @property
    def line(self) -> str:
        """For people."""
        about = f": {self.about}" if self.about else ""
        why = "" if self.usable else " (not usable: hwnas has this name itself)"
        return f"{self.kind:10s} {self.name:20s} {self.source}{about}{why}"


def installed(own: Mapping[str, Iterable[str]]) -> list[Installed]:
    """Return everything that has a name, by kind, ours first.

    Args:
        own: Our own names by kind; one-shot methods are among the strategies.
    """
    entries = []
    for kind in KINDS:
        ours, about = list(own.get(kind, ())), ABOUT.get(kind, {})
        taken = own["strategy"] if kind == "one-shot" else ours  # --strategy names both
        entries += [Installed(kind, name, "hwnas", about.get(name, "")) for name in ours]
        for name in plugin_names(kind):
            entries.append(Installed(kind, name, distribution_of(kind, name), usable=name not in taken))
    return entries


def _points(kind: str) -> tuple[EntryPoint, ...]:
    return _read(KINDS[kind], tuple(sys.path))


@cache
def _read(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; `path` is where they are looked for."""
    return tuple(entry_points(group=group))


def _distribution_text(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
