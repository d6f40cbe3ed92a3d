"""`predict.py` beside an ONNX file: what it needs, what it prints, and that it reads images as hwnas does."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import hwnas
from hwnas import SearchSettings
from hwnas._deploy import measurement_metadata
from hwnas.tasks import make_task
from profilers import build_onnx, make_session, random_weights

PROGRAM = Path(hwnas.__file__).with_name("_deploy") / "predict.py"
NEEDED = ["PIL", "numpy", "onnxruntime"]
ALONE = """
import runpy, sys

needed, parts = {"numpy", "PIL", "onnxruntime"}, {"packaging", "flatbuffers", "google", "sympy", "mpmath"}
parts |= {"coloredlogs", "humanfriendly"}  # what versions of onnxruntime themselves import

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in needed | parts | set(sys.stdlib_module_names):
            raise ImportError(f"{name} is not among what predict.py needs", name=name)

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program where nothing but its needs can be imported, without the paths of the environment."""


def run(folder, *arguments, cwd=None):
    command = [sys.executable, "-I", "-c", ALONE, str(folder / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def refused(folder, *arguments):
    """The one line of an error."""
    result = run(folder, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith(("usage:", " "))]
    assert line.startswith("predict.py: error: ")
    return line.removeprefix("predict.py: error: ")


def network_graph(channels, size, classes):
    builder, x = hwnas.GraphBuilder((channels, size, size)), hwnas.INPUT
    x = builder.add("conv", hwnas.ops.conv((channels, size, size), 6, 3, stride=2, act="relu"), x)
    return builder.build(builder.add("logits", hwnas.ops.linear(builder.shape(x), classes), x))


def deployed(folder, graph, metadata, *, batch=1, expected=None, **settings):
    """A folder as it is delivered, for a network with random weights."""
    folder.mkdir()
    shutil.copy(PROGRAM, folder)
    texts = {f"hwnas.{name}": json.dumps(value) for name, value in metadata.items()}
    texts |= measurement_metadata(SearchSettings(batch=batch, **settings), None)
    model = build_onnx(graph, random_weights(graph, 0), batch=batch, metadata=texts)
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    if expected is not None:
        (folder / "expected.json").write_text(json.dumps(expected))
    return folder


def rgb(rng, width, height):
    coarse = rng.integers(0, 256, (max(2, height // 3), max(2, width // 3), 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def colour_files(folder, size=None):
    """Pictures of many modes and formats; of one size where that is given."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)

    def picture(width, height):
        return rgb(rng, *((size, size) if size else (width, height)))

    picture(30, 20).save(folder / "a.png")
    picture(17, 41).convert("RGBA").save(folder / "b.png")
    picture(33, 33).quantize(16).save(folder / "c.png")
    picture(50, 40).save(folder / "d.jpg", quality=95)
    picture(16, 16).convert("L").save(folder / "e.png")
    picture(25, 18).convert("LA").save(folder / "f.png")
    picture(21, 22).convert("1").save(folder / "g.png")
    picture(40, 30).convert("CMYK").save(folder / "h.jpg", quality=95)
    picture(9, 12).save(folder / "i.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture(64, 48).save(folder / "j.jpg", exif=exif, quality=95)
    picture(300, 200).save(folder / "k.webp", lossless=True)
    frames = [picture(20, 20).quantize(8) for _ in range(2)]
    frames[0].save(folder / "l.gif", save_all=True, append_images=frames[1:])


def grey_files(folder, size=None):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    for i, (width, height) in enumerate([(30, 20), (8, 8), (11, 40)]):
        rgb(rng, *((size, size) if size else (width, height))).convert("L").save(folder / f"{i}.png")
    Image.new("LA", (size or 12, size or 9), (77, 10)).save(folder / "x.png")


def probabilities_of_hwnas(model, task):
    """What the network says of the test images as hwnas prepares them ``(N, classes)``."""
    session = make_session(model, threads=1)
    batch, *shape = session.get_inputs()[0].shape
    x = task.inputs("test", slice(None), tuple(shape)).contiguous().numpy()
    rows = []
    for start in range(0, len(x), batch):
        padded = np.zeros((batch, *shape), np.float32)
        part = x[start : start + batch]
        padded[: len(part)] = part
        rows.append(session.run(None, {session.get_inputs()[0].name: padded})[0][: len(part)])
    powers = np.exp(np.concatenate(rows).astype(np.float64))
    return powers / powers.sum(1, keepdims=True)


VARIANTS = {
    "colour, scaled at loading": (colour_files, 3, None, 16, 16, 1),
    "colour, scaled at loading and for the network": (colour_files, 3, None, 20, 12, 1),
    "colour of one size, as it is": (colour_files, 3, 16, None, 16, 1),
    "colour of one size, smaller in the network": (colour_files, 3, 20, None, 13, 5),
    "colour of one size, larger in the network": (colour_files, 3, 8, None, 20, 4),
    "grey, scaled at loading": (grey_files, 1, None, 12, 12, 3),
    "grey of one size, smaller in the network": (grey_files, 1, 15, None, 8, 1),
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_predictions_are_those_of_hwnas(tmp_path, variant):
    write, channels, stored, image_size, size, batch = variant
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            write(tmp_path / "data" / part / name, stored)
    task = make_task("image", str(tmp_path / "data"), image_size=image_size)
    assert task.input_shape[0] == channels
    graph = network_graph(channels, size, 2)
    folder = deployed(tmp_path / "deploy", graph, task.metadata(graph.input_shape), batch=batch)
    table = tmp_path / "told.csv"
    result = run(folder, tmp_path / "data" / "test", "--top", 2, "--csv", table)
    assert result.returncode == 0, result.stderr
    wanted = probabilities_of_hwnas(str(folder / "network.onnx"), task)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    told = {row["file"]: {} for row in rows}
    for row in rows:
        told[row["file"]][row["class"]] = float(row["probability"])
    assert len(told) == len(wanted) == task.size("test")
    found = np.array([[values["cat"], values["dog"]] for values in told.values()])
    assert np.ptp(wanted[:, 0]) > 0.01  # they are told apart, so that other pixels would be noticed
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    for line, (file, values) in zip(result.stdout.splitlines(), told.items(), strict=True):
        first, second = sorted(values, key=values.get, reverse=True)
        assert line == f"{file}: {first} {values[first]:.4f}, {second} {values[second]:.4f}"
    right = int((wanted.argmax(1) == task.targets("test", slice(None))).sum())
    for data in ("data", "data/test"):
        counted = run(folder, "--test", tmp_path / data)
        assert counted.stdout == f"accuracy {right / len(wanted):.2%} ({right} of {len(wanted)})\n", counted.stderr


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_npz_file_is_read_as_hwnas_reads_it(tmp_path, kind):
    rng = np.random.default_rng(3)
    scale = 1 if kind == np.uint8 else 255
    arrays = {f"x_{part}": (rng.integers(0, 256, (24, 10, 10, 3)) / scale).astype(kind) for part in ("train", "test")}
    arrays |= {f"y_{part}": np.arange(24) % 3 + 7 for part in ("train", "test")}
    np.savez(tmp_path / "data.npz", **arrays)
    task = make_task("image", str(tmp_path / "data.npz"), image_size=8)
    graph = network_graph(3, 8, 3)
    expected = {"metric": {"name": "accuracy"}, "test": 0.5, "test_samples": 24}
    folder = deployed(tmp_path / "deploy", graph, task.metadata(graph.input_shape), expected=expected)
    wanted = probabilities_of_hwnas(str(folder / "network.onnx"), task)
    right = int((wanted.argmax(1) == task.targets("test", slice(None))).sum())
    assert 0 < right < 24
    result = run(folder, "--test", tmp_path / "data.npz")
    lines = [f"accuracy {right / 24:.2%} ({right} of 24)", "hwnas    50.00% (of 24 test samples)"]
    assert result.stdout.splitlines() == lines, result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A deployed network for grey images, with what hwnas measured of it."""
    task = make_task("image", "digits", limit=60)
    graph = network_graph(1, 8, 10)
    latency = {"predicted": 0.02, "measured": 0.01, "statistic": "median", "after_pause": 0.5, "slowness": 1.25}
    latency["raw"] = {"q10": 0.008, "median": 0.01, "p90": 0.02, "p99": 0.04}
    expected = {"arch": "w1_k3", "latency_ms": latency, "measured_on": "on cpu (a chip), 1 thread"}
    place = tmp_path_factory.mktemp("folder") / "deploy"
    return deployed(place, graph, task.metadata(graph.input_shape), expected=expected)


def test_it_is_python_3_9_and_imports_nothing_else():
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert sorted({name.split(".")[0] for name in names} - sys.stdlib_module_names) == NEEDED


def test_the_refusal_of_imports_works(folder, tmp_path):
    (tmp_path / "predict.py").write_text("import hwnas")
    assert "ImportError: hwnas is not among" in run(tmp_path).stderr


def test_folders_of_parts_may_have_capitals_as_in_training(folder, tmp_path):
    for part in ("Train", "Test"):
        (tmp_path / part / "3").mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(tmp_path / part / "3" / f"{part}.png")
    result = run(folder, "--test", tmp_path)
    assert re.fullmatch(r"accuracy (0|100)\.00% \([01] of 1\)\n", result.stdout), result.stderr


def test_an_image_of_another_size_or_with_colours_is_brought_to_what_was_trained_on(folder, tmp_path):
    rng = np.random.default_rng(0)
    rgb(rng, 31, 20).save(tmp_path / "photo.png")
    result = run(folder, "photo.png", cwd=tmp_path)
    assert re.fullmatch(r"photo\.png: \d 0\.\d{4}\n", result.stdout), result.stderr


def test_the_benchmark_prints_its_figures_beside_those_of_hwnas(folder, tmp_path):
    """With shorter pauses and fewer rounds, which `test_a_pause_and_enough_rounds_are_timed` counts."""
    quick = shutil.copytree(folder, tmp_path / "deploy")
    text = PROGRAM.read_text(encoding="utf-8")
    for line, shorter in (
        ("LEAST_SECONDS, MOST_SECONDS = 1.0, 3.0", "LEAST_SECONDS, MOST_SECONDS = 0.1, 0.3"),
        ("PAUSES, PAUSE_SECONDS = 3, 1.0", "PAUSES, PAUSE_SECONDS = 3, 0.05"),
    ):
        assert text.count(line) == 1
        text = text.replace(line, shorter)
    (quick / "predict.py").write_text(text, encoding="utf-8")
    result = run(quick, "--benchmark")
    assert result.returncode == 0, result.stderr
    first, where, header, *rows, speed, default = result.stdout.splitlines()
    runtime = re.escape(make_runtime_version())
    assert re.fullmatch(
        rf"w1_k3: batch 1, 1 thread, CPUExecutionProvider, ONNX Runtime {runtime}, (\d+) inferences", first
    )
    assert int(first.split()[-2]) >= 30
    assert where == "hwnas: measured on cpu (a chip), 1 thread"
    assert header.split() == ["statistic", "here,", "ms", "hwnas,", "ms", "difference"]
    parsed = [re.fullmatch(r"(.+?) +([\d.]+) +([\d.]+) +([+-][\d.]+) %", row).groups() for row in rows]
    assert [name for name, *_ in parsed] == ["q10", "median", "p90", "p99", "after a pause of 1 s"]
    known = [0.008, 0.01, 0.02, 0.04, 0.5]
    times = [float(here) for _, here, _, _ in parsed]
    assert times[:4] == sorted(times[:4])
    for (_, here, other, difference), value in zip(parsed, known, strict=True):
        assert float(other) == value
        assert float(difference) == pytest.approx(100 * (float(here) / value - 1), abs=0.1 + 0.1 / value)
    assert speed == "when hwnas timed the network, its machine was 25 % slower than when the latency table was made"
    assert re.fullmatch(r"with ONNX Runtime's default options: median [\d.]+ ms, [\d.]+ times as long", default)


@pytest.mark.parametrize(
    ("slowness", "text"),
    [(1.12, "12 % slower than"), (1.018, "1.8 % slower than"), (0.8, "25 % faster than"), (1.002, "as fast as")],
)
def test_the_speed_of_the_machine_in_words(slowness, text):
    assert program().speed_text(slowness) == text


def make_runtime_version():
    import onnxruntime

    return onnxruntime.__version__


@pytest.mark.parametrize(
    ("latency", "told"),
    [
        ({"predicted": 0.02, "measured": 0.01}, {"q10": 0.01}),  # an earlier version
        ({"predicted": 0.02, "measured": 0.01, "statistic": "p90"}, {"p90": 0.01}),
        ({"predicted": 0.02, "measured": None}, {}),
        ({"measured": 1, "raw": {"q10": 1, "p99": None}, "after_pause": 3.0}, {"q10": 1, "after a pause of 1 s": 3}),
        (None, {}),
    ],
)
def test_figures_of_all_versions_are_read(latency, told):
    assert program().expected_times({"latency_ms": latency}) == told


def program():
    """`predict.py` as a module."""
    import importlib

    return importlib.import_module("hwnas._deploy.predict")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_session_has_the_options_of_the_measured_one(folder, tmp_path, threads):
    place = deployed(tmp_path / "deploy", network_graph(1, 8, 10), {}, threads=threads)
    model = str(place / "network.onnx")
    ours = program().Network(place / "network.onnx").session
    measured = make_session(model, threads=threads)
    names = ["intra_op_num_threads", "inter_op_num_threads", "execution_mode", "graph_optimization_level"]
    values = [[getattr(s.get_session_options(), name) for name in names] for s in (ours, measured)]
    assert values[0] == values[1]
    assert values[0][0] == threads
    spins = [
        s.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") for s in (ours, measured)
    ]
    assert spins == ["1", "1"]
    assert ours.get_providers() == measured.get_providers() == ["CPUExecutionProvider"]


def test_without_the_gpus_provider_the_cpu_executes_it_and_it_says_so(tmp_path):
    place = deployed(tmp_path / "deploy", network_graph(1, 8, 10), {}, device="cuda:0")
    np.save(tmp_path / "x.npy", np.ones((1, 8, 8), np.float32))
    result = run(place, tmp_path / "x.npy")
    assert result.returncode == 0
    assert result.stderr == "note: this onnxruntime has no CUDAExecutionProvider; the CPU executes the network\n"


def test_samples_that_are_no_images_are_arrays(tmp_path):
    graph = network_graph(1, 8, 3)
    place = deployed(tmp_path / "deploy", graph, {"unit": "lx"}, batch=2, expected={"metric": {"name": "mse"}})
    x = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    np.save(tmp_path / "one.npy", x[0])
    table = tmp_path / "told.csv"
    result = run(place, tmp_path / "x.npz", tmp_path / "one.npy", "--csv", table)
    assert result.returncode == 0, result.stderr
    told = [float(row["value"]) for row in csv.DictReader(table.read_text().splitlines())]
    session = make_session(str(place / "network.onnx"), threads=1)
    outputs = [session.run(None, {"input": x[i : i + 2]})[0] for i in (0, 2)]
    wanted = np.concatenate([*outputs, session.run(None, {"input": x[[4, 4]]})[0][:1], outputs[0][:1]])
    np.testing.assert_allclose(told, wanted.ravel(), rtol=1e-5)
    assert len(result.stdout.splitlines()) == 6
    assert result.stdout.splitlines()[5].startswith(f"{tmp_path}/one.npy[0]: logits ")
    assert refused(place, "--test", tmp_path / "x.npz") == (
        "--test prints the accuracy, but the metric of this network is mse, which predict.py cannot compute; "
        "README.md beside it holds what hwnas found"
    )
    np.save(tmp_path / "bad.npy", x[:, :, :4])
    assert refused(place, tmp_path / "bad.npy") == (
        f"{tmp_path}/bad.npy: x has shape (5, 1, 4, 8), the network reads numbers of shape (N, 1, 8, 8)"
    )


def test_a_file_of_labelled_maps_is_read_once(tmp_path, monkeypatch):
    load, reads = program().load_arrays, []
    monkeypatch.setattr(program(), "load_arrays", lambda path: reads.append(path) or load(path))
    np.savez(tmp_path / "a.npz", x_test=np.ones((3, 1, 4, 4)), y_test=np.zeros((3, 4, 4), int), x_train=np.ones(2))
    network = SimpleNamespace(signals=None, shape=(1, 4, 4), maps={"pixels": False})
    samples, targets = program().labelled_maps(tmp_path / "a.npz", network)
    assert (samples.shape, targets.shape, reads) == ((3, 1, 4, 4), (3, 4, 4), [tmp_path / "a.npz"])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
def test_the_extent_of_an_image_is_that_of_its_pixels(tmp_path, suffix, orientation):
    exif, file = Image.Exif(), tmp_path / f"a.{suffix}"
    exif[0x0112] = orientation
    Image.new("RGB", (24, 10)).save(file, exif=exif)
    pixels = program().decode(file, 3)
    assert program().extent(file) == (pixels.shape[1], pixels.shape[0])
    assert program().extent(file) == ((10, 24) if orientation > 4 else (24, 10))


def test_maps_of_arrays_on_0_1_are_those_of_the_levels(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 4), dtype=np.uint8)
    network = SimpleNamespace(signals=None, shape=(1, 4, 4), maps={"pixels": True})
    for name, x in {
        "levels": levels,
        "unit": (levels / 255).astype(np.float32),
        "floats": levels.astype(float),
    }.items():
        np.savez(tmp_path / f"{name}.npz", x=x, y=np.zeros((3, 4, 4), int))
        for samples in (
            program().map_samples(tmp_path / f"{name}.npz", network),
            program().labelled_maps(tmp_path / f"{name}.npz", network)[0],
        ):
            assert np.array_equal(samples, levels), name
    np.savez(tmp_path / "wild.npz", x=levels * 3.0)
    with pytest.raises(program().InputError, match="must be uint8, or float on 0-1 or 0-255"):
        program().map_samples(tmp_path / "wild.npz", network)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_photo_is_no_sample_of_other_channels(tmp_path, channels):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    network = SimpleNamespace(signals=None, shape=(channels, 4, 4), maps={"pixels": True})
    with pytest.raises(program().InputError, match="this network reads no images"):
        program().map_samples(tmp_path / "a.png", network)


def test_no_map_takes_the_place_of_a_file_that_is_read(tmp_path):
    network = SimpleNamespace(maps={"kind": "segmentation"})
    targets = program().map_targets
    photo, mask, other = tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "b.npz"
    wanted = {photo: tmp_path / "maps" / "a.png", other: tmp_path / "maps" / "b.npz"}
    assert targets(network, [photo, other], tmp_path / "maps") == wanted
    for files, out in (([photo, mask], tmp_path), ([photo, mask], tmp_path / "maps"), ([mask], tmp_path)):
        with pytest.raises(program().InputError, match=r"would both be .*a\.png; rename one, or give another --out"):
            targets(network, files, out)


def test_masks_and_parts_are_found_however_they_are_written(tmp_path, monkeypatch):
    for kind, suffix in (("images", "png"), ("masks", "PNG")):
        (tmp_path / "Testing" / kind).mkdir(parents=True)
        Image.fromarray(np.ones((4, 4), dtype=np.uint8)).save(tmp_path / "Testing" / kind / f"a.{suffix}", "PNG")
    monkeypatch.setattr(program(), "map_samples", lambda file, network: np.zeros((1, 1, 4, 4)))
    network = SimpleNamespace(maps={}, classes=())
    assert program().labelled_maps(tmp_path, network)[1].tolist() == np.ones((1, 4, 4)).tolist()


def test_names_that_cannot_be_shown_end_nothing(folder, tmp_path):
    name = os.fsdecode(b"gr\xfc\xdfe.png")
    try:
        Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(tmp_path / name)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    result = run(folder, tmp_path, "--csv", tmp_path / "out.csv")
    assert (result.returncode, result.stderr) == (0, "")
    assert "gr\\udcfc\\udcdfe.png: " in result.stdout
    assert "gr\\udcfc\\udcdfe.png," in (tmp_path / "out.csv").read_text()


def test_a_file_without_clips_is_one_line(tmp_path):
    network = SimpleNamespace(preparing={}, shape=(3, 4, 8, 8), frames=4)
    clips = np.zeros((0, 3, 4, 8, 8), dtype=np.float32)
    with pytest.raises(program().InputError, match="x holds no clips"):
        program().stored_clips(tmp_path / "a.npz", network, {"x": clips}, "x")


def test_classes_may_be_spelled_in_another_form_of_unicode(tmp_path):
    for form, count in (("NFC", 12), ("NFD", 1)):
        for name in ("caf\u00e9", "tea"):
            place = tmp_path / form / unicodedata.normalize(form, name)
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(np.full((8, 8), 9 * number, dtype=np.uint8)).save(place / f"{number}.png")
    task, graph = make_task("image", str(tmp_path / "NFC")), network_graph(1, 8, 2)
    folder = deployed(tmp_path / "deploy", graph, task.metadata(graph.input_shape))
    result = run(folder, "--test", tmp_path / "NFD")
    assert re.fullmatch(r"accuracy 50\.00% \(1 of 2\)\n", result.stdout), result.stderr


def test_classes_of_arrays_are_counted(tmp_path):
    graph = network_graph(1, 8, 3)
    place = deployed(tmp_path / "deploy", graph, {"classes": ["a", "b", "7"]})
    x = np.random.default_rng(0).standard_normal((9, 1, 8, 8)).astype(np.float32)
    session = make_session(str(place / "network.onnx"), threads=1)
    answers = [int(session.run(None, {"input": x[i : i + 1]})[0].argmax()) for i in range(9)]
    labels = np.array(["a", "b", "7"])[answers]
    labels[:2] = np.where(labels[:2] == "a", "b", "a")
    np.savez(tmp_path / "x.npz", x_test=x, y_test=labels)
    assert run(place, "--test", tmp_path / "x.npz").stdout == "accuracy 77.78% (7 of 9)\n"
    np.savez(tmp_path / "both.npz", x=x, y=labels, x_test=x[:4], y_test=labels[:4])
    assert run(place, "--test", tmp_path / "both.npz").stdout == "accuracy 77.78% (7 of 9)\n"
    np.savez(tmp_path / "crossed.npz", x=x, y_test=labels)
    assert refused(place, "--test", tmp_path / "crossed.npz").endswith(
        "crossed.npz: must hold x_test and y_test, or x and y; it has x, y_test"
    )
    np.savez(tmp_path / "none.npz", x_test=x[:0], y_test=labels[:0])
    assert refused(place, "--test", tmp_path / "none.npz").endswith("none.npz: x_test holds no samples; add some")


def test_errors_are_one_line(folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "cat").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "other" / "cat" / "0.png")
    np.savez(tmp_path / "y.npz", y_test=np.arange(3))
    np.savez(tmp_path / "high.npz", x_test=np.full((2, 8, 8), 300.0), y_test=np.arange(2))
    np.savez(tmp_path / "shape.npz", x_test=np.zeros((2, 8), np.uint8), y_test=np.arange(2))
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    at = tmp_path
    lines = {
        (): "give exactly one of: files, --test FOLDER, --benchmark",
        ("x.png", "--benchmark"): "give exactly one of: files, --test FOLDER, --benchmark",
        (
            "--benchmark",
            "--csv",
            "x.csv",
        ): "--csv works only with files to predict; leave it out with --test and --benchmark",
        ("x.png", "--top", 0): "--top must be 1 or more, got 0",
        (
            "x.png",
            "--score",
            0.5,
        ): "--score is for networks that give boxes; this one gives the class of a sample, leave --score out",
        ("x.png", "--out", "maps"): "--out is for networks that give maps; this one gives the class of a sample, leave "
        "--out out",
        (at / "none.png",): f"{at}/none.png does not exist",
        (at / "broken.png",): f"{at}/broken.png: cannot be read as an image (unknown format or damaged header); "
        "repair or remove the file",
        (at / "deep.png",): f"{at}/deep.png: has pixels of mode I;16; convert the image to 8 bits a channel",
        (at / "other", "--csv", at / "no" / "x.csv"): f"cannot write {at}/no/x.csv: No such file or directory; "
        "choose another --csv",
        ("--test", at / "none"): f"{at}/none does not exist",
        ("--test", at / "empty"): f"{at}/empty holds no class folders with images; it must hold <class>/* or "
        "test/<class>/*",
        (
            "--test",
            at / "other",
        ): f"{at}/other: the network knows no class 'cat'; it knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ("--test", at / "y.npz"): f"{at}/y.npz: must hold x_test and y_test, or x and y; it has y_test",
        ("--test", at / "high.npz"): f"{at}/high.npz: images must be uint8, or float on 0-1 or 0-255",
        ("--test", at / "shape.npz"): f"{at}/shape.npz: images (2, 8) and labels (2,) must be (N, H, W[, C]) and (N,)",
        (
            "--test",
            at / "bad.npz",
        ): f"{at}/bad.npz: not a readable .npy or .npz file (arrays of Python objects are refused)",
        (
            "x.png",
            "--model",
            at / "n.onnx",
        ): f"{at}/n.onnx is missing; keep predict.py and the ONNX file in one folder, or give --model FILE",
    }
    table = (at / "other", "--csv", at / "no" / "x.csv")
    for arguments, line in lines.items():
        if arguments == table:
            result = run(folder, *arguments)
            assert (result.returncode, result.stderr) == (2, f"predict.py: error: {line}\n")
        else:
            assert refused(folder, *arguments) == line
    assert refused(folder, at / "empty").startswith(f"{at}/empty holds no images; known suffixes: .bmp .gif ")


def test_the_help_is_that_of_the_network(folder, tmp_path):
    shown = run(folder, "--help").stdout
    assert all(text in shown for text in ("images or folders of them", "--top N", "--test FOLDER", "<class>/*"))
    assert not any(text in shown for text in ("recordings", "--score", "--out", "masks"))
    shutil.copy(PROGRAM, tmp_path)
    alone = run(tmp_path, "--help")
    assert (alone.returncode, "--score S" in alone.stdout, "--out FOLDER" in alone.stdout) == (0, True, True)
    assert "is missing; " in alone.stderr
    assert "for networks that give boxes" in " ".join(alone.stdout.split())


def test_damaged_folders_are_one_line(folder, tmp_path):
    graph = network_graph(1, 8, 10)
    place = deployed(tmp_path / "deploy", graph, {})
    (place / "network.onnx").write_bytes(b"nothing")
    assert refused(place, "x.png").startswith(f"{place}/network.onnx: cannot be loaded (")
    (place / "network.onnx").write_bytes(build_onnx(graph, random_weights(graph, 0)).SerializeToString())
    assert refused(place, "x.png") == (
        f"{place}/network.onnx has no session options in its metadata; write it with: hwnas export RUN --deploy FOLDER"
    )
    shutil.copy(folder / "network.onnx", place)
    (place / "expected.json").write_text("{")
    assert refused(place, "--benchmark") == (f"{place}/expected.json is damaged; remove it, or write the folder again")


@pytest.mark.parametrize("name", ["numpy", "onnxruntime"])
def test_a_missing_package_is_named(folder, name):
    code = ALONE.replace(f'"{name}"', '"nothing"', 1)
    command = [sys.executable, "-I", "-c", code, str(folder / "predict.py"), "x.png"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    line = f"predict.py: error: {name} is missing; run: pip install -r requirements.txt\n"
    assert (result.returncode, result.stderr) == (2, line)


def test_a_pause_and_enough_rounds_are_timed(monkeypatch):
    """Every sample is a single inference after four that bring the weights back; few rounds where they are long."""
    module, now, asked = program(), [0.0], []
    bound = object.__new__(module.Bound)

    def timed(repeats):
        asked.append(repeats)
        now[0] += repeats * 0.05
        return repeats * 0.05

    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0], sleep=lambda s: asked.append(s)))
    monkeypatch.setattr(bound, "run", timed, raising=False)
    times = bound.sample()
    assert len(times) == 30  # 7.5 s
    assert set(times.round(9)) == {50.0}
    assert asked == [5, *[4, 1] * 30]
    asked.clear()
    assert bound.after_pauses() == pytest.approx(50.0)
    assert asked == [1.0, 1] * 3


def test_rows_before_an_unreadable_file_are_in_the_table(folder, tmp_path):
    for name in "abc":
        Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:40])
    result = run(folder, tmp_path, "--csv", tmp_path / "out.csv")
    assert result.returncode == 2
    assert "c.png" in result.stderr
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def test_a_table_that_cannot_be_written_is_refused_before_the_first_inference(folder, tmp_path):
    Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(tmp_path / "a.png")
    result = run(folder, tmp_path, "--csv", tmp_path / "no" / "out.csv")
    assert (result.returncode, result.stdout) == (2, "")
    assert "choose another --csv" in result.stderr
