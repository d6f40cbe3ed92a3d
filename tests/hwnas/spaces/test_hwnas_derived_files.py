"""The networks of the onnx package that classify: the largest network of their spaces computes what the file does."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from hwnas.spaces import derive
from profilers import ProfilerError, build_onnx, make_session, read_onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")
NAMES += ("vgg19", "zfnet512")


def outputs_of(content, x):
    """What a model computes of an input."""
    session = make_session(content, threads=1)
    shape = session.get_inputs()[0].shape
    return session.run(None, {session.get_inputs()[0].name: x.reshape(shape)})[0].ravel()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_largest_network_computes_what_the_file_computes(name):
    content = (LIGHT / f"light_{name}.onnx").read_bytes()
    try:
        model = read_onnx(content)
    except ProfilerError as error:
        pytest.skip(f"the reader does not read it: {error}")
    derived = derive(model.graph, model.weights, importance="l2")
    x = np.random.default_rng(0).normal(size=(1, *model.graph.input_shape)).astype(np.float32)
    there = outputs_of(content, x)
    here = outputs_of(build_onnx(derived.graph, derived.weights).SerializeToString(), x)
    assert here.shape == there.shape
    assert np.abs(here - there).max() <= 1e-4 * max(1.0, np.abs(there).max())
