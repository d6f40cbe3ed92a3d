"""How far below a model its space reaches, where widths and resolutions are not chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.spaces._derived._options import WIDTHS
from hwnas.spaces._derived._space import DerivedSpace, EmptySpaceError
from latency_tables import OpGraph

MOST_OPS = 2_000
"""Ops that a latency table should have to hold at most, where the shares of channels are not chosen."""
REACH = ("widths", "resolutions")
"""Settings that say how far a space reaches."""
_FROM_HALF = (0.5, 0.75, 1.0)
_COARSER = ((0.25, 0.5, 0.75, 1.0), _FROM_HALF, (0.5, 1.0))


def with_few_ops(graph: OpGraph, settings: Mapping[str, Any], widths: Sequence[float] = WIDTHS) -> DerivedSpace:
    """Return the space of a model with as many shares of channels as keep its ops few.

    Args:
        graph: The model.
        settings: Settings of `DerivedSpace` but `widths`.
        widths: The most shares.

    Raises:
        SpaceError: A setting is out of range, or nothing of the model can be left out.
    """
    space = DerivedSpace(graph, **{**settings, "widths": tuple(widths)})
    for fewer in (each for each in _COARSER if len(each) < len(widths)):
        if len(space.ops()) <= MOST_OPS:
            break
        space = DerivedSpace(graph, **{**settings, "widths": fewer})
    return space


def reaches(graph: OpGraph, settings: Mapping[str, Any]) -> list[DerivedSpace]:
    """Return spaces of a model, each of which reaches further below the model than the one before.

    The first has widths from half of the channels on, at the model's resolution; the second all default widths; the
    third also the default resolutions. What the settings say stays in all of them. Shared weights train better in a
    space that begins higher (docs/compression.md), so a search takes the first that reaches below its budgets.

    Args:
        graph: The model.
        settings: Settings of `DerivedSpace`; those of `REACH` that are absent, or no values, are left open.

    Raises:
        SpaceError: A setting is out of range, or nothing of the model can be left out.
    """
    chosen = {name: value for name, value in settings.items() if name not in REACH or not _is_open(value)}
    widths = [chosen["widths"]] if "widths" in chosen else [_FROM_HALF, WIDTHS]
    is_image = len(graph.inputs) == 1 and len(graph.input_shape) == 3
    own = {"resolutions": (graph.input_shape[1],)} if is_image and "resolutions" not in chosen else {}
    steps = [(widths[0], own), (widths[-1], own), (widths[-1], {})]
    found: list[DerivedSpace] = []
    for number, (shares, size) in enumerate(steps):
        try:
            changed = {**chosen, **size}
            space = DerivedSpace(graph, **changed) if "widths" in chosen else with_few_ops(graph, changed, shares)
        except EmptySpaceError:
            if number == len(steps) - 1 and not found:
                raise
            continue
        if found and _reach(found[-1]) == _reach(space):
            found.pop()  # the same, but as the defaults state it
        found.append(space)
    return found


def _reach(space: DerivedSpace) -> tuple[object, ...]:
    return space.settings["widths"], space.plan.resolutions


def _is_open(value: object) -> bool:
    return isinstance(value, (list, tuple)) and not value
