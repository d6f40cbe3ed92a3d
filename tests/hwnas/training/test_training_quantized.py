"""int8 files for large batches: ranges as for a batch of one, and tests on parts smaller than a batch."""

import numpy as np
import onnx
import pytest

from hwnas.data import load_data
from hwnas.spaces import make_space
from hwnas.tasks import ImageClassification
from hwnas.training import quantized, score_onnx
from profilers import build_onnx, random_weights

SPACE = make_space("mobilenetv3", preset="tiny", resolution=[8], width=[0.5], image_channels=1)
GRAPH = SPACE.graph(SPACE.sample(1, np.random.default_rng(0))[0])
WEIGHTS = random_weights(GRAPH, seed=0)


def scales(model):
    """Of the activations, by name."""
    return {
        item.name: onnx.numpy_helper.to_array(item).tobytes()
        for item in model.graph.initializer
        if item.name.endswith(("_scale", "_zero_point")) and "weight" not in item.name and "bias" not in item.name
    }


@pytest.fixture(scope="module")
def task():
    return ImageClassification(load_data("digits", limit=60))


@pytest.fixture(scope="module")
def single(task):
    return quantized(build_onnx(GRAPH, WEIGHTS), task, (1, 8, 8))


@pytest.mark.parametrize("batch", [59, 61, 257, 1000])
def test_batches_beyond_the_quantisation_samples_or_the_train_part(task, single, batch):
    model = quantized(build_onnx(GRAPH, WEIGHTS, batch=batch), task, (1, 8, 8))
    assert len(set(scales(model).values())) > 10
    assert scales(model) == scales(single)
    onnx.checker.check_model(model, full_check=True)
    whole, one = (score_onnx(m.SerializeToString(), task, "test") for m in (model, single))
    assert whole == pytest.approx(one, abs=1.01 / task.size("test"))


def test_a_file_for_more_images_than_there_are_is_tested_on_what_there_is(task):
    found = {
        score_onnx(build_onnx(GRAPH, WEIGHTS, batch=batch).SerializeToString(), task, "test")
        for batch in (1, 7, task.size("test") + 1, 500)
    }
    assert len(found) == 1


@pytest.mark.parametrize("count", [40, 256, 300, 511, 1000])
def test_ranges_come_from_the_whole_train_part(monkeypatch, count):
    seen = []

    class Counting(ImageClassification):
        def size(self, part):
            return count

        def inputs(self, part, indices, shape):
            seen.extend(indices.tolist())
            return super().inputs(part, indices % 10, shape)

    quantized(build_onnx(GRAPH, WEIGHTS), Counting(load_data("digits", limit=60)), (1, 8, 8))
    assert len(seen) == len(set(seen)) == min(count, 256)
    assert (seen[0], seen[-1] >= count - 1 - count // 256) == (0, True)
