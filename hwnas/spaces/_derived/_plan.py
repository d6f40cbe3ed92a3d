"""What of a prepared model is searched, what is not, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwnas._errors import SpaceError
from hwnas.spaces._derived._groups import KEEP, Group, Layout, has_channels, kept_by, layout_of, matching
from hwnas.spaces._derived._options import Options
from hwnas.spaces._derived._prepare import Prepared
from hwnas.spaces._derived._remake import pads_of
from hwnas.spaces._derived._residual import Residual, residual_blocks, stages
from hwnas.spaces._derived._smaller import misfit_of, three_quarters
from latency_tables import INPUT, OpGraph

_NARROWEST = 8
"""Channels of the narrowest group that is searched."""
_MOST_DEPTHS = 5
_MOST_TOGETHER = 2
"""Width choices whose groups one layer may read; more of them are made one."""


@dataclass(frozen=True)
class WidthChoice:
    """A choice of how many channels are kept.

    Attributes:
        name: Name of the choice.
        values: Channels, or percent of them where the choice is that of several groups; ascending.
        units: For each of its groups the units that are kept at each value.
    """

    name: str
    values: tuple[int, ...]
    units: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class DepthChoice:
    """A choice of how many blocks of a stage are kept, the first ones.

    Attributes:
        name: Name of the choice.
        values: Numbers of blocks, ascending.
        blocks: The blocks that may be left out or not, all of the stage.
    """

    name: str
    values: tuple[int, ...]
    blocks: tuple[Residual, ...]


@dataclass(frozen=True)
class Note:
    """Something that is not searched, or not by itself.

    Attributes:
        what: What it is: channels, blocks, kernels, resolution.
        names: The layers, or the groups of channels.
        reason: Why.
        together: Whether it is searched, but all of it by one choice.
    """

    what: str
    names: tuple[str, ...]
    reason: str
    together: bool = False


@dataclass(frozen=True)
class Plan:
    """What of a model is searched.

    Attributes:
        prepared: The model.
        layout: Its groups of channels.
        widths: Choices of channels.
        depths: Choices of blocks.
        kernels: For each layer whose kernel may shrink its sizes, ascending.
        resolutions: Image heights, ascending; one where it is not searched.
        notes: What is not searched.
    """

    prepared: Prepared
    layout: Layout
    widths: tuple[WidthChoice, ...]
    depths: tuple[DepthChoice, ...]
    kernels: Mapping[str, tuple[int, ...]]
    resolutions: tuple[int, ...]
    notes: tuple[Note, ...] = field(default=())


def plan_of(prepared: Prepared, options: Options) -> Plan:
    """Decide what of a model is searched.

    Raises:
        SpaceError: A pattern of `keep` matches no layer, or the network cannot run at one of the resolutions.
    """
    graph = prepared.graph
    for pattern in options.keep:
        if not matching(graph, prepared.names, [pattern]):
            raise SpaceError(
                f"--space-option keep={pattern:.60}: no layer has this name; layers are called like "
                f"{_some_layers(graph)} (patterns such as 'head.*' work)"
            )
    kept = matching(graph, prepared.names, options.keep)
    layout = layout_of(graph, kept)
    notes: list[Note] = []
    widths = _widths(layout, options, notes)
    depths = _depths(graph, kept, options, notes)
    kernels = _kernels(graph, kept, options, notes)
    resolutions = _resolutions(graph, options, notes)
    return Plan(prepared, layout, widths, depths, kernels, resolutions, tuple(notes))


def _some_layers(graph: OpGraph) -> str:
    """Return the names of the first and the last layer with weights."""
    names = [node.name for node in graph.nodes if has_channels(node)] or [node.name for node in graph.nodes]
    return ", ".join(dict.fromkeys((names[0], names[-1])))


def joined(name: str, choices: Sequence[WidthChoice], layout: Layout, options: Options) -> WidthChoice:
    """Make one choice of several: the same share of the channels of all their groups."""
    groups = [group for choice in choices for group in choice.units]
    units = {group: [_units(layout.groups[group], share, options.step) for share in options.widths] for group in groups}
    rows = list(zip(*units.values(), strict=True))
    distinct = [i for i, row in enumerate(rows) if row not in rows[i + 1 :]]
    values = tuple(round(100 * options.widths[i]) for i in distinct)
    return WidthChoice(name, values, {group: tuple(kept[i] for i in distinct) for group, kept in units.items()})


def _widths(layout: Layout, options: Options, notes: list[Note]) -> tuple[WidthChoice, ...]:
    """Give each group a choice; groups that one layer reads with many others share theirs."""
    choices: dict[str, WidthChoice] = {}
    for group in layout.groups.values():
        reason = KEEP if group.reason == kept_by(group.name) else group.reason
        if not reason and group.count * group.width < _NARROWEST:
            reason = f"narrower than {_NARROWEST} channels"
        kept = sorted({_units(group, share, options.step) for share in options.widths})
        if not reason and len(kept) < 2:
            reason = f"{group.count * group.width} channels are one step"
        if reason:
            notes.append(Note("channels", (group.name,), reason))
            continue
        values = tuple(units * group.width for units in kept)
        choices[group.name] = WidthChoice(f"{group.name}.width", values, {group.name: tuple(kept)})
    for members in _together(layout, choices):
        first = members[0]
        together = joined(f"{first}.widths", [choices.pop(name) for name in members], layout, options)
        choices[first] = together
        notes.append(Note("channels", tuple(members), "one layer reads them all", together=True))
    order = {name: place for place, name in enumerate(layout.groups)}
    return tuple(choices[name] for name in sorted(choices, key=order.__getitem__))


def _together(layout: Layout, choices: Mapping[str, WidthChoice]) -> list[list[str]]:
    """Find groups that must share a choice, because a tensor holds more than a few of them."""
    leader = {name: name for name in choices}

    def find(name: str) -> str:
        """Return the first of those that a group is together with."""
        while leader[name] != name:
            name = leader[name]
        return name

    order = {name: place for place, name in enumerate(layout.groups)}
    for parts in layout.written.values():
        searched = list(dict.fromkeys(part.group for part in parts if part.group in choices))
        if len({find(name) for name in searched}) > _MOST_TOGETHER:
            first = min((find(name) for name in searched), key=order.__getitem__)
            for name in searched:
                leader[find(name)] = first
    members: dict[str, list[str]] = {}
    for name in choices:
        members.setdefault(find(name), []).append(name)
    return [names for names in members.values() if len(names) > 1]


def _units(group: Group, share: float, step: int) -> int:
    """Return the units of a group at a share, in steps of the runtime's block (smaller ones for narrow groups)."""
    if share == 1:
        return group.count
    channels = group.count * group.width
    block = step if channels >= 4 * step else step // 2 if channels >= 2 * step else step // 4
    units = max(1, block // group.width)
    return min(group.count, units * max(1, math.floor(share * group.count / units + 0.5)))


def _depths(graph: OpGraph, kept: set[str], options: Options, notes: list[Note]) -> tuple[DepthChoice, ...]:
    choices = []
    for number, stage in enumerate(stages(residual_blocks(graph)) if options.depth != "none" else []):
        bound = [i for i, block in enumerate(stage) if kept & set(block.nodes)]
        if bound:
            notes.append(Note("blocks", tuple(stage[i].end for i in bound), KEEP))
        if 0 not in bound and stage[0].skip == INPUT and any(block.end in graph.outputs for block in stage):
            notes.append(Note("blocks", (stage[0].end,), "without it the output would be the input"))
            bound.insert(0, 0)
        if options.depth == "blocks":
            free = [(f"stage{number}.block{i}", block) for i, block in enumerate(stage) if i not in bound]
            choices += [DepthChoice(name, (0, 1), (block,)) for name, block in free]
            continue
        least = max(bound, default=-1) + 1
        if least == len(stage):
            continue
        span = len(stage) - least
        steps = min(span, _MOST_DEPTHS - 1)
        values = tuple(least + round(span * i / steps) for i in range(steps + 1))
        choices.append(DepthChoice(f"stage{number}.depth", values, tuple(stage)))
    return tuple(choices)


def _kernels(graph: OpGraph, kept: set[str], options: Options, notes: list[Note]) -> dict[str, tuple[int, ...]]:
    kernels: dict[str, tuple[int, ...]] = {}
    bound = []
    for node in graph.nodes:
        if node.op.kind != "conv":
            continue
        sizes = set(node.op.integers("kernel", len(node.op.output) - 1))
        depthwise = node.op.integer("groups") == node.op.inputs[0][0] > 1
        if len(sizes) != 1 or max(sizes) < 5 or max(sizes) % 2 == 0 or options.kernels == "none":
            continue
        if "pads" in dict(node.op.attributes) and min(pads_of(node.op, 3)) < 0:
            notes.append(Note("kernels", (node.name,), "its padding is too narrow for a smaller kernel"))
            continue
        if node.name in kept:
            bound.append(node.name)
        elif depthwise or options.kernels == "all":
            (largest,) = sizes
            kernels[node.name] = (3, 5, 7) if largest == 7 else (3, largest)
    if bound:
        notes.append(Note("kernels", tuple(bound), KEEP))
    return kernels


def _resolutions(graph: OpGraph, options: Options, notes: list[Note]) -> tuple[int, ...]:
    shape = graph.input_shape
    if len(shape) != 3:
        if options.resolutions:
            raise SpaceError("--space-option resolutions: the model reads no images; leave it out")
        notes.append(Note("resolution", (), "the input is no image"))
        return ()
    height = shape[1]
    if options.resolutions:
        if max(options.resolutions) != height:
            raise SpaceError(
                f"--space-option resolutions: the largest must be {height}, the height that the model reads, got "
                f"{', '.join(map(str, options.resolutions))}"
            )
        for size in options.resolutions:
            if size != height and (misfit := misfit_of(graph, size)):
                raise SpaceError(
                    f"--space-option resolutions: the network cannot read images {size} pixels high: {misfit}"
                )
        return options.resolutions
    smaller = three_quarters(graph)
    misfit = misfit_of(graph, smaller) if smaller < height else "the image is small"
    if misfit:
        notes.append(Note("resolution", (), misfit))
        return (height,)
    return (smaller, height)
