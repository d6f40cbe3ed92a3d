"""Checks of a user's space: its texts, terms and ops must match its graphs."""

from __future__ import annotations

import json
import math
import re

import numpy as np

from hwnas._costs._cost import COSTS
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import HwnasError, SpaceError
from hwnas.spaces import Space, space_identity

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_LOOKS = 5


def require_sound(space: Space) -> None:
    """Check a few architectures of a space that is not ours: a mistake in it would make every number wrong.

    Raises:
        SpaceError: Its name is not a word, or its texts, terms or ops do not match its graphs.
    """
    name = getattr(space, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        raise SpaceError(
            f"space {type(space).__name__}: its name must be a word of letters, digits, . _ -, got {name!r}"
        )
    require_json(f"space {name}", space.settings)
    if "fingerprint" not in space_identity(space):
        return
    ops, costs = set(space.ops()), SpaceCosts(space, None)
    for arch in space.sample(_LOOKS, np.random.default_rng(0)):
        text, graph, codes = space.format(arch), space.graph(arch), space.encode(arch)[None]
        if space.canonical(space.parse(text)) != space.canonical(arch):
            raise SpaceError(f"space {name}: parse does not read what format writes, {text!r}")
        if missing := sorted(op.key for op in set(graph.op_counts) - ops):
            raise SpaceError(f"space {name}: ops() lacks {missing[0]} of the network {text}")
        for cost in COSTS.values():
            if cost.of_graph is None or cost.combine != "sum":
                continue
            of_graph, of_terms = cost.of_graph(graph, costs.batch), float(costs.cost(cost.key)(codes)[0])
            if not math.isclose(of_graph, of_terms):
                raise SpaceError(
                    f"space {name}: the terms of {text} have {of_terms:.0f} {cost.title}, its graph "
                    f"{of_graph:.0f}; terms must add up to the graph"
                )


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
