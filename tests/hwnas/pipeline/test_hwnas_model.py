"""`--model`: a search around a trained model, with the original beside the front."""

import copy
import json
import math
import re

import numpy as np
import onnx
import pytest
from simulated_device import AdditiveBackend

import hwnas
from hwnas._errors import HwnasError
from hwnas._pipeline import _given_model
from hwnas._pipeline._model import read_model
from hwnas._runs._run import Run
from hwnas.data import load_data
from hwnas.spaces import with_precision
from hwnas.tasks import ImageClassification
from hwnas.training import Subnet, default_recipe, score_network, train_network
from latency_tables import INPUT, GraphBuilder
from profilers import ModelFileError, build_onnx, ops, read_onnx, whole_model

SCALING = "0-1"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small residual network, trained for a moment on pixels from 0 to 1."""
    task = ImageClassification(load_data("digits", limit=400)).with_scaling(SCALING)
    b = GraphBuilder((1, 8, 8))
    x = b.add("a", ops.conv((1, 8, 8), 16, 3, act="relu"), INPUT)
    y = b.add("b", ops.conv(b.shape(x), 32, 3, act="relu"), x)
    y = b.add("c", ops.conv(b.shape(y), 16, 3), y)
    x = b.add("s", ops.add(b.shape(x)), x, y)
    x = b.add("p", ops.global_pool(b.shape(x)), x)
    graph = b.build(b.add("out", ops.linear(b.shape(x), 10), x))
    net = train_network(graph, task, default_recipe(task, epochs=4))
    path = tmp_path_factory.mktemp("m") / "net.onnx"
    path.write_bytes(build_onnx(net.graph, net.arrays()).SerializeToString())
    return path


@pytest.fixture(scope="module")
def table(model, tmp_path_factory):
    prices = tmp_path_factory.mktemp("t") / "prices.json"
    return hwnas.profile(read_model(model, {}).space, AdditiveBackend(), out=prices, networks=2)


@pytest.fixture
def search(model, table, tmp_path, monkeypatch):
    """Searches of three samples with one epoch; what they tell is collected."""
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    told = []

    def run(out="run", **more):
        told.clear()
        given = {"model": model, "epochs": 1, "samples": 3, "data": "digits", "data_limit": 100, "measure": "none"}
        given |= {"table": table, "device": AdditiveBackend(), "input_scaling": SCALING}
        return hwnas.search(out=tmp_path / out, progress=told.append, **{**given, **more}), list(told)

    return run


def test_a_search_describes_the_model_once_and_goes_on_without_the_file(search, model, tmp_path):
    first, told = search()
    assert first.settings.space == "derived"
    assert any(".width: " in line for line in told)
    assert any(line.startswith("the model as given has accuracy") for line in told)
    assert (tmp_path / "run" / "model.onnx").read_bytes() == model.read_bytes()
    more, told = search(model=tmp_path / "gone.onnx", samples=4)
    assert [t.values for t in more.trials[:3]] == [t.values for t in first.trials]
    assert not any(".width: " in line or "as given" in line for line in told)


def test_the_original_stands_beside_the_networks(search, model, tmp_path):
    result, told = search(measure="winners")
    run = Run.open(tmp_path / "run")
    original = run.original()
    assert [network["id"] for network in run.pareto()] == [network["id"] for network in result.networks]
    assert "original" not in [network["id"] for network in run.pareto()]
    task = ImageClassification(load_data("digits", limit=100)).with_scaling(SCALING)
    weights = read_onnx(model)
    net = Subnet(weights.graph, {name: _tensor(value) for name, value in weights.weights.items()})
    for part, key in (("test", "accuracy"), ("validation", "validation_accuracy")):
        assert original[key] == pytest.approx(score_network(net, task, part, (1, 8, 8)))
    assert original["latency_ms"]["measured"] > 0
    for network in run.pareto():
        ratio = original["latency_ms"]["measured"] / network["latency_ms"]["measured"]
        assert network["speed_up"] == pytest.approx(ratio, rel=1e-3)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<td>original</td>" in page
    assert "speed-up" in page
    assert any(line.startswith("original: test accuracy") for line in told)


def test_delivered_files_state_the_scaling_that_holds(search):
    result, _ = search()
    metadata = onnx.load(result.path / result.networks[0]["onnx"]).metadata_props
    (stated,) = (json.loads(item.value) for item in metadata if item.key == "hwnas.preprocessing")
    assert (stated["mean"], stated["std"]) == ([0.0], [1.0])


def test_a_scaling_that_does_not_fit_is_named(model):
    told = []
    hwnas.derive(model, "digits", input_scaling="0-255", data_limit=200, progress=told.append)
    (line,) = (line for line in told if line.startswith("warning: with --input-scaling "))
    assert re.search(r" it has accuracy [0-9.]+%; use that if the model was trained so$", line), line
    assert "the model's outputs are read as the classes in this order: 0, 1, 2, 3, ... 9 (10)" in "".join(told)


@pytest.mark.parametrize(
    ("scalings", "values", "warning"),
    [
        (("0-1", "0-255"), {"0-1": math.nan, "0-255": 0.9}, "with --input-scaling 0-255 it has accuracy 90.00%"),
        (("0-1",), {"0-1": math.nan}, "may need another --input-scaling, or its outputs"),
        ((), {}, "that is poor; its outputs may be"),
    ],
)
def test_a_metric_that_is_no_number_is_poor(monkeypatch, scalings, values, warning):
    class Scaled(ImageClassification):
        scaling = ""

        @property
        def scalings(self):
            return scalings

        def with_scaling(self, scaling):
            other = copy.copy(self)
            other.scaling = scaling
            return other

    monkeypatch.setattr(_given_model, "_value", lambda derived, task: values.get(task.scaling, math.nan))
    monkeypatch.setattr(_given_model, "_ends_with_softmax", lambda derived: False)
    lines = _given_model.given_lines(None, Scaled(load_data("digits", limit=60)))
    assert lines[-1].startswith("warning: ")
    assert warning in lines[-1]


def test_weights_beside_the_file_become_one_piece(model, tmp_path):
    whole = onnx.load(model)
    path = tmp_path / "outside" / "net.onnx"
    path.parent.mkdir()
    onnx.save_model(whole, path, save_as_external_data=True, location="net.data", size_threshold=0)
    content = whole_model(path)
    assert read_onnx(path).sha256 == read_onnx(content).sha256
    (path.parent / "net.data").unlink()
    for name, value in read_onnx(model).weights.items():
        np.testing.assert_array_equal(read_onnx(content).weights[name], value)
    assert whole_model(model) == model.read_bytes()
    with pytest.raises(ModelFileError, match=r"there is no file 'net.data' beside the model"):
        whole_model(path)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"space": "nasbench201"}, "--model has a space of its own, got --space nasbench201; leave one of them out"),
        ({"weights": "w.onnx"}, "--model has weights of its own; leave out --weights"),
        ({"evaluator": "table:a.csv"}, "such as synflow: table:a.csv knows only the networks in its file"),
        ({"space_settings": {"kept": "a"}}, "a model's space has no option 'kept'; known options: depth, importance"),
        ({"data": None}, "--model needs data to train on; name them: --data FOLDER"),
        ({"input_scaling": "imagenet"}, "--input-scaling imagenet has 3 channels, the images of digits have 1"),
        ({"model": "gone.onnx"}, "no such file"),
    ],
)
def test_what_does_not_go_with_a_model_is_refused(search, more, line):
    with pytest.raises(HwnasError) as error:
        search(**more)
    assert line in str(error.value)


def test_another_file_and_another_option_are_refused_in_its_folder(search, model, tmp_path):
    search()
    other = onnx.load(model)
    other.producer_name = "somebody else"
    changed = tmp_path / "other.onnx"
    changed.write_bytes(other.SerializeToString())
    with pytest.raises(HwnasError, match="another file of --model"):
        search(model=changed)
    with pytest.raises(HwnasError, match=r"--space-option step=8, this one has 4; choose another --out"):
        search(space_settings={"step": 4})


@pytest.mark.slow
def test_int8_and_a_final_training_go_with_a_model(search, model, tmp_path):
    prices = tmp_path / "prices.json"
    for precision in ("int8", "mixed"):
        space = hwnas.make_space("derived", **read_model(model, {}).space.settings)
        priced = with_precision(space, "mixed") if precision == "mixed" else space
        hwnas.profile(priced, AdditiveBackend(1), out=prices, networks=2, force=True)
        search(precision, precision=precision, device="cpu", table=prices, offline=True)
    assert Run.open(tmp_path / "int8").original()["metric"]["precision"] == "int8"
    assert Run.open(tmp_path / "mixed").original()["arch"].endswith("f")  # in float32, as its file
    search("final", evaluator="train", finalize="finetune", final_epochs=1, samples=2)
    original = Run.open(tmp_path / "final").original()
    assert original["final_validation_accuracy"] == original["validation_accuracy"]


def _tensor(value):
    import torch

    return torch.from_numpy(np.array(value))
