"""From a choice graph and codes to the op graph of one network, or of one part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hwnas.spaces._choice_graph import ChoiceGraph, ChoiceNode, Form
from latency_tables import INPUT, GraphBuilder, Op, OpGraph, Shape
from profilers import executed_graph, ops, parts_of, primitive_of


@lru_cache(maxsize=65536)
def weightless(op: Op) -> bool:
    """Return whether an op has no weights: two such ops of the same tensors compute the same."""
    return not any(primitive_of(part).parameters(part) for part in parts_of(op))


@dataclass
class _Part:
    """One operand of a sum: where its tensor was stated, and what it is."""

    place: int
    tensor: str


class Lowering:
    """Builds op graphs of a choice graph; ops that were made once are kept.

    Args:
        graph: The choice graph.
    """

    def __init__(self, graph: ChoiceGraph) -> None:
        self.graph = graph
        self.places = {INPUT: -1, **{name: place for place, name in enumerate(graph.nodes)}}
        for node in graph:
            self.places.update({form.name: self.places[node.name] for form in node.forms if form is not None})
        self._ops: dict[tuple[str, tuple[Shape, ...], tuple[int, ...]], Op] = {}

    def network(self, codes: Sequence[int]) -> OpGraph | None:
        """Build the network with these codes ``(d,)``; None where no path leads from the input to the output."""
        shape = self.graph.input_shape(dict(enumerate(codes)))
        return self.part(tuple(self.graph), codes, {INPUT: shape}, (self.graph.output,))

    def part(
        self, nodes: Sequence[ChoiceNode], codes: Sequence[int], starts: Mapping[str, Shape], ends: Sequence[str]
    ) -> OpGraph | None:
        """Build what some nodes compute between tensors.

        Args:
            nodes: In the order of their statement.
            codes: Codes of the architecture, ``(d,)``.
            starts: The tensors that they read, with their shapes; `ends` follow from these alone.
            ends: The tensors that leave the part.

        Returns:
            The part, its inputs and outputs in this order; None where a tensor is not there, or where nothing is
            computed.
        """
        network = _Network(self, codes, starts)
        for node in nodes:
            network.resolve(node)
        outputs = [output for end in ends if (output := network.tensors[end]) is not None]
        if len(outputs) < len(ends) or outputs == list(network.inputs):
            return None
        return network.build(outputs)

    def op(self, form: Form, shapes: tuple[Shape, ...], codes: Sequence[int]) -> Op:
        """Return the op of a form for input shapes and the codes of an architecture ``(d,)``."""
        own = tuple(codes[column] for column in form.columns)
        op = self._ops.get((form.name, shapes, own))
        if op is None:
            assert form.make is not None
            op = self.graph.op(form.make, shapes, dict(zip(form.columns, own, strict=True)))
            self._ops[form.name, shapes, own] = op
        return op


class _Network:
    """One network while it is lowered.

    Attributes:
        inputs: Names of the graph's inputs with their shapes.
        tensors: What each stated tensor is: an input, the result of an op or a sum, or None.
        made: Ops and their inputs by name.
        twins: Names of results without weights that another op computes too, and that op's name.
        places: Places of the tensors that the output needs, in the order of statement.
        sums: Operands of each sum of several tensors.
        roots: Tensors of stated sums, in this order.
    """

    def __init__(self, lowering: Lowering, codes: Sequence[int], starts: Mapping[str, Shape]) -> None:
        self.lowering, self.codes = lowering, codes
        names = {start: f"{INPUT}_{place}" if place else INPUT for place, start in enumerate(starts)}
        self.inputs = {names[start]: shape for start, shape in starts.items()}
        self.tensors: dict[str, str | None] = dict(names)
        self.shapes: dict[str, Shape] = dict(self.inputs)
        self.made: dict[str, tuple[Op, tuple[str, ...]]] = {}
        self.twins: dict[str, str] = {}
        self.places: dict[str, int] = {}
        self.sums: dict[str, list[_Part]] = {}
        self.roots: list[str] = []
        self._computed: dict[tuple[Op, tuple[str, ...]], str] = {}

    def resolve(self, node: ChoiceNode) -> None:
        """Work out what the tensor of a node is; its inputs are resolved."""
        if node.parts is not None:
            self.tensors[node.name] = self._sum(node.name, node.parts)
            return
        form = node.forms[node.form_number(self.codes)]
        if form is None:
            self.tensors[node.name] = None
        elif form.make is None:
            self.tensors[node.name] = self.tensors[form.inputs[0]]
        else:
            self.tensors[node.name] = self._make(form)

    def _make(self, form: Form) -> str | None:
        inputs: list[str] = []
        for name in form.inputs:
            tensor = self.tensors[name]
            if tensor is None:
                return None
            inputs.append(tensor)
        op = self.lowering.op(form, tuple([self.shapes[name] for name in inputs]), self.codes)
        if op.kind == "identity":
            return inputs[0]
        self.shapes[form.name] = op.output
        if weightless(op):  # twins are told by the tensors as they were stated: what reads twins is not a twin
            same = self._computed.setdefault((op, tuple(inputs)), form.name)
            if same != form.name:
                self.twins[form.name] = same
                return form.name
        self.made[form.name] = (op, tuple(inputs))
        return form.name

    def _sum(self, name: str, parts: tuple[str, ...]) -> str | None:
        places = self.lowering.places
        operands = [(places[part], tensor) for part in parts if (tensor := self.tensors[part]) is not None]
        if not operands:
            return None
        if len(operands) == 1:
            self.roots.append(operands[0][1])
            return operands[0][1]
        self.sums[name] = [_Part(place, tensor) for place, tensor in operands]
        self.shapes[name] = self.shapes[operands[0][1]]
        self.roots.append(name)
        return name

    def build(self, outputs: Sequence[str]) -> OpGraph:
        """Build the op graph that computes some tensors."""
        outputs = [self._use(output) for output in outputs]
        readers = self._readers(outputs)
        merged = self._flatten(readers)
        builder = GraphBuilder(self.inputs)
        names = {name: name for name in self.inputs}
        for root in (*(self.twins.get(root, root) for root in self.roots), *outputs):
            if root in readers and root not in merged:
                self._emit(root, builder, names)
        return executed_graph(builder.build(*(names[output] for output in outputs)))

    def _readers(self, outputs: Sequence[str]) -> dict[str, list[str]]:
        """Find for each tensor that the outputs need who reads it (once for each time)."""
        readers: dict[str, list[str]] = {output: [""] for output in outputs}
        stack = list(readers)
        while stack:
            name = stack.pop()
            if name in self.inputs:
                continue
            for tensor in self._used_by(name):
                if tensor not in readers:
                    readers[tensor] = []
                    stack.append(tensor)
                readers[tensor].append(name)
        return readers

    def _used_by(self, name: str) -> tuple[str, ...]:
        """Note what a needed op or sum reads, each twin under its one name."""
        parts = self.sums.get(name)
        if parts is None:
            op, inputs = self.made[name]
            used = tuple([self._use(tensor) for tensor in inputs])
            self.made[name] = (op, used)
            return used
        for part in parts:
            part.tensor = self._use(part.tensor)
        return tuple([part.tensor for part in parts])

    def _use(self, tensor: str) -> str:
        """Return the name under which a needed tensor is computed; its place is that of the first needed twin."""
        name, place = self.twins.get(tensor, tensor), self.lowering.places.get(tensor, -1)
        self.places[name] = min(place, self.places.get(name, place))
        return name

    def _flatten(self, readers: dict[str, list[str]]) -> set[str]:
        """Add up a sum that only another sum reads together with that one; returns what only a sum reads."""
        merged = set()
        for name in reversed(self.sums):
            if name not in readers:
                continue
            outer = readers[name][0]
            if len(readers[name]) == 1 and outer in self.sums:
                parts = self.sums[outer]
                place = next(i for i, part in enumerate(parts) if part.tensor == name)
                parts[place : place + 1] = self.sums[name]
                for part in self.sums[name]:
                    readers[part.tensor] = [outer if reader == name else reader for reader in readers[part.tensor]]
                merged.add(name)
        for name in self.made:
            if name in readers and len(readers[name]) == 1 and readers[name][0] in self.sums:
                merged.add(name)
        for name, parts in self.sums.items():
            if name in readers and name not in merged:
                for part in parts:  # what nothing else reads takes the place where it is computed
                    if part.tensor in merged:
                        part.place = self.places[part.tensor]
                parts.sort(key=lambda part: part.place)
        return merged

    def _emit(self, root: str, builder: GraphBuilder, names: dict[str, str]) -> None:
        """Append what computes a tensor, inputs first."""
        stack = [root]
        while stack:
            name = stack[-1]
            if name in names:
                stack.pop()
                continue
            parts = self.sums.get(name)
            inputs = self.made[name][1] if parts is None else [part.tensor for part in parts]
            missing = [tensor for tensor in inputs if tensor not in names]
            if missing:
                stack.append(missing[0])
                continue
            stack.pop()
            if parts is None:
                names[name] = builder.add(name, self.made[name][0], *[names[tensor] for tensor in inputs])
            else:
                names[name] = _add_up(name, [names[tensor] for tensor in inputs], self.shapes[name], builder)


def _add_up(name: str, tensors: list[str], shape: Shape, builder: GraphBuilder) -> str:
    total = tensors[0]
    for number, tensor in enumerate(tensors[1:]):
        total = builder.add(f"{name}_{number}", ops.add(shape), total, tensor)
    return total
