"""Detection from a folder with boxes to a folder that prints boxes, on a simulated device."""

import json
import subprocess
import sys

import onnx
import pytest
from boxes import write_coco
from simulated_device import AdditiveBackend

import hwnas

SETTINGS = {"classes": 2, "resolution": [64], "width": [0.5], "channels": [8], "most": 20}


class Stopwatch(AdditiveBackend):
    batch = 1

    def identity(self):
        return {"device": "stopwatch"}

    def load_trained(self, graph, weights, file):
        return self.load(graph)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a search, and that of its data."""
    folder = tmp_path_factory.mktemp("detection")
    data = write_coco(folder / "data", (("train", 16), ("val", 8), ("test", 8)))
    device = Stopwatch(image_channels=3)
    space = hwnas.make_space("fpn", **SETTINGS)
    table = hwnas.profile(space, device=device, networks=2, out=folder / "table.json")
    hwnas.search(
        space_settings=SETTINGS,
        data=str(data),
        evaluator="train",
        epochs=2,
        strategy="random",
        samples=3,
        device=device,
        table=table,
        out=folder / "run",
    )
    return folder / "run", data


def test_the_space_and_the_metric_follow_from_the_data(run):
    settings = json.loads((run[0] / "settings.json").read_text())
    assert settings["settings"]["space"] == "fpn"
    assert settings["identity"]["measure"] == "ap50"
    networks = json.loads((run[0] / "pareto.json").read_text())
    assert networks
    for network in networks:
        assert network["ap50"] == pytest.approx(network["torch_ap50"], abs=1e-3)
        assert 0 <= network["test_beside"]["ap"] <= max(network["ap50"], 1e-9)


def test_files_end_in_boxes(run):
    network = json.loads((run[0] / "pareto.json").read_text())[0]
    model = onnx.load(run[0] / network["onnx"])
    (output,) = model.graph.output
    assert output.name == "detections"
    assert [axis.dim_value for axis in output.type.tensor_type.shape.dim] == [1, 20, 6]
    assert sum(node.op_type == "NonMaxSuppression" for node in model.graph.node) == 1


def test_the_report_shows_boxes(run):
    page = (run[0] / "report.html").read_text()
    assert "<h3>Images of the test part</h3>" in page
    assert "<th>test AP</th>" in page


def test_the_deploy_folder_prints_boxes(run, tmp_path):
    program, image = run[0] / "deploy" / "predict.py", run[1] / "test" / "000.png"
    command = [sys.executable, program, image, "--score", "0", "--csv", tmp_path / "boxes.csv"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == f"{image}: {len(lines)} boxes"
    rows = (tmp_path / "boxes.csv").read_text().splitlines()
    assert rows[0] == "file,class,score,x1,y1,x2,y2"
    assert len(rows) == len(lines) + 1
    for line in lines:
        name, score, at, *corners = line.split()
        assert (name in ("red", "blue"), at, 0 < float(score) <= 1) == (True, "at", True)
        assert all(0 <= float(corner) <= 64 for corner in corners)
