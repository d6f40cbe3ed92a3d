"""The tutorials' commands do what the pages say.

Every `sh` and `python` block of docs/tutorial.md and docs/own-model.md runs, in order, in one folder for each page, and
must end with exit code 0. A `text` block shows output of the block before it: each of its lines must match a whole line
of that output, in this order, where `...` stands for anything and a number for any number.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE, OWN_MODEL = ROOT / "docs" / "tutorial.md", ROOT / "docs" / "own-model.md"
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
    output = output_of(PAGE, shell)
    share = float(re.search(r"([\d.]+)% of \d+ images", output).group(1))
    assert share > 80, "images were prepared otherwise than in training"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_your_own_model_becomes_faster(shell):
    output_of(OWN_MODEL, shell)


def output_of(page, shell):
    """Run the blocks of a page; returns what the last one printed."""
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"sh", "python", "text"}
    output, before = "", None
    for language, text in blocks:
        if language == "text":
            assert before in ("sh", "python"), text
            assert missing_lines(text, output) == [], output
        else:
            done = shell(language, text)
            output = done.stdout
            assert done.returncode == 0, f"{text}\n{output}"
        before = language
    return output
