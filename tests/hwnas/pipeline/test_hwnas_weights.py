"""`--weights`: a search starts from a file, goes on without it, and refuses another one."""

import numpy as np
import pytest
from simulated_device import AdditiveBackend
from test_hwnas_search_data import Two, pictures
from weight_files import written

import hwnas
from hwnas import HwnasError
from hwnas._errors import RunError
from hwnas._runs._run import Run
from hwnas.training import Supernet
from profilers import graph_parameters


@pytest.fixture
def file(tmp_path):
    """Weights of the largest network of the space `Two`."""
    space, rng = Two(), np.random.default_rng(0)
    parameters = dict(graph_parameters(space.graph(Supernet(space).largest)))
    weights = {name: rng.random(p.shape, dtype=np.float32) for name, p in parameters.items()}
    path = tmp_path / "start.safetensors"
    path.write_bytes(written(weights))
    return path


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Searches of two samples that train one step; what they tell is collected."""
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    table = hwnas.profile(Two(), AdditiveBackend(), out=tmp_path / "prices.json", networks=2)
    data, told = pictures(tmp_path / "pictures"), []

    def run(out="run", **more):
        told.clear()
        given = {"evaluator": "train", "epochs": 1, "samples": 2, "offline": True, "progress": told.append, **more}
        device = {"table": table, "device": AdditiveBackend()}
        return hwnas.search(Two(), data=data, out=tmp_path / out, **device, **given), list(told)

    return run


def test_a_search_starts_from_a_file_and_goes_on_without_it(search, file, tmp_path):
    begun, told = search(weights=file)
    line = f"weights: 2 of 2 layers start from {file}, by its names"
    assert line in told
    assert (tmp_path / "run" / "weights.bin").read_bytes() == file.read_bytes()
    file.unlink()
    more, _ = search(weights=file, samples=3)
    assert [t.values for t in more.trials[:2]] == [t.values for t in begun.trials]
    assert len(more.trials) == 3


def test_a_moved_file_is_the_same_and_another_one_is_refused(search, file, tmp_path):
    search(weights=file)
    moved = file.rename(tmp_path / "moved")
    search(weights=moved)
    content = bytearray(moved.read_bytes())
    content[-1] ^= 1
    moved.write_bytes(content)
    with pytest.raises(RunError, match="starts from another file of --weights; give the same file or choose another"):
        search(weights=moved)
    with pytest.raises(RunError, match="contains a search with weights"):
        search()


def test_what_cannot_start_is_one_line(search, file, tmp_path):
    with pytest.raises(RunError, match=r"--weights .*none: no such file, and .* keeps no copy of it"):
        search(weights=tmp_path / "none")
    with pytest.raises(HwnasError, match="--weights needs something to train"):
        search(weights=file, evaluator="parameters")
    (tmp_path / "bad").write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(HwnasError, match=r"--weights .*bad: it is neither a safetensors nor an ONNX file"):
        search(weights=tmp_path / "bad")


def test_supernets_and_final_trainings_start_from_a_file(search, file):
    still = {"recipe": {"learning_rate": 1e-9, "weight_decay": 0.0}}
    shared, _ = search("shared", weights=file, evaluator="supernet", **still)
    final, _ = search(
        "final", weights=file, evaluator="parameters", epochs=None, finalize="train", final_recipe={"epochs": 1}
    )
    facts = [Run.open(result.path).identity for result in (shared, final)]
    assert facts[0]["evaluator"]["weights"] == facts[1]["weights"]
