"""Spaces that a JSON file declares: read, checked, searched, and read again without the file."""

import copy
import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas._costs._soundness import require_sound
from hwnas.spaces import DeclaredSpace, make_space
from hwnas.spaces._declaration import KEYS, NODE_KEYS, OPTIONAL_KEYS, first_difference, makers
from hwnas.spaces._expression import STEPS

EXAMPLE = Path(__file__).resolve().parents[3] / "scripts" / "example_space.json"
SCHEMA = Path(hwnas.__file__).parent / "spaces" / "space.schema.json"
CONTENT = json.loads(EXAMPLE.read_text())


def changed(*path, value):
    """The example with another value at a place; `...` removes it."""
    content = copy.deepcopy(CONTENT)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


def test_the_example_is_a_sound_space():
    space = make_space(str(EXAMPLE))
    require_sound(space)
    assert (space.name, space.title) == ("declared", "plain")
    assert space.input_shape(space.sample(1, np.random.default_rng(0))[0]) == (3, 16, 16)


def test_a_stage_that_halves_the_image_can_be_absent():
    conv = {"channels": {"choice": "width"}, "kernel": 3, "stride": 2}
    deep = {"choice": "deep", "values": ["yes"]}
    content = {
        **{key: CONTENT[key] for key in ("format", "version", "settings", "input")},
        "name": "gone",
        "choices": [
            {"name": "deep", "values": ["no", "yes"]},
            {"name": "width", "values": [8, 16]},
            {"name": "kind", "values": ["one", "two"]},
        ],
        "nodes": [
            {"name": "one", "op": "conv", "inputs": ["input"], "attributes": conv, "when": deep, "otherwise": None},
            {"name": "two", "op": "conv", "inputs": ["one"], "attributes": {**conv, "stride": 1}},
            {"name": "branch", "choice": "kind", "alternatives": {"one": "one", "two": "two"}},
            {"name": "short", "op": "conv", "inputs": ["input"], "attributes": conv, "when": deep},
            {"name": "sum", "sum": ["short", "branch"]},
            {"name": "pooled", "op": "global_pool", "inputs": ["sum"], "attributes": {}},
        ],
        "output": "pooled",
    }
    space = make_space("declared", declaration=content)
    require_sound(space)
    assert space.size == 1 + 2 * 2
    shallow = space.graph(space.parse("deep=no,width=16,kind=two"))
    assert [node.op.kind for node in shallow.nodes] == ["global_pool"]
    used = {node.op for arch in space.sample(50, np.random.default_rng(0)) for node in space.graph(arch).nodes}
    assert used == set(space.ops())


def declared(nodes, choices, **settings):
    """A declaration for images of 8 pixels that ends in a pooling of the node `last`."""
    return {
        "format": "hwnas-space",
        "version": 1,
        "name": "made",
        "settings": {"classes": 10, **settings},
        "input": [1, 8, 8],
        "choices": choices,
        "nodes": [*nodes, {"name": "pooled", "op": "global_pool", "inputs": ["last"], "attributes": {}}],
        "output": "pooled",
    }


def test_what_reads_a_sum_merges_with_what_makes_its_parts():
    conv = {"channels": 16, "kernel": 3}
    nodes = [
        {"name": "stem", "op": "conv", "inputs": ["input"], "attributes": {**conv, "act": "relu"}},
        {"name": "a", "op": "conv", "inputs": ["stem"], "attributes": {**conv, "kernel": {"choice": "kernel"}}},
        {"name": "plus", "op": "add", "inputs": ["a", "stem"]},
        {"name": "act", "op": "activation", "inputs": ["plus"], "attributes": {"function": {"choice": "function"}}},
        {"name": "last", "op": "conv", "inputs": ["act"], "attributes": conv},
    ]
    choices = [{"name": "kernel", "values": [3, 5]}, {"name": "function", "values": ["relu", "hswish"]}]
    space = make_space("declared", declaration=declared(nodes, choices))
    require_sound(space)
    for arch in space.sample(4, np.random.default_rng(0)):
        assert set(space.graph(arch).op_counts) <= set(space.ops())


@pytest.mark.parametrize("maker", ["concat", "join"])
def test_tensors_can_be_put_side_by_side(maker):
    conv = {"channels": 8, "kernel": {"choice": "kernel"}}
    nodes = [
        {"name": "one", "op": "conv", "inputs": ["input"], "attributes": conv},
        {"name": "two", "op": "conv", "inputs": ["one"], "attributes": conv},
        {"name": "last", "op": maker, "inputs": ["one", "two", "one"]},
    ]
    choices = [{"name": "kernel", "values": [1, 3]}]
    require_sound(make_space("declared", declaration=declared(nodes, choices)))


def test_ops_that_need_lists_are_no_ops_of_declarations():
    nodes = [{"name": "last", "op": "transpose", "inputs": ["input"], "attributes": {"axes": 0}}]
    with pytest.raises(hwnas.HwnasError, match="must be one of activation, add, concat"):
        make_space("declared", declaration=declared(nodes, [{"name": "unused", "values": [1, 2]}]))


def test_a_setting_may_be_zero_by_default():
    conv = {"channels": {"setting": "extra", "plus": 8}, "kernel": {"choice": "kernel"}}
    nodes = [{"name": "last", "op": "conv", "inputs": ["input"], "attributes": conv}]
    content = declared(nodes, [{"name": "kernel", "values": [1, 3]}], extra=0)
    space = make_space("declared", declaration=content)
    assert make_space("declared", **space.settings).settings == space.settings
    with pytest.raises(hwnas.HwnasError, match="extra must be a whole number of 1-65,536, got -1"):
        make_space("declared", declaration=content, extra=-1)


def test_settings_take_the_place_of_defaults():
    space = make_space(str(EXAMPLE), classes=7, image_size=8)
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    assert graph.input_shape == (3, 8, 8)
    assert graph.output_shape == (7,)
    again = make_space("declared", **space.settings)
    assert again.settings == space.settings


@pytest.mark.parametrize(
    ("expression", "width", "expected"),
    [
        ({"choice": "width", "times": 32, "divisible": 8}, 0.75, 24),
        ({"choice": "width", "times": 30, "round": "down"}, 0.75, 22),
        ({"choice": "width", "times": 30, "round": "up"}, 0.75, 23),
        ({"choice": "width", "times": {"setting": "classes"}, "plus": 5, "round": "nearest"}, 0.75, 12),
        ({"choice": "width", "values": {"0.5": 3, "0.75": {"setting": "image_size"}, "1.0": 5}}, 0.75, 16),
        ({"extent": 0, "times": 2}, 0.75, 6),
        (12, 0.75, 12),
    ],
)
def test_extents_follow_choices_settings_and_inputs(expression, width, expected):
    space = DeclaredSpace(changed("nodes", 0, "attributes", "channels", value=expression))
    arch = space.parse(f"width={width},depth=1,kernel1=1,kernel2=1,kernel3=1,last=skip")
    assert space.graph(arch).nodes[0].op.output[0] == expected


WRONG = [
    (changed("format", value="other"), "space.format: must be one of hwnas-space, got 'other'"),
    (changed("version", value=2), "space.version: must be 1, got 2; update hwnas"),
    (changed("extra", value=1), "space: unknown key 'extra'; known keys: format"),
    (changed("nodes", value=...), "space: the key 'nodes' is missing; add it"),
    (changed("choices", 0, "values", value=[1, 1]), "space plain.choices[0].values: must be different values"),
    (changed("choices", 0, "values", value=[1, 1.0]), "space plain.choices[0].values: must be different values"),
    (changed("choices", 0, "name", value="a b"), "space plain.choices[0].name: must be a name of up to 64"),
    (changed("choices", 1, "name", value="width"), "space plain.choices[1].name: 'width' is used twice"),
    (changed("choices", 0, "values", value=list(range(65))), "choices[0].values: must be a list of 1 to 64 entries"),
    (changed("nodes", 0, "op", value="konv"), "space plain.nodes[0].op: must be one of activation, add, concat, conv"),
    (changed("nodes", 0, "inputs", value=["block3"]), "nodes[0].inputs[0]: 'block3' is not a node before this one"),
    (changed("nodes", 0, "attributes", "colour", value=1), "nodes[0].attributes: unknown key 'colour'; known keys"),
    (changed("nodes", 0, "attributes", value={}), "nodes[0].attributes: the key 'channels' is missing; add it"),
    (
        changed("nodes", 0, "attributes", "channels", value={"choice": "depht"}),
        "nodes[0].attributes.channels.choice: unknown choice 'depht'; known: width, depth",
    ),
    (
        changed("nodes", 0, "attributes", "channels", value={"choice": "width", "times": 30}),
        'nodes[0].attributes.channels: must be a whole number, got 22.5; add "round"',
    ),
    (changed("nodes", 0, "attributes", "channels", value=10**9), "channels: must be 0-65,536, got 1,000,000,000"),
    (
        changed("nodes", 0, "attributes", "stride", value=0),
        "nodes[0]: conv cannot be built for input shape (3, 16, 16) with",
    ),
    (changed("nodes", 0, "attributes", "act", value="swosh"), "unknown activation 'swosh'"),
    (
        changed("nodes", 0, "attributes", "channels", value={"choice": "width", "eval": "__import__('os')"}),
        "nodes[0].attributes.channels: unknown key 'eval'; known keys: choice, values",
    ),
    (changed("nodes", 2, "when", "values", value=[9]), "nodes[2].when.values[0]: must be one of 1, 2, 3, got 9"),
    (changed("nodes", 5, "alternatives", "conv", value=...), "alternatives: the value conv of last is missing; add it"),
    (changed("nodes", 5, "alternatives", "pool", value="input"), "the parts of the sum 'sum' have shapes"),
    (changed("output", value="nowhere"), "space plain.output: 'nowhere' is not a node before this one"),
    (changed("input", 1, value=0), "space plain.input[1]: must be a whole number of 1-65,536, got 0"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_a_wrong_declaration_is_refused_by_its_place(content, message):
    with pytest.raises(hwnas.HwnasError) as caught:
        make_space("declared", declaration=content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def many_choices(count):
    """A chain in which each node has thousands of forms."""
    names = ["input", *(f"conv{n}" for n in range(count))]
    nodes = [
        {"name": name, "op": "conv", "inputs": [before], "attributes": {"channels": {"choice": f"c{n}"}, "stride": 1}}
        for n, (before, name) in enumerate(pairwise(names))
    ]
    choices = [{"name": f"c{n}", "values": list(range(1, 65))} for n in range(count)]
    return {**CONTENT, "choices": choices, "nodes": nodes, "output": names[-1]}


def many_branches(count):
    """Nodes that read one tensor and are added up, each with a choice of its own."""
    nodes = [
        {
            "name": f"n{n}",
            "op": "conv",
            "inputs": ["input"],
            "attributes": {"channels": 2, "kernel": {"choice": f"c{n}"}},
        }
        for n in range(count)
    ]
    nodes.append({"name": "sum", "sum": [f"n{n}" for n in range(count)]})
    choices = [{"name": f"c{n}", "values": [1, 3, 5]} for n in range(count)]
    return {**CONTENT, "choices": choices, "nodes": nodes, "output": "sum"}


HOSTILE = [
    many_choices(250),
    many_branches(40),
    changed("input", value=[65_536, 65_536, 65_536]),
    changed("nodes", 0, "attributes", value={"channels": 65_536, "kernel": 65_535}),
    changed("nodes", value=[{"name": f"n{n}", "sum": ["input"]} for n in range(2001)]),
    changed("name", value="x" * 10**6),
    changed(
        "nodes",
        0,
        "attributes",
        "channels",
        value={
            "choice": "width",
            "times": {
                "choice": "width",
                "times": {"choice": "width", "times": {"choice": "width", "times": {"choice": "width", "times": 1}}},
            },
        },
    ),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_declaration_is_refused_at_once(number):
    began = time.perf_counter()
    with pytest.raises(hwnas.HwnasError) as caught:
        assert make_space("declared", declaration=HOSTILE[number]).terms
    assert time.perf_counter() - began < 20
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("settings", [5, [], None, "classes", {}, {"declaration": 1}, {"a b": 1}])
def test_settings_that_are_none_are_refused_in_one_line(tmp_path, capsys, settings):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(changed("settings", value=settings)))
    assert search(file, tmp_path / "run") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_space_without_a_network_is_refused():
    content = changed("nodes", 5, "alternatives", value=dict.fromkeys(["conv", "separable", "pool", "skip"]))
    content["nodes"][6]["sum"] = ["last"]
    with pytest.raises(hwnas.HwnasError, match="no path leads from the input to classes"):
        make_space("declared", declaration=content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "does not declare a space"),
        ('{"format": "x"}', "does not declare a space"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, message):
    file = tmp_path / "space.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(hwnas.HwnasError, match=message):
        make_space(str(file))


def test_unknown_and_impossible_settings_are_refused():
    with pytest.raises(
        hwnas.HwnasError, match="has no setting 'depth'; it declares classes, image_channels, image_size"
    ):
        make_space(str(EXAMPLE), depth=1)
    with pytest.raises(hwnas.HwnasError, match="classes must be a whole number of 1-65,536, got 0"):
        make_space(str(EXAMPLE), classes=0)
    with pytest.raises(hwnas.HwnasError, match="its declaration is missing; name the file"):
        make_space("declared")


def test_the_schema_knows_what_the_reader_knows():
    schema = json.loads(SCHEMA.read_text())
    assert schema["required"] == list(KEYS)
    assert set(schema["properties"]) == {*KEYS, *OPTIONAL_KEYS}
    nodes = {next(k for k in kind["required"] if k in NODE_KEYS): kind for kind in schema["$defs"]["node"]["oneOf"]}
    for kind, (required, optional) in NODE_KEYS.items():
        assert (nodes[kind]["required"], set(nodes[kind]["properties"])) == (list(required), {*required, *optional})
    steps = schema["$defs"]["expression"]["anyOf"][-1]["properties"]
    assert set(steps) == {"choice", "setting", "extent", *STEPS}
    assert schema["$defs"]["operator"]["enum"] == sorted(makers())


def test_the_first_difference_is_named():
    assert first_difference(CONTENT, changed("nodes", 3, "name", value="b")) == "nodes[3].name"
    assert first_difference(CONTENT, changed("about", value=...)) == "about"
    assert first_difference(CONTENT, copy.deepcopy(CONTENT)) == ""


def search(space, out, *more):
    options = ["--data", "digits", "--data-limit", "60", "--evaluator", "train", "--epochs", "1"]
    return main(["search", "--space", str(space), *options, "--out", str(out), "--quiet", *more])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Of the example for the digits, with the space but without the file."""
    path = tmp_path_factory.mktemp("declared") / "table.json"
    hwnas.profile(
        make_space(str(EXAMPLE), classes=10, image_channels=1, image_size=8),
        device=AdditiveBackend(1),
        networks=4,
        out=path,
    )
    return path


def test_a_table_alone_predicts(table, capsys):
    arch = "width=1.0,depth=2,kernel1=3,kernel2=1,kernel3=1,last=conv"
    assert main(["predict", str(table), arch]) == 0
    assert "latency" in capsys.readouterr().out


def test_a_search_goes_on_without_the_file_and_refuses_another(tmp_path, capsys, table):
    file, out = tmp_path / "mine.json", tmp_path / "run"
    file.write_text(EXAMPLE.read_text())
    more = ["--table", str(table), "--not-here"]
    assert search(file, out, "--samples", "3", *more) == 0
    record = json.loads((out / "settings.json").read_text())
    assert record["settings"]["space"] == "declared"
    assert record["settings"]["space_settings"]["declaration"] == CONTENT
    assert record["identity"]["space"]["image_size"] == 8
    file.unlink()
    assert search(file, out, "--samples", "4", *more) == 0
    assert len((out / "trials.jsonl").read_text().splitlines()) == 4
    file.write_text(json.dumps(changed("nodes", 0, "attributes", "kernel", value=5)))
    capsys.readouterr()
    assert search(file, out, "--samples", "5", *more) == 2
    error = capsys.readouterr().err
    assert "another declaration of its space (they differ at nodes[0].attributes.kernel); restore the file" in error
    assert error.count("\n") == 1
