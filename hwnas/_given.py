"""Objects of the user's that take the place of names in the settings of a search."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwnas._errors import EvaluatorError, HwnasError, SpaceError
from hwnas._space_costs import SpaceCosts
from hwnas.data import ImageData
from hwnas.evaluators import Evaluation, Evaluator
from hwnas.spaces import Architecture, Space, space_identity
from latency_tables import LatencyTable
from profilers import Backend, graph_macs, graph_params
from search import Strategy

NO_DATA = "none"
"""``--data`` of a search whose evaluator looks at no data."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_LOOKS = 5


@dataclass(frozen=True)
class Given:
    """What a search is given as objects; None where the settings name it.

    Attributes:
        space: what is searched.
        data: of the evaluator, and of the final tests.
        evaluator: where values come from.
        strategy: what proposes.
        table: latencies.
        backend: measures.
    """

    space: Space | None = None
    data: ImageData | None = None
    evaluator: Evaluator | None = None
    strategy: Strategy | None = None
    table: LatencyTable | None = None
    backend: Backend | None = None


def require_sound(space: Space) -> None:
    """Look at a few architectures of a space, unless it is one of ours: a mistake would be a wrong number everywhere.

    Raises:
        SpaceError: its name is no word; its texts, terms or ops do not fit its graphs.
    """
    name = getattr(space, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        raise SpaceError(
            f"space {type(space).__name__}: its name must be a word of letters, digits, . _ -, not {name!r}"
        )
    require_json(f"space {name}", space.settings)
    if "fingerprint" not in space_identity(space):
        return
    ops, costs = set(space.ops()), SpaceCosts(space, None)
    for arch in space.sample(_LOOKS, np.random.default_rng(0)):
        text, graph, codes = space.format(arch), space.graph(arch), space.encode(arch)[None]
        if space.canonical(space.parse(text)) != space.canonical(arch):
            raise SpaceError(f"space {name}: parse does not read back what format writes, {text!r}")
        if missing := sorted(op.key for op in set(graph.op_counts) - ops):
            raise SpaceError(f"space {name}: ops lacks {missing[0]} of the network {text}")
        for cost, of_graph, of_terms in (
            ("multiply-accumulates", graph_macs, costs.macs),
            ("parameters", graph_params, costs.params),
        ):
            if of_graph(graph) != of_terms(codes)[0]:
                raise SpaceError(
                    f"space {name}: the terms of {text} have {of_terms(codes)[0]:.0f} {cost}, its graph "
                    f"{of_graph(graph)}; terms must add up to the graph"
                )


def require_fraction(evaluator: Evaluator, space: Space, arch: Architecture, found: Evaluation) -> Evaluation:
    """The evaluation, unless it calls something an accuracy that cannot be one.

    Raises:
        EvaluatorError: it lies outside 0 to 1.
    """
    if evaluator.measure == "accuracy" and not (0 <= found.value <= 1 or np.isnan(found.value)):
        raise EvaluatorError(
            f"evaluator {evaluator.name}: an accuracy is a fraction, not {found.value:g} ({space.format(arch)}); "
            "divide percent by 100, or give another measure"
        )
    return found


def require_plain(settings: Mapping[str, object], where: str = "") -> None:
    """Refuse settings that could not be read again from the run's folder.

    Raises:
        HwnasError: naming one that is text but not UTF-8, or a number that is not finite.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            require_plain(value, f"{where}{name}.")
        for one in value if isinstance(value, (list, tuple)) else [value]:
            try:
                one.encode() if isinstance(one, str) else None
            except UnicodeEncodeError:
                raise HwnasError(f"{where}{name} is not UTF-8: {one!a}; give it another name") from None
            if isinstance(one, float) and not math.isfinite(one):
                raise HwnasError(f"{where}{name} must be a finite number, got {one}")


def require_json(owner: str, settings: object) -> None:
    """Refuse settings that cannot be kept with a run.

    Raises:
        HwnasError: they are no JSON.
    """
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise HwnasError(f"{owner}: its settings must be JSON-able: {error}") from None


def input_channels(space: Space) -> int:
    """Channels of the images that the networks of a space read."""
    return space.input_shape(space.sample(1, np.random.default_rng(0))[0])[0]
