"""`predict.py` reads recordings as hwnas does, and a search from recordings to the report and the folder."""

import csv
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import signal_toys
from signal_toys import RATE, motion, plain_space, tone, tone_folder, write_csv, write_wav

from hwnas._cli import main
from hwnas.tasks import make_task


def predict(folder, *arguments):
    command = [sys.executable, "-I", str(folder / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(folder, *arguments):
    """The one line of an error."""
    result = predict(folder, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("predict.py: error: ")


def deployed(folder, task, outputs):
    """A folder as it is delivered, for a network of random weights."""
    from hwnas import SearchSettings
    from hwnas._deploy import measurement_metadata
    from hwnas._deploy._folder import reader_files
    from profilers import build_onnx, random_weights

    channels, length = task.input_shape
    space = plain_space(image_channels=channels, image_size=length - 8, classes=outputs)
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    metadata = task.metadata(graph.input_shape)
    texts = {f"hwnas.{name}": json.dumps(value) for name, value in metadata.items()}
    model = build_onnx(
        graph,
        random_weights(graph, 0),
        batch=4,
        metadata=texts | measurement_metadata(SearchSettings(batch=4), None),
    )
    folder.mkdir()
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    for name, content in reader_files(metadata).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """Arrays with groups, a network of two channels that is deployed for them, and its `predict.py` as a module."""
    place = tmp_path_factory.mktemp("grouped")
    data = signal_toys.arrays(place / "a.npz", groups=True)
    folder = deployed(place / "deploy", make_task("signal", str(data), hold_out="2"), 3)
    spec = importlib.util.spec_from_file_location("deployed_predict", folder / "predict.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return data, program.Network(folder / "network.onnx"), program


def wanted(folder, task):
    """on the test part</h2> as hwnas prepares it ``(n, outputs)``."""
    from hwnas.training import OnnxNetwork

    (outputs,) = OnnxNetwork(folder / "network.onnx", task).on_test(np.arange(task.size("test")))
    return outputs


def told(result, table):
    assert result.returncode == 0, result.stderr
    return list(csv.DictReader(table.read_text().splitlines()))


def test_recordings_are_read_as_in_training(tmp_path):
    data = tone_folder(tmp_path / "data", speakers=("ann",), takes=3, parts=("train", "test"))
    write_wav(data / "test" / "low" / "low_bob_0.wav", tone(np.random.default_rng(3), 300, 900, 11025), 11025, width=3)
    task = make_task("signal", str(data))
    folder = deployed(tmp_path / "deploy", task, 3)
    rows = told(predict(folder, data / "test", "--top", 3, "--csv", tmp_path / "t.csv"), tmp_path / "t.csv")
    logits = wanted(folder, task).astype(np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    given = {(row["file"], row["class"]): float(row["probability"]) for row in rows}
    files = sorted({row["file"] for row in rows})
    assert len(files) == len(chances) == 10
    found = [[given[file, name] for name in ("high", "low", "mid")] for file in files]
    assert np.ptp(chances[:, 0]) > 1e-3
    np.testing.assert_allclose(found, chances, atol=1e-5)
    right = int((chances.argmax(1) == task.targets("test", slice(None))).sum())
    assert predict(folder, "--test", data).stdout == f"accuracy {right / 10:.2%} ({right} of 10)\n"
    np.save(tmp_path / "x.npy", task.data.test.signals)
    first = predict(folder, tmp_path / "x.npy").stdout.splitlines()[0]
    assert first.startswith(f"{tmp_path}/x.npy[0]: {('high', 'low', 'mid')[chances[0].argmax()]} ")


def scored(folder, data, expected=None):
    """What ``--test`` prints, and its note."""
    if expected is not None:
        (folder / "expected.json").write_text(json.dumps(expected))
    result = predict(folder, "--test", data)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def test_the_test_prints_what_hwnas_held_out(tmp_path):
    data = tone_folder(tmp_path / "data", speakers=("ann", "bob", "cid", "dan"), takes=2, parts=("train", "test"))
    task = make_task("signal", str(data), split_by=2, hold_out=["bob", "dan"])
    folder = deployed(tmp_path / "deploy", task, 3)
    found = wanted(folder, task).argmax(1)
    right = int((found == task.targets("test", slice(None))).sum())
    assert len(found) == 24
    out, note = scored(folder, data, {"test": 0.5, "test_samples": 24})
    assert out.splitlines() == [
        f"accuracy {right / 24:.2%} ({right} of 24; groups bob, dan)",
        "hwnas    50.00% (of 24 test samples)",
    ]
    assert note == ""
    out, note = scored(folder, data / "test")  # the held-out speakers of one folder alone
    assert "of 12; groups bob, dan)" in out
    assert "hwnas tested 24 samples), so its figure is left out" in note
    new = tone_folder(tmp_path / "new", speakers=("eve",), takes=8)  # as many recordings of somebody else
    out, note = scored(folder, new)
    assert "of 24)" in out
    assert "hwnas  " not in out
    assert note == (
        "note: these are not the test samples of hwnas (hwnas tested the groups bob, dan), so its figure is left out\n"
    )


def test_the_test_of_a_drawn_part_prints_no_figure_beside_all_samples(tmp_path):
    data = tone_folder(tmp_path / "data", speakers=("ann",), takes=5)
    task = make_task("signal", str(data))
    assert task.metadata(task.input_shape)["test_part"] == {"chosen": "drawn"}
    folder = deployed(tmp_path / "deploy", task, 3)
    out, note = scored(folder, data, {"test": 0.5, "test_samples": task.size("test")})
    assert "of 15)" in out
    assert "hwnas  " not in out
    assert note.count("\n") == 1
    assert "(hwnas tested 3 samples), so its figure is left out" in note


def test_the_test_reads_groups_of_arrays(tmp_path):
    data = signal_toys.arrays(tmp_path / "a.npz", groups=True)
    task = make_task("signal", str(data), hold_out="2")
    folder = deployed(tmp_path / "deploy", task, 3)
    right = int((wanted(folder, task).argmax(1) == task.targets("test", slice(None))).sum())
    out, note = scored(folder, data, {"test": 0.5, "test_samples": 6})
    assert out.splitlines()[0] == f"accuracy {right / 6:.2%} ({right} of 6; groups 2)"
    assert (out.count("\n"), note) == (2, "")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"x_test": (24, 1, 64)}, "x_test has shape (24, 1, 64), the network reads numbers of shape (N, 2, 64)"),
        ({"x_test": (24, 2, 72)}, "x_test has shape (24, 2, 72), the network reads numbers of shape (N, 2, 64)"),
        ({"x_test": (24, 64)}, "x_test has shape (24, 64), the network reads numbers of shape (N, 2, 64)"),
        ({"x_train": (24, 1, 64), "x_test": (24, 1, 64)}, "x_train has shape (24, 1, 64), the network reads numbers"),
        ({"x_test": (23, 2, 64)}, "y_test has shape (24,), but x_test holds 23 samples; give one for each"),
        ({"y_train": (25,)}, "y_train has shape (25,), but x_train holds 24 samples; give one for each"),
        ({"group_test": (9,)}, "group_test has shape (9,), but x_test holds 24 samples; give one for each"),
        ({"group_test": (24, 1)}, "group_test has shape (24, 1), but x_test holds 24 samples; give one for each"),
        ({"x_test": "text"}, "x_test holds <U1, the network reads numbers; convert it to float32"),
    ],
)
def test_arrays_of_groups_that_do_not_fit_are_one_line(grouped, tmp_path, change, line):
    data, network, program = grouped
    arrays, bad = dict(np.load(data)), tmp_path / "bad.npz"
    for key, shape in change.items():
        arrays[key] = np.full((24, 2, 64), "a") if shape == "text" else np.resize(arrays[key], shape)
    np.savez(bad, **arrays)
    with pytest.raises(program.InputError) as caught:
        program.labelled(bad, network)
    assert str(caught.value).startswith(f"{bad}: {line}")


@pytest.mark.parametrize("keys", [("x_train", "y_train", "group_train", "x_test", "y_test", "group_test"), ("x", "y")])
def test_an_array_file_is_read_once(grouped, tmp_path, monkeypatch, keys):
    data, network, program = grouped
    arrays, reads = np.load(data), []
    np.savez(tmp_path / "a.npz", **{key: arrays[key if "_" in key else f"{key}_test"] for key in keys})
    load = program.load_arrays
    monkeypatch.setattr(program, "load_arrays", lambda path: reads.append(path) or load(path))
    samples, labels, _ = program.labelled(tmp_path / "a.npz", network)
    assert (len(samples), len(labels)) == ((6, 6) if len(keys) > 2 else (24, 24))
    assert reads == [tmp_path / "a.npz"]


def test_the_test_says_that_it_cannot_tell_groups_of_a_column(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("walk", "run"):
        rows = [[*row, who] for who in ("ann", "bob", "cid") for row in motion(rng, kind, 40)]
        write_csv(tmp_path / "data" / kind / "0.csv", rows, ["ax", "ay", "who"])
    task = make_task("signal", str(tmp_path / "data"), window=40, split_by="who", hold_out="bob")
    folder = deployed(tmp_path / "deploy", task, 2)
    out, note = scored(folder, tmp_path / "data", {"test": 0.5, "test_samples": 10})
    assert out.count("\n") == 1
    assert "(hwnas tested the groups bob of column who), so its figure is left out" in note


def test_windows_of_tables_have_values(tmp_path):
    rng = np.random.default_rng(0)
    for take in range(4):
        rows = [[*row, step / 7] for step, row in enumerate(motion(rng, "walk", 60))]
        write_csv(tmp_path / "data" / ("test" if take == 3 else "train") / f"{take}.csv", rows, ["ax", "ay", "label"])
    task = make_task("signal", str(tmp_path / "data"), window=24, hop=10)
    folder = deployed(tmp_path / "deploy", task, 1)
    whole = tmp_path / "data" / "test" / "3.csv"
    lines = whole.read_text().splitlines()
    new = tmp_path / "new.csv"  # without labels, the columns in another order
    new.write_text("\n".join(",".join(line.split(",")[1::-1]) for line in lines))
    values = task.values_of(wanted(folder, task))
    assert len(values) == 4
    for file in (whole, new):
        rows = told(predict(folder, file, "--csv", tmp_path / "t.csv"), tmp_path / "t.csv")
        assert [row["file"] for row in rows] == [f"{file}[{i}]" for i in range(4)]
        np.testing.assert_allclose([float(row["value"]) for row in rows], values, rtol=1e-4)
    line = "--top is for networks that give the class of a sample; this one gives other outputs, leave --top out"
    assert refused(folder, whole, "--top", 2) == line
    write_wav(tmp_path / "new.wav", tone(rng, 300))
    line = "is a WAV file, but the network reads CSV files with the columns ax, ay; convert it"
    assert refused(folder, tmp_path / "new.wav") == f"{tmp_path / 'new.wav'}: {line}"
    new.write_text("\n".join(lines[:20]))
    assert refused(folder, new) == f"{new}: has 19 samples, too few for a window of 24; give a longer one"


def test_a_table_of_results_replaces_no_sample_and_nothing_before_there_are_results(tmp_path):
    rng = np.random.default_rng(0)
    for take in range(8):
        rows = [[*row, "walk" if take % 2 else "sit"] for row in motion(rng, "walk", 60)]
        write_csv(tmp_path / "data" / ("test" if take > 5 else "train") / f"{take}.csv", rows, ["ax", "ay", "label"])
    folder = deployed(tmp_path / "deploy", make_task("signal", str(tmp_path / "data"), window=24), 2)
    recording, table = tmp_path / "data" / "test" / "7.csv", tmp_path / "told.csv"
    before, inside = recording.read_bytes(), tmp_path / "data" / "classes.csv"
    for given, target in (((recording,), recording), ((tmp_path / "data",), recording), ((tmp_path / "data",), inside)):
        line = f"--csv {target} would be one of the samples; write it to another place"
        assert refused(folder, *given, "--csv", target) == line
    assert recording.read_bytes() == before
    assert not inside.exists()
    table.write_text("earlier results")
    assert refused(folder, tmp_path / "none.csv", "--csv", table) == f"{tmp_path}/none.csv does not exist"
    assert table.read_text() == "earlier results"
    assert told(predict(folder, recording, "--csv", table), table)[0]["file"] == f"{recording}[0]"


def test_bad_recordings_are_one_line(tmp_path):
    data = tone_folder(tmp_path / "data", speakers=("ann",), takes=3)
    folder = deployed(tmp_path / "deploy", make_task("signal", str(data)), 3)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"nothing")
    assert refused(folder, bad).startswith(f"{bad}: cannot be read as a WAV file (")
    write_wav(bad, tone(np.random.default_rng(0), 300, channels=2), RATE)
    assert refused(folder, bad) == f"{bad}: has 2 channels, the network reads 1; convert it"
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 9)))
    assert refused(folder, tmp_path / "x.npy").endswith("the network reads numbers of shape (N, 1, 400)")
    (tmp_path / "empty").mkdir()
    assert refused(folder, tmp_path / "empty").endswith("holds no recordings; known suffixes: .wav .wave")
    assert refused(folder, "--test", tmp_path / "empty").endswith("it must hold <class>/* or test/<class>/*")
    (folder / "recordings.py").unlink()
    assert refused(folder, bad).startswith(f"{folder}/recordings.py is missing; write the folder again with: hwnas")


@pytest.mark.slow
def test_a_search_from_recordings_to_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tone_folder(tmp_path / "tones", takes=3)
    (tmp_path / "plain.json").write_text(json.dumps(signal_toys.PLAIN))
    command = ["search", "--data", "tones", "--split-by", "2", "--hold-out", "bob,dan", "--space", "plain.json"]
    command += ["--evaluator", "train", "--epochs", "2", "--samples", "3", "--strategy", "random", "--out", "run"]
    assert main(command) == 0
    assert "data: the test part is bob, dan" in capsys.readouterr().err
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    assert settings["data_options"] == {"split_by": "2", "hold_out": ["bob", "dan"]}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "on the test part</h2>" in page
    assert "<h3>Confusion matrix</h3>" in page
    networks = json.loads((tmp_path / "run" / "pareto.json").read_text())
    assert networks[0]["images"] == {"test": 18, "validation": 9}
    folder = tmp_path / "run" / "deploy"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "expected.json", "network.onnx", "predict.py", "recordings.py", "requirements.txt")
    ]
    assert "scipy" in (folder / "requirements.txt").read_text()
    assert "signals of 400 samples at 8000 Hz, 1 channel" in (folder / "README.md").read_text()
    assert "on 18 samples, the groups bob, dan." in (folder / "README.md").read_text()
    assert predict(folder, "tones/train/low/low_bob_0.wav").returncode == 0
    before = (tmp_path / "run" / "trials.jsonl").read_text()
    assert main([*command, "--samples", "3"]) == 0  # the same search
    assert (tmp_path / "run" / "trials.jsonl").read_text() == before
    assert main([*command, "--hold-out", "bob"]) == 2
    assert "contains a search with data_options" in capsys.readouterr().err
    assert main(["search", "--data", "tones", "--out", "other", "--split-by", "9", "--space", "plain.json"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_recording_without_a_class_is_no_test(tmp_path):
    for number in range(8):
        kind = ("walk", "run")[number % 2]
        write_csv(tmp_path / "data" / kind / f"{number}.csv", motion(np.random.default_rng(number), kind))
    task = make_task("signal", str(tmp_path / "data"))
    folder = deployed(tmp_path / "deploy", task, 2)
    file = tmp_path / "data" / "walk" / "0.csv"
    assert refused(folder, "--test", file) == (
        f"{file} states no classes to test; give class folders (<class>/*) or an .npz file"
    )
