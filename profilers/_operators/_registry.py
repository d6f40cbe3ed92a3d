"""The operator registry: each operator once, by the kind that ops name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import ParamSpec, TypeVar, cast

from latency_tables import Op
from profilers._errors import OperatorError
from profilers._operators._base import Operator, Primitive
from profilers._operators._composite import Head, InvertedResidual, Separable, SqueezeExcite
from profilers._operators._convert import Convert
from profilers._operators._dense import Convolution, Linear, Normalisation
from profilers._operators._detections import Detections, Join
from profilers._operators._generic import Generic
from profilers._operators._logmel import LogMel
from profilers._operators._places import Concat, Reshape, Shift, Slice, Transpose, Upsample
from profilers._operators._plain import Activation, Add, GlobalPool, Identity, Multiply, Pool, Scale, Softmax

OPERATOR_GROUP = "hwnas.operators"
"""Entry-point group through which installed distributions provide operators: the kind, and the class."""

_KIND = re.compile(r"[a-z][a-z0-9_]*\Z")
_TABLE_ROWS = ("session", "context", "handover", "core_crossing")
"""Kinds of rows of latency tables that are not operators."""

_OPERATORS: dict[str, Operator] = {
    operator.kind: operator
    for operator in (
        Activation(),
        Add(),
        Concat(),
        Convert(),
        Convolution(),
        Detections(),
        Generic(),
        GlobalPool(),
        Head(),
        Identity(),
        InvertedResidual(),
        Join(),
        Linear(),
        LogMel(),
        Multiply(),
        Normalisation(),
        Pool(),
        Reshape(),
        Scale(),
        Shift(),
        Separable(),
        Slice(),
        Softmax(),
        SqueezeExcite(),
        Transpose(),
        Upsample(),
    )
}

OperatorClass = TypeVar("OperatorClass", bound=type[Operator])
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_CACHES: list[Callable[[], None]] = []


def remembered(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Cache results that follow from operators, until an operator is redefined."""
    cached = lru_cache(maxsize=65536)(function)
    _CACHES.append(cached.cache_clear)
    return cast("Callable[Arguments, Result]", cached)


def register_operator(operator: OperatorClass) -> OperatorClass:
    """Make an operator known by its `kind`; usable as a class decorator.

    The class is a `Primitive` or a `Composite` that can be made without arguments. A class of the same full name takes
    the place of the former one, as when a cell of a notebook is run again.

    Raises:
        OperatorError: The class is not an operator, or its kind is malformed or taken.
    """
    if not isinstance(operator, type) or not issubclass(operator, Operator):
        raise OperatorError(f"an operator must be a subclass of Primitive or Composite, got {operator!r}")
    kind = getattr(operator, "kind", None)
    if not isinstance(kind, str) or not _KIND.match(kind) or kind in _TABLE_ROWS:
        raise OperatorError(
            f"operator {operator.__name__}: kind must be a lower-case word that is not reserved, got {kind!r}"
        )
    existing = _OPERATORS.get(kind)
    if existing is not None and _full_name(type(existing)) != _full_name(operator):
        raise OperatorError(
            f"operator {operator.__name__}: the kind {kind!r} is already that of {_full_name(type(existing))}"
        )
    try:
        _OPERATORS[kind] = operator()
    except TypeError as error:
        raise OperatorError(f"operator {operator.__name__} cannot be constructed: {error}") from None
    for clear in _CACHES if existing is not None else ():
        clear()
    return operator


def operator_kinds() -> list[str]:
    """List the registered kinds, sorted."""
    return sorted(_OPERATORS)


def operator_of(op: Op) -> Operator:
    """Return the operator that `op` is an instance of: a registered one, or one of an installed distribution.

    Raises:
        OperatorError: Its kind is unknown, or a distribution's cannot be loaded.
    """
    if op.kind not in _OPERATORS:
        _load(op.kind)
    return _OPERATORS[op.kind]


def primitive_of(op: Op) -> Primitive:
    """Return the primitive that `op` is an instance of.

    Raises:
        OperatorError: The op is unknown or composite.
    """
    operator = operator_of(op)
    if not isinstance(operator, Primitive):
        raise OperatorError(f"op {op.key} is composite; expand the graph first")
    return operator


def _load(kind: str) -> None:
    """Register the operator that an installed distribution provides for a kind."""
    points = list({point.value: point for point in entry_points(group=OPERATOR_GROUP, name=kind)}.values())
    if not points:
        raise OperatorError(f"unknown operator {kind!r}; known: {', '.join(operator_kinds())}")
    if len(points) > 1:
        raise OperatorError(
            f"operator {kind!r} is provided by {' and '.join(map(_origin, points))}; uninstall all but one"
        )
    try:
        operator = points[0].load()
    except (Exception, SystemExit) as error:  # whatever the code of a distribution raises
        raise OperatorError(
            f"operator {kind!r} of {_origin(points[0])} cannot be loaded: {' '.join(str(error).split())}"
        ) from error
    if getattr(operator, "kind", None) != kind:
        raise OperatorError(f"operator {kind!r} of {_origin(points[0])} must have kind = {kind!r}, got {operator!r}")
    register_operator(operator)


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _full_name(operator: type) -> str:
    return f"{operator.__module__}.{operator.__qualname__}"
