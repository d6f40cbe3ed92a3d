"""The space of another space's networks with a precision for each block."""

import numpy as np
import pytest
from derived_models import dense_block

from hwnas._errors import SpaceError
from hwnas.spaces import MixedPrecisionSpace, make_space, space_identity, with_precision
from hwnas.testing import check_space

INNER = make_space("mobilenetv3", resolution=[8, 16], width=0.5)
SPACE = with_precision(INNER, "mixed")
BLOCKS = len(INNER.terms)


def conversions(graph):
    return [node.op.dtype for node in graph.nodes if node.op.kind == "convert"]


@pytest.mark.parametrize("inner", [INNER, make_space("nasbench201", image_size=8, cells=1, channels=4)])
def test_it_keeps_the_contract_of_spaces(inner):
    check_space(MixedPrecisionSpace(inner), lambda **settings: make_space("mixed", **settings))


def test_it_is_made_of_a_space_by_its_precision():
    assert with_precision(INNER, "int8") is INNER
    assert with_precision(SPACE, "mixed") is SPACE
    assert space_identity(SPACE) == {"name": "mixed", "space": "mobilenetv3", "settings": INNER.settings}
    with pytest.raises(SpaceError, match="it is made of another space"):
        make_space("mixed")


def arch_with(letters, seed=0):
    inner = INNER.sample(1, np.random.default_rng(seed))[0]
    return SPACE.canonical(SPACE.parse(f"{INNER.format(inner)}@{letters}"))


def test_only_borders_between_precisions_hold_conversions():
    for letters, expected in (
        ("f" * BLOCKS, []),
        ("i" * BLOCKS, ["int8", "float32"]),
        ("ff" + "i" * (BLOCKS - 2), ["int8", "float32"]),
        ("f" * (BLOCKS - 1) + "i", ["int8", "float32"]),
        ("i" + "f" * (BLOCKS - 2) + "i", ["int8", "float32", "int8", "float32"]),
    ):
        assert conversions(SPACE.graph(arch_with(letters))) == expected, letters


def test_a_block_converts_what_it_reads():
    arch = arch_with("fi" + "f" * (BLOCKS - 2))
    read = {term.name: SPACE.term_graph(term, arch) for term in SPACE.terms}
    assert conversions(read["stage0.block0"]) == ["int8"]
    following = next(graph for name, graph in list(read.items())[2:] if graph is not None)
    assert conversions(following) == ["float32"]


def test_a_block_that_is_left_out_has_the_precision_of_the_one_before_it():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, SPACE.cardinalities, size=(200, len(SPACE.choices)))
    seen = 0
    for row in SPACE.canonical_codes(codes):
        precisions = row[len(INNER.choices) :]
        inner = INNER.decode(row[: len(INNER.choices)])
        for number, term in enumerate(INNER.terms):
            if INNER.term_graph(term, inner) is None:
                assert precisions[number] == precisions[number - 1]
                seen += 1
    assert seen


def test_texts_without_a_letter_for_each_block_are_refused():
    text = SPACE.format(SPACE.sample(1, np.random.default_rng(0))[0])
    for wrong in (text[:-1], text[:-1] + "x", text.replace("@", "")):
        with pytest.raises(SpaceError, match=f"must end in @ and {BLOCKS} letters"):
            SPACE.parse(wrong)


class Unnamed(type(INNER)):
    """A space whose terms name their nodes otherwise than its graphs."""

    def graph(self, arch):
        from dataclasses import replace

        graph = super().graph(arch)
        first, *others = graph.nodes
        renamed = {first.name: "other"}
        rest = [replace(node, inputs=tuple(renamed.get(n, n) for n in node.inputs)) for node in others]
        return replace(graph, nodes=(replace(first, name="other"), *rest))


def test_a_node_that_belongs_to_no_block_is_an_error():
    space = MixedPrecisionSpace(Unnamed(resolution=8, width=0.5))
    with pytest.raises(SpaceError, match="the node other is in none of its terms"):
        space.graph(space.decode([0] * len(space.choices)))


def test_shared_weights_are_used_like_those_of_the_float_form():
    inner = make_space("derived", graph=dense_block(layers=2))
    space = MixedPrecisionSpace(inner)
    for arch in inner.sample(20, np.random.default_rng(0)):
        mixed = space.decode(space.with_float_blocks([inner.encode(arch)])[0])
        assert space.weight_segments(mixed) == inner.weight_segments(arch)
    assert any(inner.weight_segments(arch) for arch in inner.sample(20, np.random.default_rng(0)))
