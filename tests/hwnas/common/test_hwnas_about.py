"""Help: options in groups, and a line for each space, evaluator and strategy."""

import argparse

import pytest

from hwnas._cli._parser import build_parser
from hwnas._common import _about


def commands():
    (found,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return found.choices


def test_every_name_has_one_line_that_says_what_it_is():
    from hwnas.evaluators import evaluator_names
    from hwnas.oneshot import METHODS
    from hwnas.spaces import space_names
    from search import STRATEGIES

    assert sorted(_about.SPACES) == space_names()
    assert sorted(_about.EVALUATORS) == evaluator_names()
    assert set(_about.STRATEGIES) == set(STRATEGIES)
    assert set(_about.ONE_SHOT) == set(METHODS)
    for lines in _about.ABOUT.values():
        assert all(20 < len(text) < 120 and "\n" not in text for text in lines.values())
        assert len(set(lines.values())) == len(lines)


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        (
            "search",
            ["device", "space", "data", "signals", "evaluation", "delivery", "search", "budgets", "workers", "output"],
        ),
        ("profile", ["device", "space", "validation", "output"]),
        ("bundle", ["device", "space", "validation", "output"]),
        ("fit", ["measurements", "space", "output"]),
    ],
)
def test_options_are_in_groups(command, groups):
    found = [group for group in commands()[command]._action_groups if group._group_actions]
    assert [group.title for group in found if group.title not in ("options", "positional arguments")] == groups
    assert [action.dest for group in found if group.title == "options" for action in group._group_actions] == [
        "help",
        "debug",
    ]


def test_the_help_of_search_says_what_strategies_and_evaluators_are():
    text = commands()["search"].format_help()
    for kind, lines in _about.ABOUT.items():
        assert f" (--{kind}):" in text
        assert all(f"  {name:16s} {line}\n" in text for name, line in lines.items())
    assert "example: hwnas search" in text


def test_the_readme_says_what_hwnas_is_for_and_what_not():
    from pathlib import Path

    text = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")
    first = " ".join(text.split("\n\n")[1].split())
    for task in ("images", "sound", "sensor signals", "object detection", "clips", "segmentation"):
        assert task in first
    assert "not for language models" in first
