"""Sessions on any model, the version of their runtime, and the core whose cache counts."""

from importlib import metadata

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from profilers import DeviceUnavailableError, OnnxRuntimeBackend
from profilers._fingerprint import core_cache_bytes, core_mask
from profilers._session import ModelSession, runtime, runtime_version


def rare_hits(share):
    """A model that returns the places of random numbers above 1 - `share`."""
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["drawn"]),
        helper.make_node("Greater", ["drawn", "least"], ["hits"]),
        helper.make_node("NonZero", ["hits"], ["places"]),
    ]
    read = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])]
    written = [helper.make_tensor_value_info("places", TensorProto.INT64, [2, None])]
    least = numpy_helper.from_array(np.float32(1 - share), "least")
    graph = helper.make_graph(nodes, "rare", read, written, [least])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("share", [0.5, 2e-4])
def test_outputs_whose_shape_depends_on_chance_are_measured(share):
    model = rare_hits(share)
    onnx.checker.check_model(model)
    session = ModelSession(model.SerializeToString(), {"x": np.ones((1, 64), np.float32)}, threads=1)
    assert session.run(3000) > 0  # at 64 numbers a run, some 38 of them have a hit with the smaller share


def test_the_version_is_known_whichever_package_brought_the_runtime(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    stated = runtime().__version__
    monkeypatch.setattr(metadata, "version", version)  # as with onnxruntime-gpu
    assert runtime_version() == stated
    assert OnnxRuntimeBackend().identity()["runtime_version"] == stated
    monkeypatch.delattr(runtime(), "__version__")
    with pytest.raises(DeviceUnavailableError, match="does not state its version"):
        runtime_version()


def test_the_cache_is_that_of_a_core_that_may_be_used(monkeypatch, tmp_path):
    for core, size in ((0, "128K"), (4, "512K")):
        level = tmp_path / f"cpu{core}" / "cache" / "index2"
        level.mkdir(parents=True)
        (level / "level").write_text("2")
        (level / "size").write_text(size)
    monkeypatch.setattr("profilers._fingerprint._CORES", tmp_path)
    monkeypatch.setattr("profilers._fingerprint.core_mask", lambda: [4, 5])
    assert core_cache_bytes() == 512 * 2**10
    monkeypatch.setattr("profilers._fingerprint.core_mask", core_mask)
    assert core_cache_bytes(tmp_path / "cpu0" / "cache") == 128 * 2**10
