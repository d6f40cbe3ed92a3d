"""`Mixture`: one network under a distribution over choices, on the weights of a supernet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from torch import Tensor, nn

from hwnas._errors import EvaluatorError
from hwnas.oneshot._distribution import Distribution, probabilities, require_shapes
from hwnas.oneshot._masked import Evaluation, Masked, added
from hwnas.oneshot._patterns import Weights
from hwnas.oneshot._variants import Alternative, Codes, Variant, variants_of
from hwnas.spaces import Architecture, ChoiceGraphSpace, ChoiceNode, Segments, Space
from hwnas.training import Supernet
from hwnas.training._mixture import before_post_processing
from latency_tables import INPUT, Shape
from profilers import RunningNorm

_PLANS = 64


@dataclass(frozen=True)
class _PlannedNode:
    """A node: the sum of its parts, or of its variants by their probabilities."""

    name: str
    parts: tuple[str, ...]
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class _Plan:
    """The mixture for some codes of the sampled choices."""

    nodes: tuple[_PlannedNode, ...]
    output: str


class Mixture(nn.Module):
    """One network in which every choice has its probabilities, in training; its parameters are the supernet's.

    * Alternatives that **differ in kind** (a convolution, a pooling, a squeeze-excite or none) are all computed, and
      their results added up by probability.
    * **Widths** are masks: the largest is computed, and each channel is multiplied by the probability of the widths
      that have it, ``sum_i g_i 1_i`` (DMaskingNAS, Wan et al. 2020, arXiv 2004.05565, section 3.1).
      Ops that move channels (shifts, shuffles, convolutions in groups, and concatenations and slices where networks use
      the leading part of a weight) have other results for each width: these are computed one by one and added up by
      probability.
    * **Kernels and dilations** are one convolution, with the sum of the kernels by probability: convolution is linear
      in its kernel, so that is the sum of their results (DASH, Shen et al. 2022, arXiv 2204.07554, section 3.2). Behind
      a norm or an activation this is no longer the sum of the alternatives' outputs.
    * **Depth** is a gate: a block by the probability that it is there, and what passes it by for the rest.
    * Choices that change the size of maps (**resolution, strides**) cannot be mixed: they are sampled. Their
      probabilities get the straight-through gradient, as though the output were multiplied by the probability.

    With one-hot probabilities the outputs are those of the network that they stand for, ``supernet(x, arch)``.
    Alternatives of probability exactly 0 are not computed where they differ in kind, and get no gradient there.

    A step holds the activations of the largest network once, and once more for each further kind of a node that is
    mixed; widths and kernels add only tensors of the size of weights (`docs/oneshot.md` has figures).

    Args:
        supernet: The shared weights, of a space that is stated as a choice graph.

    Attributes:
        supernet: The shared weights.
        sampled: Columns of the choices that are sampled instead of mixed.

    Raises:
        EvaluatorError: The space is not stated as a choice graph.
    """

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        space = supernet.space
        if not isinstance(space, ChoiceGraphSpace):
            raise EvaluatorError(f"space {space.name} is not stated as a choice graph; its networks cannot be mixed")
        self.supernet = supernet
        self._space = space
        self.sampled = _sampled_columns(space)
        self._plans: dict[Codes, _Plan] = {}

    def sample(self, distribution: Distribution, rng: np.random.Generator) -> dict[int, int]:
        """Draw codes of the sampled choices, by column."""
        arrays = probabilities([distribution[column] for column in self.sampled])
        return {column: int(rng.choice(len(own), p=own)) for column, own in zip(self.sampled, arrays, strict=True)}

    def input_shape(self, sampled: Mapping[int, int]) -> Shape:
        """Return the shape of the inputs ``(channels, ...)`` for codes of the sampled choices."""
        return self._space.input_shape(self._space.decode(self._row(sampled)))

    def forward(self, x: Tensor, distribution: Distribution, sampled: Mapping[int, int] | None = None) -> Tensor:
        """Return the outputs of the mixture; batch norms use the batch's statistics.

        Args:
            x: ``(N, *self.input_shape(sampled))``.
            distribution: One vector of probabilities ``(values,)`` for each choice of the space.
            sampled: Codes of the sampled choices, as `sample` draws them; None for the most probable ones.

        Raises:
            EvaluatorError: No path of positive probability leads to the output, or a choice of widths has no mask.
            SpaceError: The vectors do not belong to the choices.
        """
        require_shapes(self._space, distribution)
        if sampled is None:
            sampled = {column: int(distribution[column].argmax()) for column in self.sampled}
        plan = self._plan(tuple(sampled[column] for column in self.sampled))
        weights = Weights({c: own.to(x) for c, own in enumerate(distribution)}, self._space.cardinalities)
        run = Evaluation(self.supernet.shared(), weights, RunningNorm(training=True, momentum=None))
        tensors: dict[str, Masked | None] = {INPUT: Masked(x)}
        for node in plan.nodes:
            parts = (tensors[part] for part in node.parts)
            terms: list[tuple[Tensor | None, Masked]] = [(None, part) for part in parts if part is not None]
            terms += [term for own in node.variants if (term := _term(own, tensors, weights, run)) is not None]
            tensors[node.name] = _sum(terms)
        result = tensors[plan.output]
        if result is None:
            raise EvaluatorError(f"mixture: no path of positive probability leads to {plan.output}")
        return _straight_through(result.applied(), [distribution[c][code] for c, code in sampled.items()])

    def _row(self, sampled: Mapping[int, int]) -> list[int]:
        """Return the codes of the largest network with some sampled choices."""
        row: list[int] = self._space.encode(self.supernet.largest).tolist()
        for column, code in sampled.items():
            row[column] = code
        return row

    def _plan(self, codes: Codes) -> _Plan:
        if codes not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)))
            row = self._row(dict(zip(self.sampled, codes, strict=True)))
            nodes = list(self._space.mixture(self._space.decode(row)))
            output = before_post_processing(nodes, self._space.choice_graph.output)
            graph = self._space.choice_graph
            planned = tuple(self._planned(graph.nodes[node.name], row) for node in nodes)
            self._plans[codes] = _Plan(planned, output)
        return self._plans[codes]

    def _planned(self, node: ChoiceNode, row: Sequence[int]) -> _PlannedNode:
        """Return a node with everything that it can be, where the sampled choices are as in `row`."""
        if node.parts is not None:
            return _PlannedNode(node.name, node.parts, ())
        tables = self._space.shape_tables.ops[node.name]
        columns = {node.guard} if node.guard is not None else set[int]()
        columns |= {column for table in tables if table is not None for column in table.columns}
        mixed = tuple(sorted(columns - set(self.sampled)))
        alternatives: dict[Codes, Alternative] = {}
        for codes in product(*(range(self._space.cardinalities[column]) for column in mixed)):
            own = _with(row, mixed, codes)
            number = node.form_number(own)
            form, table = node.forms[number], tables[number]
            op = None if table is None else table.ops.get(tuple(own[column] for column in table.columns))
            if form is None or (table is not None and op is None):
                alternatives[codes] = Alternative(node.name, None, ())
            else:
                alternatives[codes] = Alternative(form.name, op, form.inputs)

        def segments(codes: Codes) -> Segments:
            """Return the parts of weights that the network of some codes uses."""
            return _segments(self._space, _with(row, mixed, codes))

        return _PlannedNode(node.name, (), variants_of(mixed, alternatives, segments, packed=_is_packed(self._space)))


def _with(row: Sequence[int], columns: Sequence[int], codes: Codes) -> list[int]:
    changed = list(row)
    for column, code in zip(columns, codes, strict=True):
        changed[column] = code
    return changed


def _is_packed(space: Space) -> bool:
    """Return whether the networks of a space use the leading part of each shared weight."""
    return type(space).weight_segments is Space.weight_segments


def _segments(space: ChoiceGraphSpace, row: Sequence[int]) -> Segments:
    if _is_packed(space):
        return {}
    values = zip(space.choices, row, strict=True)
    return space.weight_segments(Architecture(tuple(choice.values[code] for choice, code in values)))


def _sampled_columns(space: ChoiceGraphSpace) -> tuple[int, ...]:
    """Return the choices that change the size of some tensor behind its channels."""
    sampled: set[int] = set()
    for table in space.shape_tables.shapes.values():
        for place, column in enumerate(table.columns):
            sizes: dict[Codes, Shape] = {}
            for codes, shape in table.shapes.items():
                rest = (*codes[:place], *codes[place + 1 :])
                if shape is not None and sizes.setdefault(rest, shape[1:]) != shape[1:]:
                    sampled.add(column)
    return tuple(sorted(sampled | set(space.choice_graph.input_columns)))


def _term(
    variant: Variant, tensors: Mapping[str, Masked | None], weights: Weights, run: Evaluation
) -> tuple[Tensor | None, Masked] | None:
    """Return what a variant adds to its node and by which weight; None where that is nothing."""
    inputs = [tensor for name in variant.inputs if (tensor := tensors[name]) is not None]
    if not variant.inputs or len(inputs) < len(variant.inputs):
        return None
    weight: Tensor | None = None
    for column, allowed in variant.allowed.items():
        share = weights.share(column, allowed)
        if share is not None:
            if not share.detach().any():
                return None
            weight = share if weight is None else weight * share
    if not variant.steps:
        return weight, inputs[0]
    fitted = [
        tensor.fitted(channels, certain=certain)
        for tensor, channels, certain in zip(inputs, variant.channels, variant.certain, strict=True)
    ]
    values = dict(zip(variant.names, fitted, strict=True))
    for step in variant.steps:
        values[step.node.name] = run.step(step, [values[name] for name in step.node.inputs])
    return weight, values[variant.output]


def _sum(terms: Sequence[tuple[Tensor | None, Masked]]) -> Masked | None:
    if len(terms) == 1 and terms[0][0] is None:
        return terms[0][1]
    return added(terms) if terms else None


def _straight_through(output: Tensor, chosen: Sequence[Tensor]) -> Tensor:
    """Return the output unchanged, with the gradient of a product with the probabilities of what was sampled."""
    for probability in chosen:
        if probability.requires_grad:
            output = output * (1 + probability - probability.detach()).to(output)
    return output
