"""What every space must keep: texts, codes, canonical forms, ops and costs that match its graphs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from hwnas._costs._cost import COSTS
from hwnas._costs._soundness import require_sound_space, trial_table
from hwnas._costs._space_costs import SpaceCosts
from hwnas.spaces import Architecture, Space
from hwnas.testing._operators import draw_inputs, run_onnx, run_torch, varied_weights
from hwnas.testing._require import errors_as_faults, require, require_close, require_json
from latency_tables import CacheCurve, LatencyTable
from profilers import GraphModule, build_onnx, trained_graph

_LOOKS = 25
_REBUILT = 5
_TOLERANCE = 1e-3
"""Of whole networks, whose outputs sum over many more terms than those of one op."""
_EQUAL = 1e-9


def check_space(space: Space, make: Callable[..., Space] | None = None) -> None:
    """Check a space by a few of its networks.

    Texts and codes must be read back; codes of one network must have one canonical form, which costs the same; the
    settings must build the space again; ``ops()`` must list every op; the terms must cost what the graphs cost; and
    networks must compute the same in torch and in ONNX Runtime.

    Args:
        space: The space; a small one is quick.
        make: Builds a space from its settings; by default its class.

    Raises:
        AssertionError: The space breaks the contract.
    """
    with errors_as_faults():
        _check_settings(space, make or type(space))
        archs = space.sample(_LOOKS, np.random.default_rng(0))
        for arch in archs:
            _check_texts(space, arch)
        _check_one_hot(space, archs)
        _check_canonical(space)
        _check_neighbours(space, archs[0])
        require_sound_space(space, _LOOKS)
        _check_costs(space, archs)
        _check_outputs(space, archs[1])


def _check_settings(space: Space, make: Callable[..., Space]) -> None:
    name = getattr(space, "name", None)
    word = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    require(word, f"space {type(space).__name__}: its name must be a word of letters, digits, . _ -, got {name!r}")
    require_json(space.settings, f"space {name}: its settings")
    again = make(**space.settings)
    require(again.settings == space.settings, f"space {name}: built again, it has the settings {again.settings}")
    same = again.choices == space.choices and all(
        again.graph(arch) == space.graph(arch) for arch in space.sample(_REBUILT, np.random.default_rng(1))
    )
    require(same, f"space {name}: its settings {space.settings} do not build the same space again")


def _check_texts(space: Space, arch: Architecture) -> None:
    text = space.format(arch)
    require(len(text.split()) == 1, f"space {space.name}: format must give one word, got {text!r}")
    require(
        space.canonical(space.parse(text)) == arch == space.canonical(arch),
        f"space {space.name}: parse does not read what format writes, {text!r}",
    )
    require(space.decode(space.encode(arch)) == arch, f"space {space.name}: decode does not give back {text}")


def _check_one_hot(space: Space, archs: list[Architecture]) -> None:
    codes = np.array([space.encode(arch) for arch in archs])
    hot, starts = space.one_hot(codes), np.cumsum([0, *space.cardinalities])
    columns = [hot[:, a:b] for a, b in pairwise(starts)]
    right = hot.shape == (len(codes), starts[-1]) and all(
        (part.argmax(axis=1) == codes[:, c]).all() and (part.sum(axis=1) == 1).all() for c, part in enumerate(columns)
    )
    require(right, f"space {space.name}: one_hot must mark the value of each choice, and nothing else")


def _check_canonical(space: Space) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, space.cardinalities, size=(20 * _LOOKS, len(space.choices)))
    codes = codes[space.valid_codes(codes)][:_LOOKS]
    canonical = space.canonical_codes(codes)
    repeated = space.canonical_codes(canonical)
    require((repeated == canonical).all(), f"space {space.name}: canonical_codes changes codes that are canonical")
    for row, twin in zip(codes, canonical, strict=True):
        alone = row[None].copy()
        alone.setflags(write=False)  # as a search passes them
        same = bool((space.canonical_codes(alone) == twin).all() and (alone == row).all())
        require(same, f"space {space.name}: canonical_codes must treat each row alone, and leave what it is given")
    for row, twin in zip(codes, canonical, strict=True):
        one, other = space.decode(row), space.decode(twin)
        require(
            space.graph(one).op_counts == space.graph(other).op_counts,
            f"space {space.name}: {one.values} has other ops than its canonical form {other.values}",
        )
        texts = space.format(one), space.format(other)
        require(texts[0] == texts[1], f"space {space.name}: one network has two texts, {texts[0]} and {texts[1]}")


def _check_neighbours(space: Space, arch: Architecture) -> None:
    others = list(space.neighbours(arch))
    right = len(set(others)) == len(others) and arch not in others
    require(
        right and all(space.canonical(other) == other for other in others),
        f"space {space.name}: neighbours must yield other canonical networks, each once",
    )


def _check_costs(space: Space, archs: list[Architecture]) -> None:
    """Compare every cost that follows from the terms with that of the graph, at a batch size that is not 1."""
    table = _table(space)
    costs = SpaceCosts(space, table, batch=2)
    codes = np.array([space.encode(arch) for arch in archs])
    graphs = [space.graph(arch) for arch in archs]
    prices = [table.price(graph).value_ms for graph in graphs]
    require_close(costs.latency_ms(codes), prices, _EQUAL, f"space {space.name}: latency of terms and graphs (ms)")
    alone = [float(costs.latency_ms(row[None])[0]) for row in codes]
    require_close(alone, prices, _EQUAL, f"space {space.name}: latency of terms and graphs, one by one (ms)")
    for cost in COSTS.values():
        if cost.of_graph is not None:
            of_graphs = [cost.of_graph(graph, 2) for graph in graphs]
            fault = f"space {space.name}: {cost.title} of terms and graphs"
            require_close(costs.cost(cost.key)(codes), of_graphs, _EQUAL, fault)


def _table(space: Space) -> LatencyTable:
    """Return made-up prices with core crossings and a working set that leaves the caches."""
    table = trial_table(space)
    entries = {
        op: dataclasses.replace(entry, weight_bytes=1000 * (i % 5), activation_bytes=500 * (i % 7))
        for i, (op, entry) in enumerate(table.entries.items())
    }
    curve = CacheCurve(100, (0.0, 4000.0, 20_000.0), (0.0, 0.0, 0.02))
    return dataclasses.replace(table, entries=entries, cache=curve)


def _check_outputs(space: Space, arch: Architecture) -> None:
    """Compare torch with ONNX Runtime, up to post-processing: which boxes are kept can hang on the last bit."""
    graph, text = trained_graph(space.graph(arch)), space.format(arch)
    shape = space.input_shape(arch)
    require(
        shape == graph.input_shape, f"space {space.name}: {text} reads {graph.input_shape}, input_shape says {shape}"
    )
    weights, inputs = varied_weights(graph), draw_inputs(graph, 1)
    expected = run_torch(GraphModule(graph, weights).eval(), inputs)
    got = run_onnx(build_onnx(graph, weights), inputs)
    for a, b in zip(got, expected, strict=True):
        scale = float(b.std()) or 1.0
        fault = (
            f"space {space.name}: torch and ONNX Runtime do not agree on {text} (relative to the outputs' deviation)"
        )
        require_close(a / scale, b / scale, _TOLERANCE, fault)
