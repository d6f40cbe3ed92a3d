"""Paths of a run lie inside it; what is exported is what was delivered; where ``-o`` may point."""

import json
import os
import shutil
import stat

import pytest
from cells import search

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._runs._entries import digest_of
from hwnas._runs._list import describe_run
from hwnas._runs._run import Run
from latency_tables import content_hash


def rehashed(out, change):
    """Change ``pareto.json`` as somebody who works the hashes out anew."""
    settings = json.loads((out / "settings.json").read_text())
    settings.pop("content_hash")
    networks = json.loads((out / "pareto.json").read_text())
    change(networks)
    settings["pareto_hash"] = content_hash(networks)
    (out / "pareto.json").write_text(json.dumps(networks))
    (out / "settings.json").write_text(json.dumps({**settings, "content_hash": content_hash(settings)}))


@pytest.fixture(scope="module")
def shipped(csv, tmp_path_factory):
    """A run whose networks have files."""
    out = search(csv, tmp_path_factory.mktemp("paths") / "run", samples=12)
    (out / "models").mkdir()

    def add(networks):
        for network in networks:
            content = f"the network {network['id']}".encode()
            (out / "models" / f"{network['id']}.onnx").write_bytes(content)
            network |= {"onnx": f"models/{network['id']}.onnx", "onnx_sha256": digest_of(content), "accuracy": 0.5}
            network["latency_ms"]["measured"] = 1.0

    rehashed(out, add)
    return out


@pytest.fixture
def run(shipped, tmp_path):
    shutil.copytree(shipped, tmp_path / "run", symlinks=True)
    (tmp_path / "secret").write_text("of the person who exports")
    return tmp_path / "run"


@pytest.fixture
def first(run):
    return json.loads((run / "pareto.json").read_text())[0]["id"]


def refused(capsys, *command):
    capsys.readouterr()
    assert main([str(word) for word in command]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line.removeprefix("hwnas: error: ")


@pytest.mark.parametrize(
    "place", ["ABSOLUTE", "../secret", "models/../../secret", "./models/../../secret", "", ".", "a:b"]
)
def test_names_that_lead_out_of_the_run_are_refused(run, tmp_path, capsys, place):
    place = str(tmp_path / "secret") if place == "ABSOLUTE" else place
    rehashed(run, lambda networks: networks[0].update(onnx=place, onnx_sha256=None))
    line = refused(capsys, "export", run, "--pick", "fastest", "-o", tmp_path / "out.onnx")
    assert line.startswith(f"{run / 'pareto.json'} is damaged")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("link", ["file", "folder"])
def test_links_that_lead_out_of_the_run_are_refused(run, first, tmp_path, capsys, link):
    file = run / "models" / f"{first}.onnx"
    file.unlink()
    if link == "file":
        file.symlink_to(tmp_path / "secret")
    else:
        shutil.rmtree(run / "models")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "secret").rename(tmp_path / "elsewhere" / f"{first}.onnx")
        (run / "models").symlink_to(tmp_path / "elsewhere")
    rehashed(run, lambda networks: [network.pop("onnx_sha256") for network in networks])
    line = refused(capsys, "export", run, "--pick", first, "-o", tmp_path / "out.onnx")
    assert line == f"{file} lies outside the run {run}; nothing outside it is used"
    assert not (tmp_path / "out.onnx").exists()


def test_a_run_writes_into_no_folder_outside_it(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(run / "models")
    (run / "models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HwnasError, match="lies outside the run"):
        Run.open(run).folder("models")
    (run / "report.html").unlink(missing_ok=True)
    (run / "report.html").symlink_to(tmp_path / "secret")
    with pytest.raises(HwnasError, match="it is a symbolic link"):
        Run.open(run).write("report.html", "x")
    assert (tmp_path / "secret").read_text() == "of the person who exports"


def test_another_file_than_the_delivered_one_is_refused(run, first, tmp_path, capsys):
    file = run / "models" / f"{first}.onnx"
    file.write_bytes(b"another network")
    out = tmp_path / "out.onnx"
    line = refused(capsys, "export", run, "--pick", first, "-o", out)
    assert line.startswith(
        f"{file} was changed after it was delivered (its content hash does not match); run the same "
    )
    file.unlink()
    assert refused(capsys, "export", run, "--pick", first, "-o", out).startswith(f"{file} is missing; run the same ")
    os.mkfifo(file)
    line = refused(capsys, "export", run, "--pick", first, "-o", out)
    assert line == f"cannot read {file}: it is a pipe, not a file"
    assert not out.exists()


def test_files_of_runs_without_hashes_of_them_are_exported(run, first, tmp_path):
    rehashed(run, lambda networks: [network.pop("onnx_sha256") for network in networks])
    assert main(["export", str(run), "--pick", first, "-o", str(tmp_path / "out.onnx")]) == 0
    assert (tmp_path / "out.onnx").read_text() == f"the network {first}"


@pytest.mark.parametrize("output", ["new/", "new/deep/", "there", "there/"])
def test_export_into_a_folder(run, first, tmp_path, monkeypatch, capsys, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert main(["export", "run", "--pick", first, "-o", output]) == 0
    assert (tmp_path / output / f"{first}.onnx").read_text() == f"the network {first}"
    assert capsys.readouterr().out.startswith(f"{output.rstrip('/')}/{first}.onnx: ")


def test_where_export_does_not_write(run, tmp_path, capsys):
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "secret")
    os.mkfifo(pipe)
    assert refused(capsys, "export", run, "-o", link) == (
        f"cannot write {link}: it is a symbolic link; name the file that it points to; choose another -o"
    )
    assert refused(capsys, "export", run, "-o", pipe) == (
        f"cannot write {pipe}: it is a pipe, not a file; choose another -o"
    )
    assert (tmp_path / "secret").read_text() == "of the person who exports"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["settings.json", "trials.jsonl", "pareto.json"])
def test_pipes_in_a_run_hold_nobody_up(run, tmp_path, capsys, name):
    (run / name).unlink()
    os.mkfifo(run / name)
    state = describe_run(run, tmp_path).state
    command = ["export", run] if name == "pareto.json" else ["compare", run, run]
    assert state == "damaged" or name == "pareto.json"
    assert str(run) in refused(capsys, *command)


def test_output_that_names_a_folder_is_refused_where_a_file_is_needed(tmp_path, capsys):
    from pathlib import Path

    import latency_tables

    table = next((Path(latency_tables.__file__).parent / "data").glob("*.json"))
    assert refused(capsys, "merge", table, table, "-o", f"{tmp_path}/new/") == (
        f"cannot write {tmp_path}/new/: it is a folder; give the name of a file"
    )
    assert refused(capsys, "merge", table, table, "-o", tmp_path) == (
        f"cannot write {tmp_path}: it is a folder, not a file; choose another place"
    )


@pytest.mark.parametrize("command", ["rank", "explain"])
def test_output_in_no_folder_is_refused_before_anything_is_measured(command, tmp_path, capsys):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"is not read")
    out = tmp_path / "no" / "page.html"
    assert refused(capsys, command, model, "-o", out) == (
        f"cannot write {out}: there is no folder {out.parent}; make it, or choose another place"
    )
