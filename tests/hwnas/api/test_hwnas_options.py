"""The command line and Python take the same options, under the same names, and mean the same by them."""

import argparse
import inspect
from types import SimpleNamespace

import numpy as np
import pytest

import hwnas
from hwnas._api._options import search_settings
from hwnas._cli import main
from hwnas._cli._parser import build_parser
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._runs._settings import SearchSettings, parse_latency

TERMINAL = {"help", "debug", "quiet", "json"}
"""What only a terminal needs."""
VALUES = {
    "accuracy_column": "acc",
    "cheap": "naswot",
    "device": "cuda:1",
    "evaluator": "train",
    "final_recipe": "cutout=0.5",
    "finalize": "train",
    "latency_budget": "250us",
    "macs_budget": "50M",
    "memory_budget": "512k",
    "minimize": "latency,macs",
    "out": "somewhere",
    "output": "table.json",
    "params_budget": "600k",
    "precision": "int8",
    "preset": "imagenet",
    "protocol": "kernel",
    "recipe": "cutout=0.5,flip=true",
    "resolution": "16,32",
    "space": "nasbench201",
    "strategy": "nsga2",
    "supernet_sampling": "bestup",
    "table": "table.json",
    "width": "0.5,1.0",
    "workers": "2",
}
NEEDS = {
    "halving": {"evaluator": "train"},
    "final_recipe": {"finalize": "train"},
    "final_epochs": {"finalize": "train"},
}
NEEDS |= {"ray_address": {"workers": "ray"}, "not_here": {"table": "table.json"}}


DEFAULTS = {name: one.default for name, one in inspect.signature(make_backend).parameters.items() if name != "progress"}


class Told(Exception):
    """Ends a command where its work would begin."""


def options(command):
    """The options of a command, without those for terminals alone."""
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return [action for action in commands.choices[command]._actions if action.dest not in TERMINAL]


def typed_and_given(command, action):
    """An option as it is typed, and as Python gives it."""
    typed, given = [], {}
    actions = {one.dest: one for one in options(command)}
    for one, value in [
        (action, VALUES.get(action.dest, "3")),
        *((actions[n], v) for n, v in NEEDS.get(action.dest, {}).items()),
    ]:
        flag = one.option_strings[-1]
        typed += [flag] if one.nargs == 0 else [flag, value]
        given[one.dest] = True if one.nargs == 0 else one.type(value) if one.type else value
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

    def plan(workers, address, timeout):
        return workers, address, timeout

    monkeypatch.setattr("hwnas._workers.parse_workers", plan)
    monkeypatch.setattr("hwnas._api._search.parse_workers", plan)
    monkeypatch.setattr(
        "hwnas._pipeline._search.run_search", lambda s, out, watcher, workers: catch(s, str(out), workers)
    )
    monkeypatch.setattr(
        "hwnas._api._search.run_pipeline", lambda s, out, watcher, given, workers: catch(s, str(out), workers)
    )

    def backend(device, progress, **how):
        return SimpleNamespace(told=(device, {**DEFAULTS, **how}), identity=lambda: {"device": "cpu"})

    def build(space, backend, path, *, seed, networks, force, progress):
        catch(space.name, space.settings, backend.told, str(path), seed, networks, force)

    for place in ("hwnas._devices._make", "hwnas._api._search"):
        monkeypatch.setattr(f"{place}.make_backend", backend)
    for place in ("hwnas._tables._build", "hwnas._api._search"):
        monkeypatch.setattr(f"{place}.build_table", build)
    return caught


def run_main(arguments):
    from hwnas._cli._main import _command

    parsed = build_parser().parse_args(arguments)
    _command(parsed.command)(parsed)


@pytest.mark.parametrize("action", options("search"), ids=lambda action: action.dest)
def test_every_option_of_search_is_one_of_python(action, work):
    typed, given = typed_and_given("search", action)
    base = {"out": "runs/latest", "data": "digits"}
    space = {**given}.pop("space", "mobilenetv3")
    rest = {**base, **{name: value for name, value in given.items() if name != "space"}}
    by_typing = told(lambda: run_main(["search", *typed]), work)
    by_python = told(lambda: hwnas.search(space, **rest), work)
    assert by_typing == by_python
    assert not isinstance(by_python, str), by_python


@pytest.mark.parametrize("action", options("profile"), ids=lambda action: action.dest)
def test_every_option_of_profile_is_one_of_python(action, work):
    typed, given = typed_and_given("profile", action)
    by_typing = told(lambda: run_main(["profile", *typed]), work)
    by_python = told(lambda: hwnas.profile(**given), work)
    assert by_typing == by_python
    if isinstance(by_python, str):  # refused, and in the same words
        assert action.dest in ("image_size", "result")


def test_an_option_that_python_lacks_would_be_noticed(work):
    with pytest.raises(HwnasError, match="search has no setting 'novel'"):
        hwnas.search(out="x", novel=3)
    with pytest.raises(HwnasError, match="profile has no option 'novel'"):
        hwnas.profile(novel=3)


def test_one_cost_several_and_numbers_of_other_libraries():
    expected = SearchSettings(minimize=("latency", "macs"), samples=7, budgets={"latency_ms": 0.25})
    for minimize in ("latency,macs", "latency, macs", ["latency", "macs"], ("latency", "macs")):
        assert SearchSettings(minimize=minimize).minimize == tuple(minimize) or isinstance(minimize, (str, list))
        given = {"minimize": minimize, "samples": np.int64(7), "latency_budget": np.float64(0.25)}
        assert search_settings(given) == expected
    assert SearchSettings(minimize="latency").minimize == ("latency",)
    assert search_settings({"recipe": {"cutout": 0.5}, "epochs": 4}).evaluator_options == {"cutout": 0.5, "epochs": 4}
    assert search_settings({"resolution": [16, 32], "width": 0.5}).space_settings == {
        "resolution": [16, 32],
        "width": [0.5],
    }


@pytest.mark.parametrize("text", ["0.3", "4", " 4 ", "٣ms", "4 m", "1e3ms", "-1ms", "0ms", "ms", ""])
def test_latencies_need_a_unit(text):
    with pytest.raises(HwnasError, match=r"has no unit; write .*ms or .*us|cannot read the latency"):
        parse_latency(text)


def test_latencies_with_a_unit():
    assert [parse_latency(text) for text in ("0.3ms", "300us", "0.0003 s")] == pytest.approx([0.3] * 3)


def test_a_refusal_is_one_line_and_exit_code_2(capsys):
    assert main(["search", "--latency-budget", "0.3"]) == 2
    assert capsys.readouterr().err == "hwnas: error: the latency '0.3' has no unit; write 0.3ms or 0.3us\n"
