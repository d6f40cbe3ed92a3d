"""Streams that are closed, full or read by nobody; memory that runs out."""

import errno
import json
import subprocess
import sys

import pytest
from cells import arguments

from hwnas._cli import main
from hwnas._errors import OUT_OF_MEMORY, is_out_of_memory


def shell(command, cwd):
    """Run a command line in bash; its exit code, standard output and standard error."""
    line = command.replace("hwnas ", f"{sys.executable} -m hwnas ")
    done = subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "prefix"),
    [
        ("plugins", ""),
        ("plugins", "PYTHONUNBUFFERED=1 "),
        ("--help", ""),
        ("--help", "PYTHONUNBUFFERED=1 "),
        ("doctor", ""),  # takes seconds before it writes
    ],
)
def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path, command, prefix):
    code, out, err = shell(f"{prefix}hwnas {command} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert (code, err) == (0, "")
    assert out == "141\n" or (out == "0\n" and command == "--help")  # argparse itself may take no notice


def test_output_that_is_closed_is_left_out(tmp_path):
    assert shell("hwnas plugins >&-", tmp_path) == (0, "", "")
    assert shell("hwnas plugins >&- 2>&-", tmp_path) == (0, "", "")
    assert shell("hwnas plugins <&- >&- 2>&-", tmp_path) == (0, "", "")
    assert shell("hwnas runs nowhere 2>&-", tmp_path) == (2, "", "")


def test_output_on_a_full_disk_is_one_line(tmp_path):
    line = "hwnas: error: cannot write the output: No space left on device; redirect it to another place\n"
    assert shell("hwnas plugins >/dev/full", tmp_path) == (2, "", line)
    assert shell("hwnas runs nowhere 2>/dev/full", tmp_path) == (2, "", "")


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full", "2>&1 | true"])
def test_a_search_is_not_lost_with_its_streams(csv, tmp_path, streams):
    command = " ".join(arguments(csv, "run", samples=12))
    shell(f"hwnas {command} {streams}", tmp_path)
    assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == 12
    assert json.loads((tmp_path / "run" / "pareto.json").read_text())
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["finished"] == 12


class OutOfMemoryError(RuntimeError):
    """As torch's for GPUs is called."""


FULL = [
    MemoryError(),
    OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9"
    ),
    RuntimeError("std::bad_alloc"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_is_no_bug(error, monkeypatch, capsys):
    def fails(options):
        raise error

    monkeypatch.setattr("hwnas._cli._commands.run_plugins", fails)
    assert main(["plugins"]) == 2
    assert capsys.readouterr().err == f"hwnas: error: {OUT_OF_MEMORY}\n"


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), OSError(errno.ENOSPC, "full"), ValueError("bad_alloc")]
)
def test_other_errors_are_what_they_are(error):
    assert not is_out_of_memory(error)


def test_what_torch_and_numpy_say_of_memory_is_known():
    import numpy as np
    import torch

    for attempt in (lambda: torch.empty(2**60), lambda: np.empty(2**46)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            attempt()
        assert is_out_of_memory(caught.value)
