"""From a plan to a choice graph that is small enough to be priced term by term."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import MOST_NETWORKS, Choice
from hwnas.spaces._blocks import Block, priced_blocks
from hwnas.spaces._choice_graph import ChoiceGraph, Extent, follow
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._derived._groups import Part, reads_densely
from hwnas.spaces._derived._options import Options
from hwnas.spaces._derived._plan import Note, Plan, WidthChoice, joined
from hwnas.spaces._derived._remake import remade
from hwnas.spaces._derived._residual import Residual
from hwnas.spaces._lowering import Lowering
from hwnas.spaces._merging import Merging
from hwnas.spaces._shape_tables import ShapeTables
from latency_tables import Node
from profilers import ops


def stated(plan: Plan) -> ChoiceGraph:
    """State the choice graph of a plan: choices of resolution, depths, widths and kernels, in this order."""
    return _Statement(plan).run()


def limited(plan: Plan, options: Options) -> Plan:
    """Join and drop choices until no term has more than `MOST_NETWORKS` forms.

    In a part of the network that cannot be cut (a dense block, say) the widths that only this part knows become one
    choice, then kernels stay as they are, then all widths become one, then blocks are always there.
    """
    while True:
        graph = stated(plan)
        try:
            tables = ShapeTables(graph, Lowering(graph), ChoiceGraphSpace.most_forms)
        except SpaceError as error:
            raise SpaceError(f"{error}; take fewer --space-option widths or resolutions, or kernels=none") from None
        blocks = priced_blocks(Merging(graph, tables))
        large = [block for block in blocks if tables.count(block.columns) > MOST_NETWORKS]
        tried = (_smaller(plan, options, block, blocks, graph) for block in large)
        smaller = next((other for other in tried if other is not None), None)
        if smaller is None:
            return plan
        plan = smaller


def _smaller(plan: Plan, options: Options, large: Block, blocks: Sequence[Block], graph: ChoiceGraph) -> Plan | None:
    """Return a plan with fewer forms of one block; None where nothing is left to join or drop."""
    inside = {graph.choices[column].name for column in large.columns}
    elsewhere = {graph.choices[c].name for block in blocks if block is not large for c in block.columns}
    widths = [choice for choice in plan.widths if choice.name in inside]
    private = [choice for choice in widths if choice.name not in elsewhere]
    if len(private) > 1:
        return _with_one_width(plan, options, private)
    kernels = {name for name in plan.kernels if kernel_choice(name) in inside}
    if kernels:
        note = Note("kernels", tuple(sorted(kernels)), "their part of the network has too many forms")
        rest = {name: sizes for name, sizes in plan.kernels.items() if name not in kernels}
        return replace(plan, kernels=rest, notes=(*plan.notes, note))
    if len(widths) > 1:
        return _with_one_width(plan, options, widths)
    depths = [choice for choice in plan.depths if choice.name in inside]
    if depths:
        ends = tuple(block.end for choice in depths for block in choice.blocks)
        note = Note("blocks", ends, "their part of the network has too many forms")
        return replace(plan, depths=tuple(c for c in plan.depths if c not in depths), notes=(*plan.notes, note))
    return None


def _with_one_width(plan: Plan, options: Options, choices: Sequence[WidthChoice]) -> Plan:
    first = next(iter(choices[0].units))
    together = joined(f"{first}.widths", choices, plan.layout, options)
    widths = [together if choice is choices[0] else choice for choice in plan.widths if choice not in choices[1:]]
    note = Note("channels", tuple(together.units), "their part of the network has too many forms", together=True)
    return replace(plan, widths=tuple(widths), notes=(*plan.notes, note))


def kernel_choice(node: str) -> str:
    """Return the name of the choice of a layer's kernel."""
    return f"{node}.kernel"


@dataclass(frozen=True)
class _Width:
    """The units of a group at each value of its choice."""

    choice: Choice
    units: Mapping[int, int]


class _Statement:
    """A choice graph while it is stated."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.graph = plan, ChoiceGraph()
        self.resolution = self._resolution()
        self.guards: dict[str, tuple[Residual, Choice, Callable[[int], bool]]] = {}
        for depth in plan.depths:
            choice = self.graph.choice(depth.name, depth.values)
            for place, block in enumerate(depth.blocks):
                self.guards[block.end] = (block, choice, partial(_present, place))
        self.widths: dict[str, _Width] = {}
        for width in plan.widths:
            choice = self.graph.choice(width.name, width.values)
            for group, units in width.units.items():
                self.widths[group] = _Width(choice, dict(zip(width.values, units, strict=True)))
        self.kernels = {n: self.graph.choice(kernel_choice(n), sizes) for n, sizes in plan.kernels.items()}

    def run(self) -> ChoiceGraph:
        """State every node."""
        network = self.plan.prepared.graph
        channels, *sizes = network.input_shape
        if self.resolution is None:
            self.graph.read(*network.input_shape)
        else:
            height, width = sizes
            across = follow(lambda high: width * high // height, self.resolution)
            self.graph.read(channels, self.resolution, across)
        for node in network.nodes:
            self._node(node)
        return self.graph.finish(network.outputs[0])

    def _resolution(self) -> Choice | None:
        heights = self.plan.resolutions
        return self.graph.choice("resolution", heights) if len(heights) > 1 else None

    def _node(self, node: Node) -> None:
        attributes: dict[str, Any] = {}
        written = self.plan.layout.written[node.name]
        if reads_densely(node) or node.op.kind == "slice":
            attributes["channels"] = self._extent(written)
        if node.op.kind == "slice":
            attributes["start"] = self._start(node)
        if node.name in self.kernels:
            attributes["kernel"] = self.kernels[node.name]
        maker = partial(remade, node.op)
        if node.name not in self.guards:
            self.graph.add(node.name, maker, *node.inputs, **attributes)
            return
        block, choice, present = self.guards[node.name]
        without = block.skip
        if block.act != "none":
            without = self.graph.add(f"{node.name}/skip", ops.activation, block.skip, function=block.act)
        self.graph.add(node.name, maker, *node.inputs, when=(choice, present), otherwise=without, **attributes)

    def _start(self, node: Node) -> int | Extent:
        before, place, start = [], 0, node.op.integer("start")
        for part in self.plan.layout.written[node.inputs[0]]:
            if place >= start:
                break
            before.append(part)
            place += part.count * part.width
        return self._extent(before) if place == start else start

    def _extent(self, parts: Sequence[Part]) -> int | Extent:
        """Return the channels of some groups as they follow from choices."""
        fixed = sum(part.count * part.width for part in parts if part.group not in self.widths)
        open_parts = [(self.widths[part.group], part.width) for part in parts if part.group in self.widths]
        if not open_parts:
            return fixed
        choices = tuple(dict.fromkeys(width.choice for width, _ in open_parts))

        def channels(*values: int) -> int:
            """Add up the channels for values of the choices."""
            chosen = dict(zip(choices, values, strict=True))
            return fixed + sum(width.units[chosen[width.choice]] * size for width, size in open_parts)

        return follow(channels, *choices)


def _present(place: int, depth: int) -> bool:
    return depth > place
