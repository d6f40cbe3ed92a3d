"""The folder that deploys a network: written by a search, and by `hwnas export --deploy`."""

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from simulated_device import AdditiveBackend

import hwnas
from hwnas import SearchSettings
from hwnas._cli import main
from hwnas._deploy import deliver_folder, measurement_metadata
from hwnas._deploy._texts import readme, requirements
from hwnas._runs._entries import digest_of
from hwnas._runs._run import Run
from hwnas.spaces import Space
from profilers import session_options

FORMAT_2 = Path(__file__).resolve().parents[2] / "fixtures" / "run-format-2"
NAMES = ["README.md", "expected.json", "network.onnx", "predict.py", "requirements.txt"]


class Small(Space):
    """Few networks of two classes."""

    name = "small"
    settings = property(lambda self: {})
    choices = (hwnas.Choice("width", (2, 4, 8)), hwnas.Choice("kernel", (1, 3)))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((3, 10, 10)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((3, 10, 10), *arch.values, stride=2, act="relu"), x)
        return builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 2), x))


class Stopwatch(AdditiveBackend):
    """Measures networks as it prices them."""

    def identity(self):
        return {"device": "cpu", "cpu": "a chip", "runtime": "onnxruntime", "runtime_version": "1.20.1", "isa": ["avx"]}

    def load_trained(self, graph, weights, file):
        return self.load(graph)


def pictures(root):
    """Photos in which the classes differ by their colours, most of the time."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 15)):
        for name, colour in (("cat", (200, 90, 60)), ("dog", (120, 110, 70))):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(colour, 90, (14, 18, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished search with photos, and what it told."""
    place, told = tmp_path_factory.mktemp("made"), []
    data = pictures(place / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._report._write._pictures", lambda shown: {})
        table = hwnas.profile(Small(), Stopwatch(), out=place / "t.json", networks=2)
        how = {"evaluator": "train", "epochs": 3, "strategy": "random", "samples": 6, "image_size": 12}
        hwnas.search(
            Small(), data=str(data), out=place / "run", table=table, device=Stopwatch(), progress=told.append, **how
        )
    return place / "run", data, told


@pytest.fixture
def run(made, tmp_path):
    """A copy of that run."""
    shutil.copytree(made[0], tmp_path / "run")
    return tmp_path / "run"


def entry_of(run, folder):
    """The entry of ``pareto.json`` that a folder was written from."""
    name = json.loads((folder / "expected.json").read_text())["id"]
    return next(entry for entry in json.loads((run / "pareto.json").read_text()) if entry["id"] == name)


def predict(folder, *arguments):
    command = [sys.executable, "-I", str(folder / "predict.py"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_search_writes_it_for_the_network_that_export_picks(made):
    run, data, told = made
    folder = run / "deploy"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    entry = entry_of(run, folder)
    assert hwnas.export(run, out=run.parent / "picked.onnx").network["id"] == entry["id"]
    assert (folder / "network.onnx").read_bytes() == (run / entry["onnx"]).read_bytes()
    assert digest_of((folder / "network.onnx").read_bytes()) == entry["onnx_sha256"]
    program = Path(hwnas.__file__).with_name("_deploy") / "predict.py"
    assert (folder / "predict.py").read_bytes() == program.read_bytes()
    place = next(i for i, line in enumerate(told) if " is ready to deploy: " in line)
    ready, other = told[place : place + 2]
    why = "as knee: from here on, a better validation accuracy costs much more latency"
    assert ready == f"{entry['id']} is ready to deploy: {folder} (picked {why})"
    assert other == f"to deploy another network: hwnas export {run} --pick best --deploy FOLDER"
    assert f"- **Picked**: {why}. For another network of the run: " in (folder / "README.md").read_text()
    accuracy = f"{entry['accuracy']:.2%}"
    assert predict(folder, "--test", data) == (
        f"accuracy {accuracy} ({round(30 * entry['accuracy'])} of 30)\nhwnas    {accuracy} (of 30 test samples)\n"
    )


def test_its_figures_are_those_of_the_run(made):
    run, _, _ = made
    folder = run / "deploy"
    entry, expected = entry_of(run, folder), json.loads((folder / "expected.json").read_text())
    assert expected == {
        "id": entry["id"],
        "arch": entry["arch"],
        "metric": expected["metric"],
        "test": entry["accuracy"],
        "test_samples": 30,
        "latency_ms": entry["latency_ms"],
        "measured_on": expected["measured_on"],
        "hwnas": hwnas.__version__,
    }
    assert expected["metric"]["name"] == "accuracy"
    assert expected["latency_ms"]["measured"] > 0
    assert "(a chip), 1 thread, batch 1, fp32" in expected["measured_on"]
    page = (folder / "README.md").read_text()
    assert page.startswith(f"# {entry['id']}: {entry['arch']}\n")
    for text in ("intra_op_num_threads=1", f"{entry['accuracy']:.2%}", expected["measured_on"], "pip install -r"):
        assert text in page
    assert len(page.splitlines()) <= 12
    numpy, runtime, pillow = (folder / "requirements.txt").read_text().splitlines()
    assert (numpy, pillow) == ("numpy>=1.26", "Pillow>=10")
    assert runtime == "onnxruntime==1.20.1  # as measured; other versions work, and may take other times"


def test_every_delivered_file_says_how_it_is_measured(made):
    run, _, _ = made
    for entry in json.loads((run / "pareto.json").read_text()):
        metadata = {item.key: item.value for item in onnx.load(run / entry["onnx"]).metadata_props}
        options = session_options(threads=1)
        assert json.loads(metadata["hwnas.session"]) == {**options, "batch": 1, "precision": "fp32"}
        device = json.loads(metadata["hwnas.device"])
        assert (device["cpu"], device["runtime_version"]) == ("a chip", "1.20.1")
        preparing = json.loads(metadata["hwnas.preprocessing"])
        assert {name: preparing[name] for name in ("size", "channels", "image_size", "loaded_size")} == {
            "size": 10,
            "channels": 3,
            "image_size": 12,
            "loaded_size": [12, 12],
        }


def test_export_writes_it_for_another_pick(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "new" / "deploy"
    for pick in ("fastest", "best"):
        assert main(["export", str(run), "--pick", pick, "--deploy", str(folder)]) == 0
        entry = entry_of(run, folder)
        assert capsys.readouterr().out.startswith(f"{folder}/network.onnx: {entry['arch']}, ")
        assert sorted(path.name for path in folder.iterdir()) == NAMES
        assert (folder / "network.onnx").read_bytes() == (run / entry["onnx"]).read_bytes()
    assert not list(tmp_path.glob("*.onnx"))
    assert main(["export", str(run), "--deploy", str(folder), "-o", "x.onnx"]) == 0
    assert Path("x.onnx").read_bytes() == (folder / "network.onnx").read_bytes()
    exported = hwnas.export(run, pick="best", deploy=folder)
    assert (exported.path, exported.network["id"]) == (folder / "network.onnx", entry["id"])
    (folder / "mine.txt").write_text("mine")
    hwnas.export(run, deploy=folder)
    assert (folder / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["README.md", "requirements.txt", "network.onnx"])
def test_export_replaces_no_files_of_others(run, tmp_path, capsys, name):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / name).write_text("mine")
    assert main(["export", str(run), "--deploy", str(tmp_path / "project")]) == 2
    line = f"{tmp_path}/project holds a {name} that hwnas did not write; choose another --deploy"
    assert line in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "project").iterdir()] == [name]
    assert (tmp_path / "project" / name).read_text() == "mine"


def test_without_a_knee_it_holds_the_best_network_and_says_so(run):
    opened, entries = Run.open(run), json.loads((run / "pareto.json").read_text())
    made = []
    for number, (latency, accuracy) in enumerate([(1.0, 0.33), (4.0, 0.9)]):
        times = entries[0]["latency_ms"] | {"measured": latency, "measured_half_width": 0.0}
        own = {"id": f"n{number}", "validation_accuracy": accuracy, "dominated_by": None, "latency_ms": times}
        made.append(entries[0] | own)
    opened.write_pareto(made)
    told = told_by_delivery(run, {})
    assert f"n1 is ready to deploy: {run}/deploy (picked as best: the best validation accuracy)" in told[0]
    assert told[1].endswith("--pick fastest --deploy FOLDER")


def test_where_it_cannot_be_written_is_one_line(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for place, line in (("file", "is not a folder; choose another --deploy"), ("file/x", "Not a directory; choose ")):
        assert main(["export", str(run), "--deploy", str(tmp_path / place)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert line in error
    assert not (tmp_path / "t.onnx").exists()


def told_by_delivery(run, budgets):
    told = []
    opened = Run.open(run)
    opened.settings = replace(opened.settings, budgets=budgets)
    deliver_folder(opened, told.append)
    return told


def test_a_run_in_which_no_network_keeps_the_budget_has_none(run):
    (run / "deploy" / "mine.txt").write_text("mine")
    (line,) = told_by_delivery(run, {"latency_ms": 1e-6})
    assert line.startswith("no deploy/: no network of the run meets its budget; the nearest is ")
    assert [path.name for path in (run / "deploy").iterdir()] == ["mine.txt"]
    (run / "deploy" / "mine.txt").unlink()
    told_by_delivery(run, {"latency_ms": 1e-6})
    told_by_delivery(run, {"latency_ms": 1e3})
    assert sorted(path.name for path in (run / "deploy").iterdir()) == NAMES
    told_by_delivery(run, {"latency_ms": 1e-6})
    assert not (run / "deploy").exists()


def test_with_a_budget_it_holds_the_best_network_within_it(run):
    """The last network of this front is over the budget, the one before it the best, and another one the knee."""
    opened, entries = Run.open(run), json.loads((run / "pareto.json").read_text())
    first = entries[0]
    rows = [(1.0, 0.3, 0.9), (1.1, 0.7, 0.4), (4.0, 0.75, 0.2), (9.0, 0.99, 0.99)]
    made = []
    for number, (latency, accuracy, test) in enumerate(rows):
        own = {"id": f"n{number}", "validation_accuracy": accuracy, "accuracy": test, "dominated_by": None}
        made.append(
            first | own | {"latency_ms": first["latency_ms"] | {"measured": latency, "measured_half_width": 0.0}}
        )
    opened.write_pareto(made)
    for budgets, name in (({"latency_ms": 5.0}, "n2"), ({}, "n1"), ({"params": 10**9}, "n1")):
        told = told_by_delivery(run, budgets)
        assert entry_of(run, run / "deploy")["id"] == name
        rule = "best: the best validation accuracy" if name == "n2" else "knee: from here on"
        assert f"{name} is ready to deploy: {run}/deploy (picked as {rule}" in told[0]
        assert told[1].endswith(f"--pick {'knee' if name == 'n2' else 'best'} --deploy FOLDER")
    settings = replace(opened.settings, budgets={"latency_ms": 5.0})
    assert hwnas.SearchResult(run, settings, (), (), tuple(made)).pick()["id"] == "n2"


def test_its_command_can_be_copied_from_any_place(run):
    place = run.rename(run.parent / "my run")
    *_, line = told_by_delivery(place, {})
    assert shlex.split(line.partition(": ")[2])[:3] == ["hwnas", "export", str(place)]


def test_a_run_without_files_has_none(run):
    opened, entries = Run.open(run), json.loads((run / "pareto.json").read_text())
    opened.write_pareto([entry | {"onnx": None} for entry in entries])
    assert told_by_delivery(run, {}) == []
    assert not (run / "deploy").exists()
    with pytest.raises(hwnas.HwnasError, match="has no ONNX files"):
        hwnas.export(run, deploy=run.parent / "new")
    assert not (run.parent / "new").exists()


def test_a_run_of_an_earlier_version_gets_one_with_the_metadata_that_it_lacked(tmp_path):
    from hwnas.tasks import make_task

    run = tmp_path / "run"
    shutil.copytree(FORMAT_2 / "done", run)
    folder = hwnas.export(run, pick="t0002", deploy=tmp_path / "deploy").path.parent
    entry = entry_of(run, folder)
    old, new = (onnx.load(path) for path in (run / entry["onnx"], folder / "network.onnx"))
    assert new.graph == old.graph
    metadata = [{item.key: item.value for item in model.metadata_props} for model in (old, new)]
    assert set(metadata[1]) - set(metadata[0]) == {"hwnas.session", "hwnas.device"}
    assert json.loads(metadata[1]["hwnas.device"]) == {"name": "cpu"}
    assert "measured on cpu, 1 thread" in (folder / "README.md").read_text()
    assert "\n- **Picked**: by its id. For another network" in (folder / "README.md").read_text()
    assert "(q10)" in (folder / "README.md").read_text()
    assert "onnxruntime>=1.18" in (folder / "requirements.txt").read_text()
    test = make_task("image", "digits", limit=120).data.test
    np.savez(tmp_path / "test.npz", x=test.images[:, 0], y=test.labels)
    assert predict(folder, "--test", tmp_path / "test.npz").startswith(f"accuracy {entry['accuracy']:.2%} ")


def test_the_size_that_an_earlier_version_told_in_words_is_read(run, tmp_path):
    """The scaling of images at loading stood in a sentence alone."""
    entries = json.loads((run / "pareto.json").read_text())
    opened = Run.open(run)
    for entry in entries:
        model = onnx.load(run / entry["onnx"])
        metadata = {item.key: item.value for item in model.metadata_props}
        preparing = json.loads(metadata["hwnas.preprocessing"])
        for name in ("channels", "image_size", "loaded_size"):
            del preparing[name]
        kept = {"hwnas.preprocessing": json.dumps(preparing), "hwnas.classes": metadata["hwnas.classes"]}
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, kept)
        content = model.SerializeToString()
        (run / entry["onnx"]).write_bytes(content)
        entry["onnx_sha256"] = digest_of(content)
    opened.write_pareto(entries)
    folder = hwnas.export(run, deploy=tmp_path / "deploy").path.parent
    accuracy = f"{entry_of(run, folder)['accuracy']:.2%}"
    data = pictures(tmp_path / "photos")
    assert predict(folder, "--test", data).splitlines()[0].startswith(f"accuracy {accuracy} ")


def test_what_is_no_onnx_file_is_one_line(run):
    opened, entries = Run.open(run), json.loads((run / "pareto.json").read_text())
    for entry in entries:
        (run / entry["onnx"]).write_bytes(b"nothing")
        entry["onnx_sha256"] = digest_of(b"nothing")
    opened.write_pareto(entries)
    with pytest.raises(hwnas.HwnasError, match="not an ONNX file; run the same `hwnas search` again to rewrite it"):
        hwnas.export(run, deploy=run.parent / "deploy")


GPU = {"device": "cuda", "gpu": "NVIDIA H100", "runtime": "torch", "runtime_version": "2.9.0", "mode": "host"}
REMOTE = {"device": "cpu", "cpu": "Cortex-A76", "runtime": "onnxruntime", "runtime_version": "1.19.2.dev1"}


def metadata_of(settings, identity, **more):
    texts = measurement_metadata(settings, identity)
    return {key.removeprefix("hwnas."): json.loads(text) for key, text in texts.items()} | more


def page_of(metadata, **latency):
    entry = {"id": "t0001", "arch": "a", "accuracy": 0.5, "validation_accuracy": 0.6, "images": {"test": 100}}
    return readme(entry | {"latency_ms": {"predicted": 1.0, "measured": None, **latency}}, metadata, "knee")


def test_on_a_gpu_the_figures_are_pytorchs():
    metadata = metadata_of(SearchSettings(device="cuda:0", batch=8, precision="fp16"), GPU)
    assert metadata["session"]["provider"] == "CUDAExecutionProvider"
    page = page_of(metadata, measured=0.5, measured_half_width=0.01)
    assert "0.5 ± 0.0100 ms (q10), measured with PyTorch 2.9.0 on cuda:0 (NVIDIA H100), batch 8, fp16." in page
    assert "the measured figures are PyTorch's on that GPU" in page
    assert requirements(metadata).splitlines()[1] == "onnxruntime>=1.18  # onnxruntime-gpu for an NVIDIA GPU"


def test_a_device_that_is_given_as_an_object_states_its_own_options():
    """The settings of the search hold the defaults then."""
    identity = {"device": "cpu", "threads": 2, "provider": "XnnpackExecutionProvider"}
    session = metadata_of(SearchSettings(), identity)["session"]
    assert session["intra_op_num_threads"] == 2
    assert session["provider"] == "XnnpackExecutionProvider"
    assert metadata_of(SearchSettings(), {"device": "cuda"})["session"]["provider"] == "CUDAExecutionProvider"


def test_a_remote_device_and_its_statistics_are_named():
    metadata = metadata_of(SearchSettings(device="ssh://pi@board", threads=4, provider="xnnpack"), REMOTE)
    assert metadata["session"]["provider"] == "XnnpackExecutionProvider"
    assert metadata["session"]["intra_op_num_threads"] == 4
    raw = {"q10": 1.0, "median": 1.25, "p90": 2.0, "p99": 3.5}
    page = page_of(metadata, measured=1.2, statistic="median", raw=raw, after_pause=7.5)
    assert (
        "q10 1 ms, median 1.25 ms, p90 2 ms, p99 3.5 ms, first inference after a pause of 1 s 7.5 ms; measured with "
        "ONNX Runtime 1.19.2.dev1 on ssh://pi@board (Cortex-A76), 4 threads, batch 1, fp32."
    ) in page
    assert "intra_op_num_threads=4" in page
    slowed = page_of(metadata, measured=1.2, statistic="median", raw=raw, slowness=1.04)
    assert "p99 3.5 ms; measured with ONNX Runtime 1.19.2.dev1 on ssh://pi@board (Cortex-A76), " in slowed
    assert "fp32. At the table's speed, by which hwnas judges budgets: median 1.2 ms.\n" in slowed
    assert requirements(metadata).splitlines()[1] == "onnxruntime>=1.18"
    predicted = (
        "**Latency**: 1 ms predicted, not measured; its latency table was made from measurements with ONNX Runtime"
    )
    assert predicted in page_of(metadata)


def test_samples_that_are_no_images_are_said_to_be():
    metadata = metadata_of(SearchSettings(), None, unit="lx")
    assert "The samples are not images" in page_of(metadata)
    assert "--test" not in page_of(metadata)
    assert "--test FOLDER" in page_of(metadata_of(SearchSettings(), None, classes=["a", "b"]))
