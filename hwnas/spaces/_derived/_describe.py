"""What of a model would be searched, and what not and why, as lines for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hwnas._common._text import first_of
from hwnas.spaces._derived._derive import Derived
from hwnas.spaces._derived._groups import has_channels
from hwnas.spaces._derived._plan import Note, Plan, WidthChoice

_NAMES = 6


def describe_lines(derived: Derived) -> list[str]:
    """Return lines that say what of a model is searched, and what not and why."""
    space, plan = derived.space, derived.space.plan
    count = len(space.choices)
    choices = "1 choice" if count == 1 else f"{count} choices"
    lines = [f"{choices}, {_power(math.prod(space.cardinalities))} networks, {len(space.ops())} ops to measure"]
    lines += _searched(plan)
    if plan.prepared.put_back:
        lines.append(f"batch norms put back for training: {_listed(list(plan.prepared.put_back))}")
    return [*lines, *_not_searched(derived.notes)]


def _searched(plan: Plan) -> Iterator[str]:
    if len(plan.resolutions) > 1:
        yield f"resolution: {_values(plan.resolutions)}"
    for depth in plan.depths:
        count, ends = len(depth.blocks), _listed([block.end for block in depth.blocks])
        blocks = f"{count} blocks (they end with {ends})" if count > 1 else f"1 block (it ends with {ends})"
        yield f"{depth.name}: keep the first {_values(depth.values)} of {blocks}"
    for width in plan.widths:
        yield _width_line(width, plan)
    for node, sizes in plan.kernels.items():
        yield f"{node}.kernel: {_values(sizes)}"


def _width_line(width: WidthChoice, plan: Plan) -> str:
    groups = list(width.units)
    if len(groups) > 1:
        return f"{width.name}: {_values(width.values)} % of the channels of {_listed(groups)}"
    tied = [name for name in plan.layout.groups[groups[0]].nodes if _has_weights(name, plan)][1:]
    return f"{width.name}: {_values(width.values)} channels" + (f", also of {_listed(tied)}" if tied else "")


def _has_weights(name: str, plan: Plan) -> bool:
    return any(node.name == name and has_channels(node) for node in plan.prepared.graph.nodes)


def _not_searched(notes: Sequence[Note]) -> Iterator[str]:
    alike: dict[tuple[bool, str, str], list[str]] = {}
    for note in notes:
        alike.setdefault((note.together, note.what, note.reason), []).extend(note.names)
    for (together, what, reason), names in alike.items():
        verdict = "searched together" if together else "not searched"
        yield f"{verdict}: {what}{f' of {_listed(names)}' if names else ''} ({reason})"


def _listed(names: Sequence[str]) -> str:
    return first_of(names, _NAMES)


def _values(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:-1])) + (" or " if len(values) > 1 else "") + str(values[-1])


def _power(count: int) -> str:
    return f"{count:,}" if count < 1_000_000 else f"about {float(count):.1e}" if count < 10**300 else "over 1e300"
