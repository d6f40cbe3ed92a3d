"""`nasbench201`: the cell space of NAS-Bench-201 at any image size and number of classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, BoolArray, Choice, FloatArray, IntArray, require_positive
from hwnas.spaces._cells import EDGES, OPERATIONS, OUTPUT_NODE, path_counts, representatives
from hwnas.spaces._choice_graph import Alternative, ChoiceGraph, Make
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._task import Task
from latency_tables import Op
from profilers import ops

_RADIX = np.array([len(OPERATIONS) ** (5 - i) for i in range(6)], dtype=np.int64)
_EDGE_TEXT = re.compile(r"([a-z0-9_]+)~([0-2])\Z")


class NASBench201(ChoiceGraphSpace):
    """Cells of four nodes and five operations, stacked as in NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326).

    Stem, three stages of `cells` cells with 16, 32 and 64 channels, residual reductions between them,
    classifier. Isomorphic cells share the first of their strings as canonical form.

    Args:
        image_size: Height and width of the images, a multiple of 4.
        classes: Number of classes.
        image_channels: Channels of the images.
        cells: Cells in each stage; the benchmark has 5.
        channels: Channels of the first stage; the benchmark has 16.

    Raises:
        SpaceError: A setting is out of range.
    """

    name = "nasbench201"
    terms_want_canonical_codes = True

    def __init__(
        self,
        image_size: int = 32,
        classes: int = 10,
        image_channels: int = 3,
        cells: int = 5,
        channels: int = 16,
    ) -> None:
        self._settings = {
            "image_size": image_size,
            "classes": classes,
            "image_channels": image_channels,
            "cells": cells,
            "channels": channels,
        }
        require_positive(self.name, self._settings)
        if image_size % 4:
            raise SpaceError(f"space nasbench201: image_size must be a multiple of 4, got {image_size}")

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return dict(self._settings)

    @cached_property
    def size(self) -> int:
        """Number of connected cells that are not isomorphic."""
        table = representatives()
        firsts = np.unique(table)
        return int(self.valid_codes(_codes_of(firsts)).sum())

    def canonical_codes(self, codes: npt.ArrayLike) -> IntArray:
        """Return codes ``(n, 6)`` of the first member of each row's isomorphism class."""
        return _canonical_codes()[_indices(codes)]

    def valid_codes(self, codes: npt.ArrayLike) -> BoolArray:
        """Return which cells connect their input with their output."""
        return np.asarray(representatives()[_indices(codes)] != representatives()[0], dtype=np.bool_)

    def features(self, codes: npt.ArrayLike) -> FloatArray:
        """Return path features ``(n, f)``: how often each operation sequence occurs on the paths from input to output.

        Followed by the counts of live operations and the depth; paths as in White et al. 2021 (BANANAS, arXiv
        1910.11858, section 3), on the reduced cell.
        """
        rows = self.canonical_codes(codes)
        columns = self._path_columns
        result = np.zeros((len(rows), len(columns) + len(OPERATIONS)))
        for i, row in enumerate(rows):
            sequences, live, depth = path_counts(tuple(row.tolist()))
            for sequence, count in sequences.items():
                result[i, columns[sequence]] = count
            for j, operation in enumerate(OPERATIONS[1:]):
                result[i, len(columns) + j] = live[operation]
            result[i, -1] = depth
        return result

    def format(self, arch: Architecture) -> str:
        """Return the benchmark's own string of the canonical cell: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
        values = self.canonical(arch).values
        parts = [f"{value}~{source}" for value, (source, _) in zip(values, EDGES, strict=True)]
        return f"|{parts[0]}|+|{'|'.join(parts[1:3])}|+|{'|'.join(parts[3:])}|"

    def parse(self, text: str) -> Architecture:
        """Read the benchmark's string; the result is as written, not yet canonical."""
        nodes = [node.strip("|").split("|") for node in text.strip().split("+")]
        matches = [_EDGE_TEXT.match(part) for node in nodes for part in node]
        sources = [int(m.group(2)) if m else -1 for m in matches]
        if [len(node) for node in nodes] != [1, 2, 3] or sources != [source for source, _ in EDGES]:
            raise SpaceError(
                f"space nasbench201: cannot read {text!r}; it must look like |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
            )
        arch = Architecture(tuple(m.group(1) for m in matches if m))
        self.encode(arch)
        return arch

    @classmethod
    def defaults_from(cls, task: Task, chosen: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the classes, channels and size of a task's images, the size rounded down to a multiple of 4."""
        side = min(task.input_shape[1:])
        return {**super().defaults_from(task, chosen), "image_size": max(4, side // 4 * 4)}

    def state(self) -> ChoiceGraph:
        """State the stem, three stages of cells with residual reductions between them, and the classifier."""
        graph = ChoiceGraph()
        size, width = self._settings["image_size"], self._settings["channels"]
        image = graph.read(self._settings["image_channels"], size, size)
        edges = [graph.choice(f"edge{i}{j}", OPERATIONS) for i, j in EDGES]
        x = graph.add("stem", ops.conv, image, channels=width, kernel=3)
        for stage in range(3):
            if stage:
                x = _reduction(graph, x, width << stage, f"reduce{stage}")
            for number in range(self._settings["cells"]):
                x = _cell(graph, x, edges, width << stage, f"stage{stage}.cell{number}")
        x = graph.add("norm", ops.norm, x, act="relu")
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=self._settings["classes"]))

    def op_counts(self, arch: Architecture) -> Counter[Op]:
        """Return as the graph holds them; each cell from the third on adds what the second adds to one."""
        more = self._settings["cells"] - 2
        if more <= 0:
            return self.graph(arch).op_counts
        one_cell, two_cells = (self._of_cells(cells).graph(arch).op_counts for cells in (1, 2))
        return Counter({op: count + more * (count - one_cell[op]) for op, count in two_cells.items()})

    def ops(self) -> list[Op]:
        """Return all ops, with every fusion that occurs in some cell."""
        return list(self._ops)

    def _of_cells(self, cells: int) -> NASBench201:
        """Make the same space with fewer cells in each stage."""
        return NASBench201(**{**self._settings, "cells": min(cells, self._settings["cells"])})

    @cached_property
    def _ops(self) -> tuple[Op, ...]:
        return _ops_of(tuple(self._of_cells(2)._settings.items()))

    @cached_property
    def _path_columns(self) -> dict[tuple[str, ...], int]:
        steps = OPERATIONS[2:]
        sequences = [s for length in range(4) for s in product(steps, repeat=length)]
        return {sequence: column for column, sequence in enumerate(sequences)}


@lru_cache(maxsize=8)
def _ops_of(settings: tuple[tuple[str, int], ...]) -> tuple[Op, ...]:
    """Return all ops of the space with these settings: seconds of work, done once for all its instances."""
    space = NASBench201(**dict(settings))
    firsts = _codes_of(np.unique(representatives()))
    ops: dict[Op, None] = {}
    for codes in firsts[space.valid_codes(firsts)]:
        ops.update(dict.fromkeys(space.graph(space.decode(codes)).op_counts))
    return tuple(sorted(ops, key=lambda op: op.key))


def _indices(codes: npt.ArrayLike) -> IntArray:
    """Return places ``(n,)`` of codes ``(n, 6)`` among all cells."""
    rows = np.asarray(codes, dtype=np.int64).reshape(-1, len(EDGES))
    places = np.zeros(len(rows), dtype=np.int64)
    for column, radix in enumerate(_RADIX.tolist()):
        places += rows[:, column] * radix
    return places


def _codes_of(indices: IntArray) -> IntArray:
    return (indices[:, None] // _RADIX) % len(OPERATIONS)


@cache
def _canonical_codes() -> IntArray:
    """Return, for every cell, the codes of the first member of its isomorphism class."""
    return _codes_of(representatives())


def _reduction(graph: ChoiceGraph, x: str, channels: int, name: str) -> str:
    """State the benchmark's residual block of stride 2 (ReLU before each convolution, averaged short cut)."""
    y = graph.add(f"{name}.relu_a", ops.activation, x, function="relu")
    y = graph.add(f"{name}.conv_a", ops.conv, y, channels=channels, kernel=3, stride=2)
    y = graph.add(f"{name}.relu_b", ops.activation, y, function="relu")
    y = graph.add(f"{name}.conv_b", ops.conv, y, channels=channels, kernel=3)
    short = graph.add(f"{name}.average", ops.pool, x, kernel=2, stride=2, padding=0)
    short = graph.add(f"{name}.short", ops.conv, short, channels=channels, norm="none")
    return graph.sum(f"{name}.sum", y, short)


def _cell(graph: ChoiceGraph, x: str, edges: Sequence[Choice], channels: int, name: str) -> str:
    """State one cell behind the tensor `x`: each node is the sum of its edges."""
    nodes, rectified = [x], list[str]()
    for target in range(1, OUTPUT_NODE + 1):
        source = len(nodes) - 1
        rectified.append(graph.add(f"{name}.relu{source}", ops.activation, nodes[source], function="relu"))
        parts = []
        for number, (source, end) in enumerate(EDGES):
            if end != target:
                continue
            alternatives: dict[str, Alternative] = {
                "none": None,
                "skip_connect": nodes[source],
                "nor_conv_1x1": Make(ops.conv, rectified[source], channels=channels, kernel=1),
                "nor_conv_3x3": Make(ops.conv, rectified[source], channels=channels, kernel=3),
                "avg_pool_3x3": Make(ops.pool, nodes[source], kernel=3),
            }
            parts.append(graph.choose(f"{name}.edge{number}", edges[number], alternatives))
        nodes.append(graph.sum(f"{name}.sum{target}", *parts))
    return nodes[OUTPUT_NODE]
