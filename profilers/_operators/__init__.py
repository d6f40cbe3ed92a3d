"""The operator registry: each operator once."""

from __future__ import annotations

from functools import lru_cache

from latency_tables import GraphBuilder, Node, Op, OpGraph
from profilers._errors import OperatorError
from profilers._operators._base import Composite, Operator, Parameter, Primitive
from profilers._operators._composite import Head, InvertedResidual, SqueezeExcite
from profilers._operators._dense import Convolution, Linear, Normalisation
from profilers._operators._plain import Activation, Add, GlobalPool, Identity, Pool, Scale

_OPERATORS: dict[str, Operator] = {
    operator.kind: operator
    for operator in (
        Activation(),
        Add(),
        Convolution(),
        GlobalPool(),
        Head(),
        Identity(),
        InvertedResidual(),
        Linear(),
        Normalisation(),
        Pool(),
        Scale(),
        SqueezeExcite(),
    )
}


def operator_kinds() -> list[str]:
    """The registered kinds, sorted."""
    return sorted(_OPERATORS)


def operator_of(op: Op) -> Operator:
    """The registered operator that `op` is an instance of.

    Raises:
        OperatorError: its kind is not registered.
    """
    try:
        return _OPERATORS[op.kind]
    except KeyError:
        raise OperatorError(f"unknown operator {op.kind!r}; known: {', '.join(operator_kinds())}") from None


def primitive_of(op: Op) -> Primitive:
    """The registered primitive that `op` is an instance of.

    Raises:
        OperatorError: it is unknown or composite.
    """
    operator = operator_of(op)
    if not isinstance(operator, Primitive):
        raise OperatorError(f"op {op.key} is composite: expand the graph first")
    return operator


@lru_cache(maxsize=65536)
def _expanded_op(op: Op) -> OpGraph | None:
    operator = operator_of(op)
    operator.check(op)
    return expand(operator.expand(op)) if isinstance(operator, Composite) else None


@lru_cache(maxsize=65536)
def parts_of(op: Op) -> tuple[Op, ...]:
    """The primitive ops that an op consists of: itself, if it is primitive.

    Raises:
        OperatorError: it is unknown or contradicts its operator.
    """
    part = _expanded_op(op)
    return (op,) if part is None else tuple(node.op for node in part.nodes)


def expand(graph: OpGraph) -> OpGraph:
    """The graph in primitive operators; a composite node's parts are called ``"node.part"``.

    Raises:
        OperatorError: an op is unknown or contradicts its operator.
    """
    builder = GraphBuilder(graph.input_shape)
    names: dict[str, str] = {"input": "input"}
    for node in graph.nodes:
        names[node.name] = _splice(builder, node, names)
    return builder.build(*(names[name] for name in graph.outputs))


def _splice(builder: GraphBuilder, node: Node, names: dict[str, str]) -> str:
    part = _expanded_op(node.op)
    if part is None:
        return builder.add(node.name, node.op, *(names[i] for i in node.inputs))
    return builder.splice(part, prefix=f"{node.name}.", at=names[node.inputs[0]])


__all__ = [
    "Composite",
    "Operator",
    "Parameter",
    "Primitive",
    "expand",
    "operator_kinds",
    "operator_of",
    "parts_of",
    "primitive_of",
]
