"""`--model`: a search around a trained network, which goes on when the file is gone."""

import pytest
from simulated_device import AdditiveBackend

import hwnas
from hwnas._errors import HwnasError
from hwnas._pipeline._model import read_model
from hwnas.data import load_data
from hwnas.tasks import ImageClassification
from hwnas.training import default_recipe, train_network
from latency_tables import INPUT, GraphBuilder
from profilers import build_onnx, ops


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    task = ImageClassification(load_data("digits", limit=200))
    b = GraphBuilder((1, 8, 8))
    x = b.add("a", ops.conv((1, 8, 8), 16, 3, act="relu"), INPUT)
    y = b.add("b", ops.conv(b.shape(x), 32, 3, act="relu"), x)
    y = b.add("c", ops.conv(b.shape(y), 16, 3), y)
    x = b.add("s", ops.add(b.shape(x)), x, y)
    x = b.add("p", ops.global_pool(b.shape(x)), x)
    graph = b.build(b.add("out", ops.linear(b.shape(x), 10), x))
    net = train_network(graph, task, default_recipe(task, epochs=1))
    path = tmp_path_factory.mktemp("m") / "net.onnx"
    path.write_bytes(build_onnx(net.graph, net.arrays()).SerializeToString())
    return path


def test_a_search_around_a_model(model, tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    told = []
    table = hwnas.profile(read_model(model, {}).space, AdditiveBackend(), out=tmp_path / "prices.json", networks=2)
    place = {"out": tmp_path / "run", "table": table, "device": AdditiveBackend(), "offline": True}

    def run(file=model, **more):
        given = {"evaluator": "supernet", "epochs": 1, "samples": 3, "data": "digits", "data_limit": 100}
        return hwnas.search(model=file, **place, progress=told.append, **{**given, **more})

    first = run()
    assert first.settings.space == "derived"
    gone = tmp_path / "net.onnx"
    more = run(gone, samples=4)
    assert len(more.trials) == 4
    with pytest.raises(HwnasError):
        run(space="nasbench201")
    assert any("width" in line or "channels" in line for line in told), told
