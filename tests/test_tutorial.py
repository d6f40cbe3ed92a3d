"""The tutorials' commands do what the pages say.

Every `sh` and `python` block of docs/tutorial.md and docs/own-model.md, and of the section "Try it" of the pages on
other data, runs, in order, in one folder for each page, and must end with exit code 0. A `text` block shows output of
the block before it: each of its lines must match a whole line of that output, in this order, where `...` stands for
anything and a number for any number.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"


def blocks_of(text):
    """Language and text of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def pattern_of(line):
    """A line as it may look elsewhere, with other numbers."""
    parts = re.split(rf"(\.\.\.|{NUMBER})", line)
    return "".join(
        ".*" if part == "..." else NUMBER if re.fullmatch(NUMBER, part) else re.escape(part) for part in parts
    )


def missing_lines(shown, output):
    """The lines of a page that are not in an output, in the page's order."""
    lines, missing = iter(output.splitlines()), []
    for line in shown.splitlines():
        if not any(re.fullmatch(pattern_of(line), found) for found in lines):
            missing.append(line)
            lines = iter(output.splitlines())
    return missing


def test_what_a_page_shows_is_held_against_the_output():
    output = "[ 1.2 s] start\n7 networks (+1.25%)\nbest: w0.5_r8 at 1,024 ms\n"
    assert missing_lines("3 networks (-9%)\nbest: w0.5_r8 at 2 ms\n", output) == []
    assert missing_lines("... start\n...\nbest: w0.5_... ms\n", output) == []
    assert missing_lines("best: w0.5_r8 at 2 ms\n7 networks (+1%)\n", output) == ["7 networks (+1%)"]
    assert missing_lines("7 nets (+1%)\n", output) == ["7 nets (+1%)"]
    assert missing_lines("7 networks\n", output) == ["7 networks"]


def test_a_section_ends_where_the_next_begins():
    text = "# Page\n\n## One\na\n### More\nb\n\n## Two\nc\n"
    assert section_of(text, "One") == "a\n### More\nb\n\n"
    assert section_of(text, "Two") == "c\n"


@pytest.fixture
def shell(tmp_path):
    """Runs a block in a folder of its own, with this checkout's `hwnas` and this Python."""
    programs, place = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    place.mkdir()
    for name, arguments in (("hwnas", [sys.executable, "-m", "hwnas"]), ("python", [sys.executable])):
        file = programs / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join(arguments)} "$@"\n', encoding="utf-8")
        file.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }

    def run(language, text):
        command = {"sh": ["sh", "-e"], "python": ["python", "-"]}[language]
        return subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=place, env=environment
        )

    return run


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_does_what_it_says(shell):
    output = output_of(text_of("tutorial"), shell)
    share = float(re.search(r"([\d.]+)% of \d+ images", output).group(1))
    assert share > 80, "images were prepared otherwise than in training"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_your_own_model_becomes_faster(shell):
    output_of(text_of("own-model"), shell)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("page", "figure", "least"),
    [
        ("signals", r"^accuracy ([\d.]+)%", 60),  # chance: 33
        ("video", r"^accuracy ([\d.]+)%", 50),  # chance: 25
        ("dense", r"^mean IoU ([\d.]+) ", 0.5),  # background everywhere: below 0.3
    ],
    ids=["signals", "video", "dense"],
)
def test_what_other_pages_let_you_try_learns_something(page, figure, least, shell):
    output = output_of(section_of(text_of(page), "Try it"), shell)
    assert float(re.search(figure, output, re.MULTILINE).group(1)) > least, output


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_detector_to_try_finds_the_object(shell, tmp_path):
    output = output_of(section_of(text_of("detection"), "Try it"), shell)
    found = re.search(r"^  square \S+ at (\S+) (\S+) (\S+) (\S+)$", output, re.MULTILINE)
    left, top, right, bottom = map(float, found.groups())
    coco = json.loads((tmp_path / "work" / "things" / "test.json").read_text(encoding="utf-8"))
    x, y, width, height = coco["annotations"][0]["bbox"]
    both = max(0, min(right, x + width) - max(left, x)) * max(0, min(bottom, y + height) - max(top, y))
    assert both / ((right - left) * (bottom - top) + width * height - both) > 0.5, output


def text_of(page):
    """The text of a page."""
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def section_of(text, title):
    """What a page says under a title, up to the next title of that level."""
    (section,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return section


def output_of(text, shell):
    """Run the blocks of a text; returns what the last one printed."""
    blocks = blocks_of(text)
    assert {language for language, _ in blocks} == {"sh", "python", "text"}
    output, before = "", None
    for language, block in blocks:
        if language == "text":
            assert before in ("sh", "python"), block
            assert missing_lines(block, output) == [], output
        else:
            done = shell(language, block)
            output = done.stdout
            assert done.returncode == 0, f"{block}\n{output}"
        before = language
    return output
