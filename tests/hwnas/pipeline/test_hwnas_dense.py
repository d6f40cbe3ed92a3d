"""Searches for dense networks from the data to the folder that deploys one."""

import json
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import onnx
import pytest
from dense_data import NAMES, shapes, smoothing, write_shapes, write_smoothing
from PIL import Image
from simulated_device import AdditiveBackend

import hwnas
from hwnas._api._settings import search_settings
from hwnas.spaces import make_space
from hwnas.tasks import make_task
from hwnas.training import OnnxNetwork

SETTINGS = {"levels": 2, "channels": 8, "width": [1.0]}


class Stopwatch(AdditiveBackend):
    batch = 1

    def load_trained(self, graph, weights, file):
        return self.load(graph)


def search(folder, data, **settings):
    """A search with few networks, a short training and made-up latencies; returns the run's folder."""
    space = make_space("unet", **SETTINGS, **settings)
    table = hwnas.profile(space, Stopwatch(), out=folder / "prices.json", networks=2)
    facts = {"evaluator": "supernet", "recipe": {"epochs": 20, "batch_size": 8}, "samples": 3, "strategy": "random"}
    hwnas.search(space, data=str(data), out=folder / "run", table=table, device=Stopwatch(), **facts)
    return folder / "run"


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    data = write_shapes(folder / "shapes")
    return data, search(folder, data, size=[16, 16], classes=3)


@pytest.fixture(scope="module")
def regressed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    data = write_smoothing(folder / "signals.npz")
    return data, search(folder, data, size=32, classes=1, image_channels=1)


def predict(run, *arguments):
    command = [sys.executable, str(run / "deploy" / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(run, capsys, *arguments):
    """The one line of an error; in this process, since each process loads ONNX Runtime anew."""
    from hwnas._deploy import predict as program

    assert program.main([*map(str, arguments), "--model", str(run / "deploy" / "network.onnx")]) == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert told.out == ""
    return line.removeprefix("predict.py: error: ")


def networks_of(run):
    return json.loads((run / "pareto.json").read_text())


def deployed(run):
    """The entry of the network in the folder."""
    expected = json.loads((run / "deploy" / "expected.json").read_text())
    return next(network for network in networks_of(run) if network["id"] == expected["id"])


def test_the_search_learns_and_tests_the_files(segmented, regressed):
    for (_, run), metric in ((segmented, "mean_iou"), (regressed, "relative_l2")):
        for network in networks_of(run):
            assert network[metric] == pytest.approx(network[f"torch_{metric}"], rel=0.01)
    assert max(network["mean_iou"] for network in networks_of(segmented[1])) > 0.5  # 1/3 for the ground alone
    constant = np.mean([np.linalg.norm(y - 3) / np.linalg.norm(y) for y in smoothing(20, seed=1)[1]])
    assert min(network["relative_l2"] for network in networks_of(regressed[1])) < 0.6 * constant


def test_the_file_says_what_its_map_means(segmented, regressed):
    metadata = {}
    for name, (_, run) in (("shapes", segmented), ("signals", regressed)):
        model = onnx.load(run / deployed(run)["onnx"])
        (output,) = model.graph.output
        metadata[name] = {item.key: item.value for item in model.metadata_props}
        metadata[name]["shape"] = [axis.dim_value for axis in output.type.tensor_type.shape.dim]
    assert (metadata["shapes"]["shape"], metadata["signals"]["shape"]) == ([1, 3, 16, 16], [1, 1, 32])
    assert json.loads(metadata["shapes"]["hwnas.classes"]) == list(NAMES)
    assert json.loads(metadata["signals"]["hwnas.dense"])["kind"] == "regression"


def test_predict_writes_the_masks_of_hwnas(segmented, tmp_path):
    data, run = segmented
    result = predict(run, data / "test" / "images", "--out", tmp_path / "masks")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 12
    task = make_task("dense", str(data))
    network = OnnxNetwork(run / deployed(run)["onnx"], task)
    (logits,) = network.on_test(np.arange(12))
    for number, expected in enumerate(logits.argmax(axis=1)):
        written = np.asarray(Image.open(tmp_path / "masks" / f"{number:03d}.png"))
        assert (written.dtype, written.shape) == (np.uint8, (16, 16))
        assert (written == expected).all()


def test_predict_writes_values_in_their_own_units(regressed, tmp_path):
    x, y = smoothing(20, seed=1)
    np.savez(tmp_path / "new.npz", x=x)
    result = predict(regressed[1], tmp_path / "new.npz", "--out", tmp_path / "maps")
    assert (result.returncode, result.stderr) == (0, "")
    found = np.load(tmp_path / "maps" / "new.npz")["y"]
    error = np.mean([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, y, strict=True)])
    assert error == pytest.approx(deployed(regressed[1])["relative_l2"], rel=1e-3)


def test_predict_tests_as_hwnas_did(segmented, regressed):
    for (data, run), name, key in ((segmented, "mean IoU", "mean_iou"), (regressed, "relative L2", "relative_l2")):
        result = predict(run, "--test", data)
        assert (result.returncode, result.stderr) == (0, "")
        here, there = result.stdout.splitlines()
        assert here.startswith(f"{name} {deployed(run)[key]:.4f} (")
        assert there.split()[1] == f"{deployed(run)[key]:.4f}"


def test_bad_input_of_predict_is_one_line(segmented, regressed, tmp_path, capsys):
    images = shapes(1, size=24)[0]
    Image.fromarray(images[0]).save(tmp_path / "large.png")
    np.savez(tmp_path / "wrong.npz", x=np.zeros((2, 1, 8)))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes((segmented[0] / "test" / "images" / "000.png").read_bytes())
    for run, arguments, line in (
        (segmented[1], [tmp_path / "large.png"], "24x24 pixels, but the network reads 16x16; scale or cut the image"),
        (segmented[1], [tmp_path / "none.png"], "none.png does not exist"),
        (segmented[1], ["--test", tmp_path], "masks/a.png is missing; "),
        (
            regressed[1],
            [tmp_path / "wrong.npz"],
            "x has shape (2, 1, 8), the network reads numbers of shape (N, 1, 32)",
        ),
        (regressed[1], [tmp_path / "large.png"], "this network reads no images; give an .npy or .npz file"),
        (regressed[1], ["--test", tmp_path / "wrong.npz"], "must hold x_test and y_test, or x and y; it has x"),
    ):
        assert line in refused(run, capsys, *arguments, *([] if "--test" in arguments else ["--out", tmp_path / "out"]))


def two_bits(path):
    """A grey PNG of 2 bits a pixel, which Pillow stretches to 0, 85, 170 and 255."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + bytes([0b00011011] * 4) for _ in range(16))
    header = struct.pack(">IIBBBBB", 16, 16, 2, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def test_bad_masks_are_one_line(segmented, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    shutil.copy(segmented[0] / "test" / "images" / "000.png", tmp_path / "images" / "a.png")
    mask = tmp_path / "masks" / "a.png"
    writers = {
        "8x16 pixels, but its image has 16x16; make them equal": Image.new("L", (8, 16)).save,
        "has pixels of mode RGB; a mask has one channel of 8 bits, the class index of each pixel (or a palette)": (
            Image.new("RGB", (16, 16)).save
        ),
        "has grey levels of 2 bits; save the mask with 8 bits a pixel (or a palette)": two_bits,
        "cannot be read as a PNG (cannot identify image file": lambda path: path.write_bytes(b"nothing"),
    }
    for line, write in writers.items():
        write(mask)
        assert refused(segmented[1], capsys, "--test", tmp_path).startswith(f"{mask}: {line}")
    Image.new("L", (16, 16), 255).save(mask)
    assert "every target is 255, which means to ignore it; nothing to test" in refused(
        segmented[1], capsys, "--test", tmp_path
    )


def test_bad_targets_are_one_line(segmented, regressed, tmp_path, capsys):
    file = tmp_path / "t.npz"
    pixels, signals = np.zeros((2, 3, 16, 16), np.uint8), np.zeros((2, 1, 32), np.float32)
    for (_, run), x, y, line in (
        (segmented, pixels, np.full((2, 16, 16), -1), "class index -1, but the network knows 0 to 2"),
        (segmented, pixels, np.full((2, 16, 16), 3), "class index 3, but the network knows 0 to 2"),
        (
            segmented,
            pixels,
            np.zeros((2, 16, 16)),
            "targets are float64 (2, 16, 16), but the network gives class indices",
        ),
        (
            segmented,
            pixels,
            np.zeros((2, 8, 8), int),
            "targets are int64 (2, 8, 8), but the network gives class indices",
        ),
        (segmented, pixels[:0], np.zeros((0, 16, 16), int), "x holds no samples; add some"),
        (regressed, signals, np.full((2, 1, 32), "a"), "targets are <U1 (2, 1, 32), but the network gives numbers"),
        (regressed, signals, signals, "target 0 is zero everywhere or holds NaN or infinity"),
    ):
        np.savez(file, x=x, y=y)
        assert refused(run, capsys, "--test", file).startswith(f"{file}: {line}")
    np.savez(file, x=pixels, y_test=np.zeros((2, 16, 16), int))
    assert refused(segmented[1], capsys, "--test", file).endswith("x and y; it has x, y_test")


def test_its_help_names_what_it_takes(segmented, regressed):
    pictures, arrays = (" ".join(predict(run, "--help").stdout.split()) for _, run in (segmented, regressed))
    assert "print the mean IoU on images/* and masks/*.png in a folder" in pictures
    assert "print the relative L2 on x_test and y_test of an .npz file" in arrays
    assert not any(option in text for option in ("--top", "--score", "--csv") for text in (pictures, arrays))


def test_the_report_shows_samples_and_classes(segmented, regressed):
    page = (segmented[1] / "report.html").read_text()
    assert "on the test part</h2><h3>Samples of the test part</h3>" in page
    assert "<img alt='Samples of the test part'" in page
    assert "Intersection over union by class" in page
    assert "Confusion matrix" in page
    assert (segmented[1] / "exhibits.json").stat().st_size > 5_000
    page = (regressed[1] / "report.html").read_text()
    assert "<img alt='Samples of the test part'" in page
    assert "Confusion matrix" not in page


def test_the_readme_says_how_to_use_it(segmented, regressed):
    texts = [(run / "deploy" / "README.md").read_text() for _, run in (segmented, regressed)]
    assert "`python predict.py image.png --out FOLDER` writes a PNG of class indices" in texts[0]
    assert "`python predict.py samples.npz --out FOLDER` reads `x`" in texts[1]


def test_data_with_maps_are_searched_with_the_space_that_is_made_for_them(segmented):
    data = str(segmented[0])
    assert search_settings({"data": data}).space == search_settings({"data": data, "task": "dense"}).space == "unet"
    assert search_settings({"data": data, "space": "nasbench201"}).space == "nasbench201"
    assert search_settings({"data": "digits"}).space == "mobilenetv3"
    assert search_settings({"data": data, "task": "image"}).space == "mobilenetv3"
