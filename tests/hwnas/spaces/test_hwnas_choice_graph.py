"""Choice graphs: what follows from them, held against slow readings of the same statement."""

import math
import pickle
from itertools import product

import numpy as np
import pytest

import hwnas
from hwnas._costs._soundness import require_sound
from hwnas._costs._space_costs import SpaceCosts
from hwnas.spaces import ChoiceGraph, ChoiceGraphSpace, Make, follow, make_space
from latency_tables import OpGraph
from profilers import graph_macs, graph_parameters, graph_params, ops, peak_memory_bytes


def graph_of(state):
    """A space whose choice graph a function states."""

    class Stated(ChoiceGraphSpace):
        name = "stated"

        def state(self):
            return state(ChoiceGraph())

    return Stated()


def all_codes(space):
    return np.indices(space.cardinalities).reshape(len(space.choices), -1).T


def elastic(graph):
    """Every kind of choice: width, resolution, depth, kernel, activation, alternatives, a branch that may be absent."""
    size, width = graph.choice("size", (8, 16)), graph.choice("width", (4, 8))
    channels = follow(lambda count: 2 * count, width)
    x = graph.add("stem", ops.conv, graph.read(3, size, size), channels=channels, kernel=3, stride=2)
    depth = graph.choice("depth", (1, 2, 3))
    for block in range(3):
        kernel = graph.choice(f"kernel{block}", (1, 3))
        x = graph.add(
            f"block{block}", ops.conv, x, when=(depth, lambda d, b=block: d > b), channels=channels, kernel=kernel
        )
    kind, act = graph.choice("kind", ("conv", "pool", "skip", "none")), graph.choice("act", ("relu", "hswish"))
    relu = graph.add("relu", ops.activation, x, function=act)
    branch = graph.choose(
        "branch",
        kind,
        {
            "conv": Make(ops.conv, relu, channels=channels, kernel=3),
            "pool": Make(ops.pool, relu, kernel=3),
            "skip": x,
            "none": None,
        },
    )
    x = graph.sum("sum", x, branch)
    x = graph.add("pooled", ops.global_pool, graph.add("last", ops.activation, x, function="relu"))
    return graph.finish(graph.add("classes", ops.linear, x, features=4))


SPACES = {
    "elastic": graph_of(elastic),
    "nasbench201": make_space("nasbench201", image_size=8, cells=1),
    "mobilenetv3 tiny": make_space("mobilenetv3", resolution=[8, 16]),
    "mobilenetv3 imagenet": make_space("mobilenetv3", preset="imagenet"),
}
spaces = pytest.mark.parametrize("name", SPACES)


def some_codes(space, count=400):
    if math.prod(space.cardinalities) <= 20_000:
        rows = all_codes(space)
        return rows[np.random.default_rng(0).permutation(len(rows))[:count]]
    return np.random.default_rng(0).integers(0, space.cardinalities, size=(count, len(space.choices)))


def derived(space):
    """The same space with nothing but what follows from its graph."""

    class Derived(ChoiceGraphSpace):
        name = "derived"

        def state(self):
            return space.state()

    return Derived()


@spaces
def test_canonical_codes_keep_the_network_and_are_their_own(name):
    space = derived(SPACES[name])
    codes = some_codes(space)
    codes = codes[space.valid_codes(codes)]
    canonical = space.canonical_codes(codes)
    assert (space.canonical_codes(canonical) == canonical).all()
    assert ((canonical == codes) | (canonical == 0)).all()
    for row, twin in zip(codes[:100], canonical[:100], strict=True):
        first, second = (space.graph(space.decode(codes)) for codes in (row, twin))
        assert [node.op for node in first.nodes] == [node.op for node in second.nodes]
        assert first.output_shape == second.output_shape


def test_choices_that_do_not_matter_are_found_by_brute_force():
    """A choice is at its first value in the canonical form exactly where it may be changed without effect."""
    space = SPACES["elastic"]
    for row in some_codes(space, 120):
        canonical = space.canonical_codes(row[None])[0]
        graph = space.graph(space.decode(canonical))
        for column, count in enumerate(space.cardinalities):
            moved = canonical.copy()
            others = [moved.__setitem__(column, code) or space.graph(space.decode(moved)) for code in range(count)]
            if all(other == graph for other in others):
                assert canonical[column] == 0, space.choices[column].name


def test_two_choices_that_matter_only_together_are_both_kept():
    """A chain of two nodes that may be absent: neither alone brings the path back, both do."""

    def state(graph):
        a, b = (graph.choice(name, ("conv", "none")) for name in "ab")
        x = graph.add("stem", ops.conv, graph.read(3, 8, 8), channels=3)
        y = graph.choose("first", a, {"conv": Make(ops.conv, x, channels=3), "none": None})
        y = graph.choose("second", b, {"conv": Make(ops.conv, y, channels=3), "none": None})
        return graph.finish(graph.sum("sum", x, y))

    space = graph_of(state)
    canonical = space.canonical_codes([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert canonical.tolist()[0] == [0, 0]
    assert set(canonical[1:].sum(axis=1).tolist()) == {1}  # one absent node is enough, and one is kept


@spaces
def test_a_hand_written_canonical_form_agrees_with_what_follows(name):
    """Isomorphic cells share more than what follows from absent paths; every other form is the same."""
    space, plain = SPACES[name], derived(SPACES[name])
    codes = some_codes(space, 2000)
    assert (space.valid_codes(codes) == plain.valid_codes(codes)).all()
    if name == "nasbench201":
        assert (space.canonical_codes(plain.canonical_codes(codes)) == space.canonical_codes(codes)).all()
    else:
        assert (space.canonical_codes(codes) == plain.canonical_codes(codes)).all()


@spaces
def test_terms_cost_what_the_whole_graph_costs(name):
    space = derived(SPACES[name])
    costs = SpaceCosts(space, None, batch=2)
    codes = some_codes(space, 40)
    codes = codes[space.valid_codes(codes)]
    graphs = [space.graph(space.decode(row)) for row in codes]
    assert costs.cost("macs")(codes).tolist() == [graph_macs(g) for g in graphs]
    assert costs.cost("params")(codes).tolist() == [graph_params(g) for g in graphs]
    assert costs.cost("peak_memory_bytes")(codes).tolist() == [peak_memory_bytes(g, batch=2) for g in graphs]
    for row, graph in zip(codes[:10], graphs, strict=False):
        arch = space.decode(row)
        parts = [part for term in space.terms if (part := space.term_graph(term, arch)) is not None]
        assert sum((part.op_counts for part in parts), type(graph.op_counts)()) == graph.op_counts


def test_terms_are_cut_where_one_tensor_passes_and_nothing_is_merged():
    elastic = [(term.name, term.choices) for term in SPACES["elastic"].terms]
    assert elastic == [("stem", (0, 1)), ("block0", (0, 1, 2, 3, 4, 5, 6, 7)), ("pooled", (0, 1)), ("classes", (1,))]
    tiny = SPACES["mobilenetv3 tiny"]
    columns = {choice.name: column for column, choice in enumerate(tiny.choices)}
    terms = {term.name: term.choices for term in tiny.terms}
    assert len(terms) == 17
    assert terms["stage1.block0"] == (0, 1, columns["stage1.block0.kernel"], columns["stage1.block0.expansion"])
    assert columns["stage1.depth"] in terms["stage1.block1"]


@pytest.mark.parametrize("name", ["elastic", "mobilenetv3 tiny"])
def test_ops_are_those_of_all_networks(name):
    space = derived(SPACES[name])
    rows = all_codes(space) if name == "elastic" else some_codes(space, 300)
    seen = {op for row in rows for op in space.graph(space.decode(row)).op_counts}
    assert seen <= set(space.ops())
    if name == "elastic":
        assert seen == set(space.ops())


def test_extents_of_shared_weights_are_the_largest_of_all_networks():
    space, largest, stated = SPACES["elastic"], {}, {}
    for row in all_codes(space):
        for name, parameter in graph_parameters(space.graph(space.decode(row))):
            largest[name] = tuple(map(max, zip(largest.get(name, parameter.shape), parameter.shape, strict=True)))
    for node, op in space.weighted_ops():
        for name, parameter in graph_parameters(OpGraph.single(op, node)):
            stated[name] = tuple(map(max, zip(stated.get(name, parameter.shape), parameter.shape, strict=True)))
    assert stated == largest
    assert stated["block1.weight"] == (16, 16, 3, 3)


@pytest.mark.parametrize("name", ["elastic", "nasbench201", "mobilenetv3 tiny"])
def test_a_mixture_with_one_hot_weights_is_the_network(name):
    import torch
    from torch.nn.functional import one_hot

    from hwnas.training import Supernet

    space = SPACES[name]
    supernet = Supernet(space, seed=1)
    with torch.no_grad():
        for tensor in supernet.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
    for arch in space.sample(4, np.random.default_rng(2)):
        codes = space.encode(arch)
        weights = {c: one_hot(torch.tensor(codes[c]), n).float() for c, n in enumerate(space.cardinalities)}
        x = torch.randn(3, *space.input_shape(arch))
        torch.testing.assert_close(supernet.mixture(x, arch, weights), supernet(x, arch), rtol=1e-4, atol=1e-5)


def test_a_mixture_is_the_weighted_sum_of_its_alternatives_and_has_gradients():
    import torch

    from hwnas.training import Supernet

    def state(graph):
        kind = graph.choice("kind", ("pool", "skip", "none"))
        x = graph.read(2, 4, 4)
        options = {"pool": Make(ops.pool, x, kernel=3), "skip": x, "none": None}
        return graph.finish(graph.choose("mixed", kind, options))

    space = graph_of(state)
    x, weights = torch.randn(2, 2, 4, 4), torch.tensor([0.25, 0.5, 0.25], requires_grad=True)
    arch = space.decode([0])
    (node,) = space.mixture(arch)
    assert [(option.name, option.codes) for option in node.options] == [
        ("mixed.pool", ((0,),)),
        ("mixed.skip", ((1,),)),
        ("mixed", ((2,),)),
    ]
    supernet = Supernet.__new__(Supernet)
    torch.nn.Module.__init__(supernet)
    supernet.space = space
    result = supernet.mixture(x, arch, {0: weights})
    pooled = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(result, 0.25 * pooled + 0.5 * x)
    result.sum().backward()
    torch.testing.assert_close(weights.grad, torch.stack([pooled.sum(), x.sum(), torch.tensor(0.0)]))


def test_choices_that_change_the_shape_of_tensors_are_not_mixed():
    space = SPACES["elastic"]
    arch = space.sample(1, np.random.default_rng(0))[0]
    names = {space.choices[column].name for node in space.mixture(arch) for column in node.columns}
    assert names == {"depth", "kernel0", "kernel1", "kernel2", "kind", "act"}


@pytest.mark.parametrize("name", ["nasbench201", "mobilenetv3 tiny"])
def test_a_space_is_sent_to_other_processes_without_its_functions(name):
    space = SPACES[name]
    arch = space.sample(1, np.random.default_rng(0))[0]
    graph = space.graph(arch)
    assert pickle.loads(pickle.dumps(space)).graph(arch) == graph


def test_a_stated_space_is_sound():
    require_sound(SPACES["elastic"])


def test_the_size_of_a_small_space_counts_networks():
    space = SPACES["elastic"]
    kernels = 2 + 2**2 + 2**3  # of the blocks that are there
    branches = 2 + 2 + 1 + 1  # the activation matters before a convolution and a pooling
    assert space.size == 2 * 2 * kernels * branches


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda g: g.finish("nowhere"), "node 'output' reads 'nowhere', which is not defined before it"),
        (lambda g: [g.choice("a", (1, 2)), g.choice("a", (1, 2))], "the choice 'a' is defined twice"),
        (lambda g: [g.sum("x", g.read(3, 8, 8)), g.sum("x", "input")], "the name 'x' is used twice"),
        (
            lambda g: g.choose("x", g.choice("a", (1, 2)), {1: "input"}),
            "'x' needs one alternative for each value of 'a'",
        ),
        (
            lambda g: g.finish(g.sum("s", g.read(3, 8, 8), g.add("p", ops.global_pool, "input"))),
            "the parts of the sum 's' have shapes [(3, 1, 1), (3, 8, 8)]",
        ),
        (
            lambda g: g.finish(g.add("s", ops.add, g.read(3, 8, 8), g.add("p", ops.global_pool, "input"))),
            "add reads tensors of shapes ((3, 8, 8), (3, 8, 8)), but its inputs input, p have shapes",
        ),
        (lambda g: g, "its choice graph has no output"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(state, message):
    with pytest.raises(hwnas.HwnasError) as caught:
        assert graph_of(state).ops()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_part_with_too_many_forms_is_refused_before_memory_is_taken():
    def state(graph):
        x = graph.read(2, 4, 4)
        parts = []
        for number in range(30):
            kernel = graph.choice(f"kernel{number}", (1, 3, 5))
            parts.append(graph.add(f"conv{number}", ops.conv, x, channels=2, kernel=kernel))
        return graph.finish(graph.sum("sum", *parts))

    with pytest.raises(hwnas.HwnasError, match="at most 4,000,000 can be priced"):
        assert graph_of(state).terms


def test_twins_without_weights_are_computed_once():
    def state(graph):
        choices = [graph.choice(name, ("pool", "skip")) for name in "ab"]
        x = graph.read(2, 4, 4)
        parts = [
            graph.choose(f"edge{n}", choice, {"pool": Make(ops.pool, x, kernel=3), "skip": x})
            for n, choice in enumerate(choices)
        ]
        return graph.finish(graph.sum("sum", *parts))

    space = graph_of(state)
    counts = [len(space.graph(space.decode(codes)).nodes) for codes in product(range(2), repeat=2)]
    assert counts == [2, 2, 2, 1]  # one pooling and the sum; for two skips the sum alone


def test_a_concatenation_reads_the_shapes_of_all_its_inputs():
    class Joined(ChoiceGraphSpace):
        name = "joined"

        def state(self):
            graph = ChoiceGraph()
            x = graph.read(3, 8, 8)
            width = graph.choice("width", (4, 8))
            left = graph.add("left", ops.conv, x, channels=width, kernel=3)
            right = graph.add("right", ops.conv, x, channels=16, kernel=1)
            return graph.finish(graph.add("join", ops.concat, left, right))

    space = Joined()
    assert [space.graph(space.decode([i])).output_shape for i in range(2)] == [(20, 8, 8), (24, 8, 8)]
    require_sound(space)
