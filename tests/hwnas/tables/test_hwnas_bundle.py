"""A profile carried to a device by hand and brought back."""

import json
import os
import subprocess
import sys

import pytest

from hwnas._cli import main
from hwnas._devices._make import make_backend
from hwnas._tables._bundle import make_bundle
from hwnas.spaces import make_space
from latency_tables import load_table
from profilers import SamplingSettings
from profilers._onnxruntime import sweep_bytes

SPACE = make_space("nasbench201", image_size=8, image_channels=1)
SETTING = {"threads": 1, "batch": 1, "precision": "fp32", "image_channels": 1, "core_cache_bytes": 2**20}
TWO = SamplingSettings(min_rounds=2, max_rounds=2, inner_seconds=5e-5, warmup_runs=1)


def run_there(folder):
    """As on a device: nothing of hwnas beside the runner."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "runner.pyz", "job"]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


def fails(capsys, *arguments):
    assert main([str(word) for word in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "board"
    assert make_bundle(SPACE, folder, SETTING, networks=3, seed=0, settings=TWO) > 50
    done = run_there(folder)
    assert done.returncode == 0, done.stderr
    assert "done: copy " in done.stderr.splitlines()[-1]
    return folder


def test_the_result_becomes_a_table_of_the_device(folder, tmp_path, capsys):
    path = tmp_path / "board.json"
    assert main(["profile", "--import", str(folder / "result.json"), "-o", str(path)]) == 0
    said = capsys.readouterr().out
    assert "validated on 3 held-out networks" in said
    table = load_table(path)
    assert dict(table.identity) == make_backend("cpu", image_channels=1).identity()
    assert table.environment["calibration_op_ms"] > 0
    assert {"energy_unavailable"} & set(table.environment) or table.environment["calibration_op_mj"] > 0
    assert any("measured from a bundle" in note for note in table.notes)
    assert [op for op in SPACE.ops() if not table.entries[op].priced] == []
    assert fails(capsys, "profile", "--import", folder / "result.json", "-o", path).endswith("--force to replace it")


def test_probes_of_networks_beyond_the_caches_are_measured_cold_there(tmp_path):
    folder = tmp_path / "board"
    make_bundle(SPACE, folder, {**SETTING, "core_cache_bytes": 4096}, networks=3, seed=0, settings=TWO)
    job = json.loads((folder / "job" / "job.json").read_text())
    swept = {name: model["sweep"] for names in job["passes"] for name, model in names.items()}
    assert {name for name, size in swept.items() if not size} == {
        name for name in swept if name.startswith(("network:", "calibration"))
    }
    assert {size for size in swept.values() if size} == {sweep_bytes(4096, 1)}
    assert run_there(folder).returncode == 0


def test_a_finished_job_is_not_measured_again(folder):
    before = (folder / "job" / "samples.jsonl").read_bytes()
    assert before.count(b'"round"') >= 4  # a busy machine repeats rounds
    done = run_there(folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "job" / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", ["torn", "samples", "negative", "plan", "version", "other"])
def test_damaged_results_are_refused_in_one_line(folder, tmp_path, capsys, damage):
    result, path = json.loads((folder / "result.json").read_text()), tmp_path / "result.json"
    first = next(iter(result["samples"].values()))
    if damage == "samples":
        result["samples"].popitem()
    elif damage == "negative":
        first["seconds"][0] = -1.0
    elif damage == "plan":
        result["job"]["plan"] = "0"
    elif damage == "version":
        result["version"] = 99
    text = "[]" if damage == "other" else json.dumps(result)
    path.write_text(text[: len(text) // 2] if damage == "torn" else text)
    line = fails(capsys, "profile", "--import", path, "-o", tmp_path / "t.json")
    assert line.startswith(f"hwnas: error: {path} ")
    assert not (tmp_path / "t.json").exists()


def test_jobs_that_cannot_run_say_why(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, str(folder / "runner.pyz"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {tmp_path / 'job.json'} cannot be read; name the folder `job` that `hwnas bundle` made\n"
    )


@pytest.mark.parametrize(
    "more", [["--threads", "8"], ["--space", "resnet"], ["--device", "cuda"], ["--networks", "7"], ["--width", "0.5"]]
)
def test_what_a_result_states_cannot_be_given_beside_it(more, tmp_path, capsys):
    line = fails(capsys, "profile", "--import", "nowhere.json", "-o", tmp_path / "t.json", *more)
    assert line.endswith(f"{more[0]} does not go with --import: device, space and networks are the bundle's")


def test_bundle_command(tmp_path, capsys):
    command = ["bundle", "--space", "nasbench201", "--image-size", "8", "--networks", "2", "-o", str(tmp_path / "b")]
    assert main([*command, "--core-cache", "64k"]) == 0
    assert capsys.readouterr().out.endswith(f"models in {tmp_path / 'b'}; see README.txt there for the next step\n")
    assert '"core_cache_bytes": 65536' in (tmp_path / "b" / "job" / "job.json").read_text()
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["README.txt", "job", "runner.pyz"]
    assert fails(capsys, *command).endswith("is not an empty folder; choose another -o")
    assert "--precision must be fp32 or int8 for a bundle, got bf16" in fails(capsys, *command, "--precision", "bf16")
    assert fails(capsys, "profile", "--import", "x.json").endswith(
        "--import needs the table's file name: -o table.json"
    )
