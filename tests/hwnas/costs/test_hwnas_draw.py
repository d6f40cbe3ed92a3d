"""Networks drawn as a folder, measured by the runner in it, and fitted."""

import csv
import subprocess
import sys

import numpy as np
import onnx
import pytest

import hwnas
from hwnas._cli import main
from hwnas._costs._draw import draw_networks, draw_spread, rough_table
from hwnas._costs._space_costs import SpaceCosts, cheapest_network
from hwnas.spaces import make_space

SMALL = make_space("mobilenetv3", preset="tiny", resolution=8, width=0.5, image_channels=1)
CELLS = make_space("nasbench201", image_size=8, cells=1, classes=4, channels=2)


def prices(space, texts):
    codes = np.array([space.encode(space.parse(text)) for text in texts])
    return SpaceCosts(space, rough_table(space.ops())).latency_ms(codes)


@pytest.mark.parametrize("space", [SMALL, CELLS], ids=["blocks", "cells"])
def test_each_part_of_a_profile_covers_the_range_from_end_to_end(space):
    networks = draw_networks(space, 20, seed=3)
    cost = SpaceCosts(space, rough_table(space.ops())).latency_ms
    fastest, slowest = cheapest_network(space, cost)[1], -cheapest_network(space, lambda codes: -cost(codes))[1]
    for split in ("calibration", "held-out", "interval"):
        found = np.sort(prices(space, [n.arch for n in networks if n.split == split]))
        assert found[0] < fastest * 1.35
        assert found[-1] > slowest / 1.35
        steps = np.diff(np.log(found))
        assert steps.max() < 0.35 * np.log(slowest / fastest)
    calibrating = prices(space, [n.arch for n in networks if n.split == "calibration"])
    assert calibrating.min() == pytest.approx(fastest)
    assert calibrating.max() == pytest.approx(slowest)
    assert len({n.arch for n in networks}) == len(networks) == 90


def test_networks_that_were_seen_are_not_drawn_again():
    first = {SMALL.format(arch) for arch in draw_spread(SMALL, 10, np.random.default_rng(0))}
    second = [SMALL.format(a) for a in draw_spread(SMALL, 10, np.random.default_rng(0), seen=first)]
    assert not first & set(second)
    assert len(set(second)) == 10


def test_what_was_drawn_is_measured_and_fitted(tmp_path, capsys):
    folder = tmp_path / "networks to measure"
    small = ["--preset", "tiny", "--resolution", "8", "--width", "0.5", "--image-channels", "1"]
    assert main(["draw", *small, "--networks", "10", "-o", str(folder)]) == 0
    assert capsys.readouterr().out == f"10 networks in {folder}; see README.txt there for the next step\n"
    with (folder / "measured.csv").open(newline="") as file:
        drawn = list(csv.DictReader(file))
    assert [row["latency_ms"] for row in drawn] == [""] * 10
    costs = prices(SMALL, [row["arch"] for row in drawn])
    assert (np.diff(costs) > 0).all()
    for row in drawn:
        onnx.checker.check_model(onnx.load(folder / "networks" / row["file"]), full_check=True)
    run = [sys.executable, str(folder / "runner.py"), "--rounds", "5"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("10 latencies in measured.csv")
    with (folder / "measured.csv").open(newline="") as file:
        measured = list(csv.DictReader(file))
    assert [row["arch"] for row in measured] == [row["arch"] for row in drawn]
    assert all(float(row["latency_ms"]) > 0 for row in measured)
    told = (folder / "README.txt").read_text()
    assert " ".join(small) in told
    fit = ["fit", str(folder / "measured.csv"), "--latency-column", "latency_ms", "--device", "board", *small]
    assert main([*fit, "-o", str(tmp_path / "board.json")]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": 9}, "--networks must be from 10 to 10,000, got 9"),
        ({"batch": 0}, "--batch must be from 1 to 1,048,576, got 0"),
        ({"seed": -1}, "--seed must be 0 or more, got -1"),
        ({"precision": "fp16"}, "--precision must be fp32 or int8, got 'fp16'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(hwnas.HwnasError) as caught:
        hwnas.draw(SMALL, out=tmp_path / "new", **options)
    assert str(caught.value) == message
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(hwnas.HwnasError, match="not an empty folder"):
        hwnas.draw(SMALL, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
