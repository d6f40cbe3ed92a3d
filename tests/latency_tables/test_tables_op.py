import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables import GraphError, Op

words = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
integers = st.integers(-(10**6), 10**6)
values = st.one_of(
    integers,
    st.lists(integers, min_size=1, max_size=4).map(tuple),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True),
)
shapes = st.lists(st.integers(1, 999), min_size=1, max_size=4).map(tuple)
ops = st.builds(
    lambda kind, inputs, output, attributes, dtype: Op(
        kind, tuple(inputs), output, tuple(sorted(attributes.items())), dtype
    ),
    words,
    st.lists(shapes, max_size=3),
    shapes,
    st.dictionaries(words, values, max_size=4),
    words,
)


@given(ops)
def test_every_op_is_read_back_from_its_key(op):
    assert Op.parse(op.key) == op


@given(ops)
def test_attributes_are_added_and_replaced_in_their_order(op):
    other = op.with_attributes(a=1, z="word")
    assert dict(other.attributes) == {**dict(op.attributes), "a": 1, "z": "word"}
    assert other.with_attributes(**dict(op.attributes)).with_attributes(a=1, z="word") == other
    assert (other.kind, other.inputs, other.output, other.dtype) == (op.kind, op.inputs, op.output, op.dtype)


@given(ops, st.integers(0, 200), st.sampled_from("x1 =+->a_"))
def test_a_changed_key_is_refused_or_names_another_op(op, position, character):
    text = op.key[: position % len(op.key)] + character + op.key[position % len(op.key) + 1 :]
    try:
        read = Op.parse(text)
    except GraphError:
        return
    assert read.key == text


@given(ops, ops)
def test_keys_are_equal_exactly_for_equal_ops(a, b):
    assert (a.key == b.key) == (a == b)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "Conv", "inputs": (), "output": (1,)},
        {"kind": "conv", "inputs": ((0,),), "output": (1,)},
        {"kind": "conv", "inputs": (), "output": ()},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("b", 1), ("a", 1))},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", 1), ("a", 1))},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", 1.5),)},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", "two words"),)},
        {"kind": "conv", "inputs": (), "output": (True,)},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", ()),)},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", (1, 2.0)),)},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", (1, True)),)},
        {"kind": "conv", "inputs": (), "output": (1,), "attributes": (("a", (1, (2, 3))),)},
    ],
)
def test_malformed_ops_are_refused(arguments):
    with pytest.raises(GraphError):
        Op(**arguments)


def test_attributes_by_name():
    op = Op("conv", ((1, 2, 3),), (1, 2, 3), (("act", "relu"), ("kernel", 3)))
    assert op.integer("kernel") == 3
    assert op.word("act") == "relu"
    assert op.integer("add", 0) == 0
    with pytest.raises(GraphError, match="integer attribute 'act' is missing"):
        op.integer("act")
    with pytest.raises(GraphError, match="text attribute 'norm' is missing"):
        op.word("norm")


def test_lists_of_integers_by_name():
    op = Op("pool", ((1, 2, 3),), (1, 2, 3), (("kernel", [1, 3]), ("mode", "max"), ("stride", (2, 2))))
    assert op.key == "pool float32 1x2x3 -> 1x2x3 kernel=1x3 mode=max stride=2"
    assert op.attributes == (("kernel", (1, 3)), ("mode", "max"), ("stride", 2))
    assert op.integers("kernel", 2) == (1, 3)
    assert op.integers("stride", 2) == (2, 2)
    assert op.integers("dilation", 3, 1) == (1, 1, 1)
    with pytest.raises(GraphError, match="integer attribute 'kernel' is missing"):
        op.integer("kernel")
    with pytest.raises(GraphError, match="attribute 'kernel' must be one integer or 3, got 2"):
        op.integers("kernel", 3)
    for name in ("mode", "padding"):
        with pytest.raises(GraphError, match=f"integer attribute '{name}' is missing"):
            op.integers(name, 2)


@pytest.mark.parametrize("text", ["kernel=3x3", "kernel=1x", "kernel=01x3", "kernel=1xa"])
def test_other_spellings_of_a_list_are_refused(text):
    with pytest.raises(GraphError):
        Op.parse(f"conv float32 1x2 -> 1x2 {text}")
