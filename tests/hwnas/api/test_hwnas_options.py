"""The command line and Python take the same options, under the same names, and mean the same by them."""

import argparse
import dataclasses
import inspect
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import onnx
import pytest
from clips import write_folder

import hwnas
from hwnas._api._commands import SHOWN, commands
from hwnas._api._profile import Profiling
from hwnas._api._settings import search_settings
from hwnas._cli import main
from hwnas._cli._parser import build_parser
from hwnas._common._option import WHOLE_LIST, dashed
from hwnas._costs._units import parse_latency
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._runs._options import SETTINGS
from hwnas._runs._same_search import require_same_search
from hwnas._runs._settings import SearchSettings

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
VALUES = {
    "model": str(LIGHT / "light_squeezenet.onnx"),
    "accuracy_column": "acc",
    "data_options": "window=3",
    "device": "cuda:1",
    "evaluator": "train",
    "evaluator_options": "images=3",
    "final_recipe": "cutout=0.5",
    "finalize": "train",
    "goal": "best",
    "latency_budget": "250us",
    "latency_statistic": "p90",
    "low_fidelity": "naswot",
    "macs_budget": "50M",
    "measure": "winners",
    "memory_budget": "512k",
    "memory_statistic": "arena",
    "minimize": "latency,macs",
    "out": "somewhere",
    "params_budget": "600k",
    "precision": "int8",
    "preset": "imagenet",
    "frontend": "logmel",
    "protocol": "kernel",
    "recipe": "cutout=0.5,flip=true",
    "resolution": "16,32",
    "rom_budget": "256k",
    "space": "nasbench201",
    "space_settings": "resolution=16,32",
    "strategy": "nsga2",
    "strategy_options": "sampler=mutation",
    "supernet_sampling": "bestup",
    "train_precision": "bf16",
    "table": "table.json",
    "tables": ["a.json", "b.json"],
    "width": "0.5,1.0",
    "workers": "2",
}
NEEDS = {
    "low_fidelity_design": {"low_fidelity": "naswot"},
    "memory_statistic": {"memory_budget": "64k"},
    "accuracy_column": {"evaluator": "table:x.csv"},
    "halving": {"evaluator": "train"},
    "goal": {"latency_budget": "250us"},
    "final_recipe": {"finalize": "train"},
    "final_epochs": {"finalize": "train"},
    "ray_address": {"workers": "ray"},
    "offline": {"table": "table.json"},
}
DEFAULTS = {name: one.default for name, one in inspect.signature(make_backend).parameters.items() if name != "progress"}
PYTHONS_OWN = {("search", "data"): "no data set, as evaluators that are objects often need none"}
"""Defaults that are others in Python, and what they stand for there."""
COMMANDS = {command.name: command for command in commands()}


class Told(Exception):
    """Ends a command where its work would begin."""


def options(command):
    """The options of a command, without those for terminals alone and those that cannot be typed."""
    return [option for option in COMMANDS[command].options if option.name not in SHOWN and option.flags != ()]


def typed_and_given(command, option):
    """An option as it is typed, and as Python gives it."""
    typed, given = [], {}
    by_name = {each.name: each for each in options(command)}
    needed = NEEDS.get(option.name, {}) if command == "search" else {}
    for each, value in [(option, VALUES.get(option.name, "3")), *((by_name[n], v) for n, v in needed.items())]:
        flag = each.flags[-1] if each.flags else dashed(each.name)
        switch = each.default is False
        typed += [flag] if switch else [flag, *value] if isinstance(value, list) else [flag, value]
        number = each.kind.number
        given[each.name] = True if switch else number(value) if number else value
        if each.name.endswith(("space_settings", "_options")):
            given[each.name] = [value]
    return typed, given


def told(call, told_by):
    """What a command would have worked with, or its error."""
    try:
        call()
    except HwnasError as error:
        return str(error)
    except (Told, SystemExit):
        pass
    return told_by.pop()


@pytest.fixture
def work(monkeypatch):
    """Catches what a search or a profile would be made with."""
    caught = []

    def catch(*things):
        caught.append(things)
        raise Told

    def backend(device, progress, **how):
        return SimpleNamespace(told=(device, {**DEFAULTS, **how}), identity=lambda: {"device": "cpu"})

    def build(space, backend, path, *, seed, networks, force, progress):
        catch(space.name, space.settings, backend.told, str(path), seed, networks, force)

    monkeypatch.setattr("hwnas._api._search.parse_workers", lambda *plan: plan)
    monkeypatch.setattr("hwnas._api._search.connected_trackers", lambda texts: [texts])
    monkeypatch.setattr(
        "hwnas._api._search.run_pipeline",
        lambda s, out, watcher, given, workers: catch(s, str(out), workers, list(watcher._recorders)),
    )
    monkeypatch.setattr("hwnas._api._profile.make_backend", backend)
    monkeypatch.setattr("hwnas._api._profile.build_table", build)
    return caught


def run_main(arguments):
    from hwnas._cli._main import _command

    parsed = build_parser().parse_args(arguments)
    _command(parsed.command)(parsed)


@pytest.mark.parametrize("option", options("search"), ids=lambda option: option.name)
def test_every_option_of_search_is_one_of_python(option, work):
    typed, given = typed_and_given("search", option)
    base = {"out": "runs/latest", "data": "digits"}
    space = {**given}.pop("space", None)
    rest = {**base, **{name: value for name, value in given.items() if name != "space"}}
    by_typing = told(lambda: run_main(["search", *typed]), work)
    by_python = told(lambda: hwnas.search(space, **rest), work)
    assert by_typing == by_python
    assert not isinstance(by_python, str), by_python


@pytest.mark.parametrize("option", options("profile"), ids=lambda option: option.name)
def test_every_option_of_profile_is_one_of_python(option, work):
    typed, given = typed_and_given("profile", option)
    by_typing = told(lambda: run_main(["profile", *typed]), work)
    by_python = told(lambda: hwnas.profile(**given), work)
    assert by_typing == by_python
    if isinstance(by_python, str):  # refused, and in the same words
        assert option.name in ("image_size", "result")


def parameters(function):
    """Parameters of a function by name, and the names that its ``**more`` takes without a default of their own."""
    signature = inspect.signature(function)
    more = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    named = {name: p for name, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    if not more:
        return named, set()
    if function is hwnas.search:
        return named, {option.name for option in COMMANDS["search"].options}
    return named, set(get_type_hints(Profiling))


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_command_has_its_function_with_the_same_defaults(command):
    assert command.function in hwnas.__all__
    function = getattr(hwnas, command.function)
    assert len(function.__doc__.splitlines()[0]) > 20
    named, more = parameters(function)
    for option in command.options:
        if option.name in (*SHOWN, "action"):
            continue
        assert option.name in {*named, *more}, option.name
        if option.name in named and (command.name, option.name) not in PYTHONS_OWN:
            default = named[option.name].default
            wanted = None if option.default == {} else option.default
            required = default is inspect.Parameter.empty
            assert required or default == wanted, option.name


def test_the_help_speaks_of_all_tasks_and_spaces():
    (search,) = (command for command in commands() if command.name == "search")
    helps = {option.name: option.help for option in search.options}
    assert all(word in helps["batch"] for word in ("images", "signals", "clips"))
    assert all(word in helps["image_size"] for word in ("images", "frames", "masks", "nasbench201", "video"))
    assert "side in pixels to which images, frames and masks are scaled" in helps["image_size"]
    assert all(word in helps["hold_out"] for word in ("--split-by", "arrays group_*", "with commas between"))


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_every_option_has_one_line_of_help(command):
    for option in command.options:
        assert 3 < len(option.described) < 140
        assert "\n" not in option.described
        assert not option.help.startswith("of ")


def test_settings_are_the_attributes_of_search_settings_with_their_types_and_defaults():
    fields = {field.name for field in dataclasses.fields(SearchSettings)}
    assert fields == SETTINGS.keys()
    hints = get_type_hints(SearchSettings)
    for name, option in SETTINGS.items():
        default = getattr(SearchSettings(), name)
        assert default == option.default
        assert default is None or isinstance(default, option.kind.types)
        assert (default is None) == (type(None) in getattr(hints[name], "__args__", ()))


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("search", ["--not-here", "--table", "t.json"], ["--offline", "--table", "t.json"]),
        ("search", ["--cheap", "naswot"], ["--low-fidelity", "naswot"]),
        ("profile", ["--output", "t.json"], ["-o", "t.json"]),
    ],
)
def test_old_spellings_mean_the_same_and_no_help_shows_those_of_before(command, old, new, work):
    by_old = told(lambda: run_main([command, *old]), work)
    assert by_old == told(lambda: run_main([command, *new]), work)
    assert not isinstance(by_old, str)
    (group,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    shown = group.choices[command].format_help()
    assert old[0] not in shown or old[0] == "--output"
    assert new[0] in shown


@pytest.mark.parametrize(
    ("old", "new"),
    [({"not_here": True, "table": "t"}, {"offline": True, "table": "t"}), ({"cheap": "x"}, {"low_fidelity": "x"})],
)
def test_old_names_are_read_from_python_and_from_files(old, new):
    settings = search_settings(old)
    assert settings == search_settings(new)
    record = settings.as_dict()
    renamed = {"offline": "not_here", "low_fidelity": "cheap"}
    before = {renamed.get(name, name): value for name, value in record.items() if name != "strategy_options"}
    assert SearchSettings.from_dict(before) == SearchSettings.from_dict(record) == settings


def test_a_run_from_before_the_design_at_low_fidelity_goes_on_without_one():
    record = search_settings({"low_fidelity": "x"}).as_dict()
    assert record.pop("low_fidelity_design") == 30
    old = SearchSettings.from_dict(record)
    assert (old.low_fidelity_design, old.strategy_name, old.all_strategy_options) == (0, "lamoo-cheap", {})
    new = SearchSettings.from_dict({**record, "low_fidelity_design": 12, "strategy_options": {"low_fidelity_ratio": 1}})
    options = {"low_fidelity_design": 12, "low_fidelity_ratio": 1}
    assert (new.strategy_name, new.all_strategy_options) == ("lamoo", options)
    without = search_settings({}).as_dict()
    del without["low_fidelity_design"]
    assert SearchSettings.from_dict(without) == search_settings({})


def test_a_run_from_before_the_other_tasks_is_one_of_images(tmp_path):
    settings = search_settings({"data": str(write_folder(tmp_path / "clips"))})
    assert settings.space == "video"
    record = {name: value for name, value in settings.as_dict().items() if name not in ("task", "data_options")}
    old = SearchSettings.from_dict(record)
    assert old.task == "image"
    assert SearchSettings.from_dict(settings.as_dict()).task is None
    with pytest.raises(
        HwnasError, match=r"with task image, and the data .* for task video; give --task image, or choose"
    ):
        require_same_search(tmp_path, old, settings, None, {})
    require_same_search(tmp_path, old, replace(settings, task="image"), None, {})
    digits = search_settings({})
    require_same_search(tmp_path, replace(digits, task="image"), digits, None, {})


@pytest.mark.parametrize("space", ["mobilenetv3", "nasbench201"])
def test_a_run_that_took_its_data_for_images_goes_on_with_the_task_image(tmp_path, space):
    old = replace(search_settings({"data": str(write_folder(tmp_path / "clips")), "frames": 2}), space=space)
    assert old.task is None
    require_same_search(tmp_path, old, replace(old, task="image"), None, {})
    for task, other in (("image", "video"), ("image", "declared"), ("video", space)):
        run = replace(old, space=other)
        with pytest.raises(HwnasError, match=f'with task null, this one has "{task}"; choose another --out'):
            require_same_search(tmp_path, run, replace(run, task=task), None, {})


def test_an_option_that_python_lacks_would_be_noticed(work):
    with pytest.raises(HwnasError, match="search has no setting 'novel'"):
        hwnas.search(out="x", novel=3)
    for function, name in ((hwnas.profile, "profile"), (hwnas.draw, "draw")):
        with pytest.raises(HwnasError, match=f"{name} has no option 'novel'"):
            function(out="x", novel=3)


def test_one_cost_several_and_numbers_of_other_libraries():
    expected = SearchSettings(minimize=("latency", "macs"), samples=7, budgets={"latency_ms": 0.25})
    for minimize in ("latency,macs", "latency, macs", ["latency", "macs"], ("latency", "macs")):
        assert SearchSettings(minimize=minimize).minimize == ("latency", "macs")
        given = {"minimize": minimize, "samples": np.int64(7), "latency_budget": np.float64(0.25)}
        assert search_settings(given) == expected
    assert SearchSettings(minimize="latency").minimize == ("latency",)
    assert search_settings({"recipe": {"cutout": 0.5}, "epochs": 4}).evaluator_options == {"cutout": 0.5, "epochs": 4}
    assert search_settings({"resolution": [16, 32], "width": 0.5}).space_settings == {
        "resolution": [16, 32],
        "width": [0.5],
    }


@pytest.mark.parametrize(
    ("given", "space", "evaluator", "strategy"),
    [
        ({"space_settings": ["preset=tiny", "resolution=16,32"]}, {"preset": "tiny", "resolution": [16, 32]}, {}, {}),
        ({"space_settings": {"preset": "tiny"}, "classes": 4}, {"preset": "tiny", "classes": 4}, {}, {}),
        ({"space": "nasbench201", "image_size": 8}, {"image_size": 8}, {}, {}),
        ({"evaluator": "naswot", "evaluator_options": ["images=32"]}, {}, {"images": 32}, {}),
        ({"evaluator": "train", "halving": 3, "epochs": 2}, {}, {"halving": 3, "epochs": 2}, {}),
        (
            {"strategy_options": ["sampler=mutation", "exploration=0.5", "x=true"]},
            {},
            {},
            {"sampler": "mutation", "exploration": 0.5, "x": True},
        ),
    ],
)
def test_options_of_spaces_evaluators_and_strategies(given, space, evaluator, strategy):
    settings = search_settings(given)
    assert settings.space_settings == space
    assert settings.evaluator_options == evaluator
    assert settings.strategy_options == strategy
    assert SearchSettings.from_dict(settings.as_dict()) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"space": "nasbench201", "width": 1},
            "--width is not an option of space nasbench201; known options: image_size, classes, image_channels, cells, "
            "channels",
        ),
        (
            {"space_settings": ["preset=tiny"], "preset": "tiny"},
            "preset is given twice, as --preset and as --space-option; leave one out",
        ),
        ({"space_settings": ["preset"]}, "cannot read --space-option 'preset'; write it like name=value"),
        ({"space_settings": ["a=1", "a=2"]}, "--space-option names a twice; leave one out"),
        ({"strategy_options": 3}, "--strategy-option must be a dictionary, got 3"),
        ({"offline": True, "not_here": True}, "offline is given twice, once as not_here; leave one out"),
        (
            {"evaluator": "naswot", "halving": 2},
            "--halving is not an option of evaluator naswot; leave it out",
        ),
    ],
)
def test_options_that_do_not_fit_are_one_line(given, message):
    with pytest.raises(HwnasError) as caught:
        search_settings(given)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["0.3", "4", " 4 ", "٣ms", "4 m", "1e3ms", "-1ms", "0ms", "ms", ""])
def test_latencies_need_a_unit(text):
    with pytest.raises(HwnasError, match=r"has no unit; write .*ms or .*us|cannot read the latency"):
        parse_latency(text)


def test_latencies_with_a_unit():
    assert [parse_latency(text) for text in ("0.3ms", "300us", "0.0003 s")] == pytest.approx([0.3] * 3)


def test_a_refusal_is_one_line_and_exit_code_2(capsys):
    assert main(["search", "--latency-budget", "0.3"]) == 2
    assert capsys.readouterr().err == "hwnas: error: the latency '0.3' has no unit; write 0.3ms or 0.3us\n"


@pytest.mark.parametrize("call", [lambda: hwnas.search(samples=0), lambda: hwnas.predict("no.json", "x")])
def test_one_tuple_catches_what_a_user_can_mend(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(hwnas.Errors):
        call()


@pytest.mark.parametrize("value", [[16.9, 8], [True, 8], "8.5", [float("inf")], [None]])
def test_lists_of_whole_numbers_hold_nothing_else(value):
    with pytest.raises(HwnasError, match="write numbers with commas between"):
        WHOLE_LIST.read("--resolution", value)


def test_lists_of_whole_numbers_are_read():
    assert WHOLE_LIST.read("--resolution", [16.0, 8]) == [16, 8]
    assert WHOLE_LIST.read("--resolution", "16,8") == [16, 8]
    assert WHOLE_LIST.read("--resolution", 8) == [8]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"data": np.zeros(3)}, "data must be a path, a data set or a task, got ndarray"),
        ({"table": 5}, "table must be a path or a table, got int"),
        ({"strategy": 5}, "strategy must be"),
        ({"evaluation_timeout": "a"}, "--evaluation-timeout must be a number of seconds above 0, got a"),
    ],
)
def test_objects_of_another_type_are_one_line(given, line, tmp_path):
    with pytest.raises(hwnas.Errors) as caught:
        hwnas.search(out=tmp_path / "run", **given)
    assert line in str(caught.value)


def test_a_ranking_is_a_page(tmp_path):
    with pytest.raises(HwnasError, match=r"x.json: give a name that ends in .html"):
        hwnas.rank([tmp_path / "a.onnx"], out=tmp_path / "x.json")


def test_an_unknown_option_of_data_is_named_as_it_is_typed(capsys, tmp_path):
    assert main(["search", "--data-option", "foo=1", "--out", str(tmp_path / "run")]) == 2
    assert "--data-option foo is not an option of task image; leave it out" in capsys.readouterr().err
