"""`derived`: the space of a trained model, whose largest network is the model itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Choice, Segments, Value
from hwnas.spaces._choice_graph import ChoiceGraph
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._derived._graph_json import graph_as_json, graph_from_json
from hwnas.spaces._derived._groups import Part, has_channels, reads_densely
from hwnas.spaces._derived._options import DEPTHS, IMPORTANCES, KERNELS, STEP, WIDTHS, checked_options
from hwnas.spaces._derived._plan import Plan, plan_of
from hwnas.spaces._derived._prepare import Prepared, prepare
from hwnas.spaces._derived._state import limited, stated
from latency_tables import OpGraph
from profilers import graph_parameters

_LETTERS = "rdwk"


class EmptySpaceError(SpaceError):
    """Nothing of a model can be left out."""


class DerivedSpace(ChoiceGraphSpace):
    """What can be left out of a trained model (see docs/derive.md): channels, blocks, taps of kernels, pixels.

    Args:
        graph: The model's op graph, or what `settings` hold of it.
        sha256: The SHA-256 (hexadecimal) of the model's file: another file is another space.
        keep: Names of layers that stay as they are, or patterns (``layer1.*``).
        widths: Shares of the channels of a group to choose from; 1 is the largest.
        step: Channels are left out in steps of so many, in narrow groups of half or a quarter as many.
        depth: Residual blocks are left out by ``stages`` (the last ones first), by ``blocks`` (each by itself), or
            not at all (``none``).
        kernels: ``all`` kernels of 5 and more may shrink, ``depthwise`` ones alone, or ``none``.
        resolutions: Image heights to choose from, with the model's as the largest; none for that and three quarters of
            it, where the network allows it.
        importance: What channels are ordered by, the most important ones first: ``taylor``, ``bn`` or ``l2``.
        norms: Whether convolutions without a batch norm get one back for training.

    Raises:
        SpaceError: A setting is out of range, or nothing of the model can be left out.
    """

    name = "derived"

    def __init__(
        self,
        graph: OpGraph | Mapping[str, Any] | None = None,
        *,
        sha256: str = "",
        keep: Sequence[str] | str = (),
        widths: Sequence[float] = WIDTHS,
        step: int = STEP,
        depth: str = DEPTHS[0],
        kernels: str = KERNELS[0],
        resolutions: Sequence[int] | int = (),
        importance: str = IMPORTANCES[0],
        norms: bool = True,
    ) -> None:
        if graph is None:
            raise SpaceError("space derived: its model is missing; derive the space from a model file")
        self._model = graph if isinstance(graph, OpGraph) else graph_from_json(graph)
        self._sha256 = sha256
        self._options = checked_options(
            keep=keep,
            widths=widths,
            step=step,
            depth=depth,
            kernels=kernels,
            resolutions=resolutions,
            importance=importance,
            norms=norms,
        )
        if not self.choices:
            reasons = dict.fromkeys(f"{note.what}: {note.reason}" for note in self.plan.notes)
            raise EmptySpaceError(f"nothing of the model can be left out ({'; '.join(reasons):.300})")

    @property
    def settings(self) -> dict[str, object]:
        """Keyword arguments of the constructor."""
        return {"graph": graph_as_json(self._model), "sha256": self._sha256, **self._options.as_dict()}

    @cached_property
    def prepared(self) -> Prepared:
        """The model as the space sees it."""
        return prepare(self._model, norms=self._options.norms)

    @cached_property
    def plan(self) -> Plan:
        """What of the model is searched, and what not."""
        return limited(plan_of(self.prepared, self._options), self._options)

    def state(self) -> ChoiceGraph:
        """State the choice graph of the plan."""
        return stated(self.plan)

    @property
    def importance(self) -> str:
        """What channels are ordered by."""
        return self._options.importance

    @cached_property
    def largest(self) -> Architecture:
        """The network with the largest value of every choice: the model itself."""
        return Architecture(tuple(choice.values[-1] for choice in self.choices))

    @cached_property
    def smallest(self) -> Architecture:
        """The network with the smallest value of every choice."""
        return Architecture(tuple(choice.values[0] for choice in self.choices))

    @cached_property
    def size(self) -> int:
        """Number of assignments of all choices; those of absent blocks are counted too."""
        return math.prod(self.cardinalities)

    def weight_segments(self, arch: Architecture) -> Segments:
        """Return the parts of weights that read or write several groups of channels."""
        kept = self._kept_units(arch)
        found: dict[str, dict[int, tuple[tuple[int, int], ...]]] = {}
        for name, axis, parts in self._segmented:
            start, pieces = 0, []
            for part in parts:
                pieces.append((start, kept.get(part.group, part.count) * part.width))
                start += part.count * part.width
            if any(kept.get(part.group, part.count) < part.count for part in parts[:-1]):
                found.setdefault(name, {})[axis] = tuple(pieces)
        return found

    def format(self, arch: Architecture) -> str:
        """Return ``r24_d3.2.1_w8.16.12_k3.5``: resolution, depths, widths and kernels in the order of the choices."""
        values = self.canonical(arch).values
        words, start = [], 0
        for letter, choices in self._kinds.items():
            words.append(letter + ".".join(str(value) for value in values[start : start + len(choices)]))
            start += len(choices)
        return "_".join(words)

    def parse(self, text: str) -> Architecture:
        """Read what `format` prints."""
        values: list[Value] = []
        words = text.strip().split("_")
        for (letter, choices), word in zip(self._kinds.items(), words, strict=False):
            numbers = word[1:].split(".")
            right = word[:1] == letter and all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers)
            if not right or len(numbers) != len(choices):
                break
            values += [int(number) for number in numbers]
        if len(words) != len(self._kinds) or len(values) != len(self.choices):
            raise SpaceError(
                f"space derived: cannot read {text!r:.80}; it must look like {self.format(self.largest):.200}"
            )
        return self.decode(self.encode(Architecture(tuple(values))))

    @cached_property
    def _kinds(self) -> dict[str, tuple[Choice, ...]]:
        """The choices by the letter of their kind, in their order."""
        plan = self.plan
        counts = (int(len(plan.resolutions) > 1), len(plan.depths), len(plan.widths), len(plan.kernels))
        kinds, start = {}, 0
        for letter, count in zip(_LETTERS, counts, strict=True):
            if count:
                kinds[letter] = self.choices[start : start + count]
            start += count
        return kinds

    @cached_property
    def _segmented(self) -> tuple[tuple[str, int, tuple[Part, ...]], ...]:
        """Axes of weights that hold several groups: name of the weight, axis, groups."""
        found = []
        for node in filter(has_channels, self.prepared.graph.nodes):
            written = self.plan.layout.written[node.name]
            read = self.plan.layout.read.get(node.name, ())
            for name, parameter in graph_parameters(OpGraph.single(node.op, node.name)):
                if len(written) > 1:
                    found.append((name, 0, written))
                if reads_densely(node) and len(parameter.shape) > 1 and len(read) > 1:
                    found.append((name, 1, read))
        return tuple(found)

    def _kept_units(self, arch: Architecture) -> dict[str, int]:
        """Return the units that are kept of each searched group."""
        chosen = {choice.name: value for choice, value in zip(self.choices, arch.values, strict=True)}
        return {
            group: units[width.values.index(int(chosen[width.name]))]
            for width in self.plan.widths
            for group, units in width.units.items()
        }
