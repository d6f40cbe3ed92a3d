"""Checks of a user's space: its texts, terms and ops must match its graphs."""

from __future__ import annotations

import json
import math
import re

import numpy as np

from hwnas._costs._cost import COSTS
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import HwnasError, SpaceError
from hwnas.spaces import Architecture, Space, space_identity
from latency_tables import SESSION, Entry, LatencyTable, Op, UnmeasuredOpError, crossing_op
from profilers import Workload, graph_parameters

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_LOOKS = 5
_EQUAL = 1e-9
"""Relative difference of two sums of the same prices in another order."""


def require_sound(workload: Workload) -> None:
    """Check a few networks of a workload, unless it is a built-in space: a mistake would make every number wrong.

    Raises:
        HwnasError: Its name is not a word, or its settings are not JSON.
        SpaceError: It is a space whose texts, terms or ops do not match its graphs.
    """
    name, kind = getattr(workload, "name", None), "space" if isinstance(workload, Space) else "workload"
    if not isinstance(name, str) or not _NAME.match(name):
        raise SpaceError(
            f"{kind} {type(workload).__name__}: its name must be a word of letters, digits, . _ -, got {name!r}"
        )
    require_json(f"{kind} {name}", workload.settings)
    if isinstance(workload, Space) and "fingerprint" in space_identity(workload):
        require_sound_space(workload)


def require_sound_space(space: Space, count: int = _LOOKS) -> None:
    """Compare texts, ops and every cost of a few architectures with their whole graphs.

    Args:
        space: The space.
        count: Number of architectures.

    Raises:
        SpaceError: They do not match.
        OperatorError: Nodes that share weights need weights of different shapes.
    """
    ops, table = set(space.ops()), trial_table(space)
    costs = SpaceCosts(space, table)
    for arch in space.sample(count, np.random.default_rng(0)):
        text, graph, codes = space.format(arch), space.graph(arch), space.encode(arch)[None]
        if space.canonical(space.parse(text)) != space.canonical(arch):
            raise SpaceError(f"space {space.name}: parse cannot read what format returns, {text!r}")
        if missing := sorted(op.key for op in set(graph.op_counts) - ops):
            raise SpaceError(f"space {space.name}: ops() lacks {missing[0]} of the network {text}")
        dict(graph_parameters(graph))  # refuses nodes that cannot share what their names say
        for cost in COSTS.values():
            if cost.of_graph is None or cost.combine != "sum":
                continue
            of_graph, of_terms = cost.of_graph(graph, costs.batch), float(costs.cost(cost.key)(codes)[0])
            if not math.isclose(of_graph, of_terms):
                raise SpaceError(
                    f"space {space.name}: the terms of {text} have {of_terms:.0f} {cost.title}, its graph "
                    f"{of_graph:.0f}; terms must add up to the graph"
                )
        _require_latency(space, costs, table, arch)


def _require_latency(space: Space, costs: SpaceCosts, table: LatencyTable, arch: Architecture) -> None:
    """Refuse a space whose terms cost another latency than the whole graph."""
    text, whole = space.format(arch), table.price(space.graph(arch)).value_ms
    try:
        summed = float(costs.latency_ms(space.encode(arch)[None])[0])
    except UnmeasuredOpError as error:
        raise SpaceError(f"space {space.name}: ops() lacks {error.keys[0]} of the terms of {text}") from None
    if not math.isclose(summed, whole, rel_tol=_EQUAL):
        raise SpaceError(
            f"space {space.name}: the terms of {text} cost {summed:.9g} ms at made-up prices, "
            f"its graph {whole:.9g} ms; "
            "terms must contain the ops of the graph in its order, so split them where the runtime fuses nothing"
        )


def trial_table(space: Space) -> LatencyTable:
    """Return made-up prices that differ for every op, with sides that alternate between cores."""

    def entry(op: Op, ms: float, alone: bool | None = None) -> Entry:
        """Return a row with this price."""
        return Entry(op, "ok", ms, ms, ms, ms, ms, 0, "", on_one_core=alone)

    ops = sorted(space.ops(), key=lambda op: op.key)
    shapes = sorted({shape for op in ops for shape in (*op.inputs, op.output)})
    entries = [entry(SESSION, 1.0), *(entry(op, 1.0 + math.sqrt(2 + i), bool(i % 2)) for i, op in enumerate(ops))]
    entries += [entry(crossing_op(shape), 0.1 + 0.01 * math.sqrt(2 + i)) for i, shape in enumerate(shapes)]
    return LatencyTable({}, {}, {}, {}, {row.op: row for row in entries})


def require_json(owner: str, settings: object) -> None:
    """Refuse settings that cannot be stored with a run.

    Args:
        owner: What they belong to, for the error.
        settings: The settings.

    Raises:
        HwnasError: They cannot be written as JSON.
    """
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise HwnasError(f"{owner}: its settings cannot be written as JSON: {error}") from None
