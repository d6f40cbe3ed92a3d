"""Progressive resizing: the first epochs of a network see smaller images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_toys import cells, digits_task, mobile

from hwnas._errors import EvaluatorError
from hwnas.evaluators import make_evaluator
from hwnas.oneshot import TrainingSettings, make_method, train_one_shot
from hwnas.spaces import for_smaller_images, make_space
from hwnas.tasks import ImageClassification, make_task
from hwnas.training import Recipe, Supernet, default_recipe, score_network, train_network, train_supernet
from latency_tables import GraphBuilder, OpGraph
from profilers import expand, ops, trained_graph


def graph_of_cells() -> OpGraph:
    space = cells()
    return space.graph(space.sample(1, np.random.default_rng(0))[0])


def with_halves(epochs: int, **changes: object) -> Recipe:
    return default_recipe(digits_task(), **{"epochs": epochs, "batch_size": 25, "small_first": 0.5, **changes})


class Watched(ImageClassification):
    """Notes the shapes of the images that it augments."""

    def __init__(self, task: ImageClassification) -> None:
        super().__init__(task._data)
        self.seen: list[tuple[int, ...]] = []

    def augment(self, x: Any, *rest: Any) -> Any:
        self.seen.append(tuple(x.shape[1:]))
        return super().augment(x, *rest)


def test_the_first_epochs_see_images_of_three_quarters() -> None:
    task = Watched(digits_task())
    steps = task.size("train") // 25
    train_network(graph_of_cells(), task, with_halves(4), seed=0)
    assert task.seen == 2 * steps * [(1, 4, 4)] + 2 * steps * [(1, 8, 8)]  # 6 pixels cannot be halved twice


@pytest.mark.parametrize(("share", "epochs", "small"), [(0.5, 4, 2), (0.5, 1, 0), (0.9, 4, 3), (0.3, 10, 3), (0, 8, 0)])
def test_the_last_epoch_sees_whole_images(share: float, epochs: int, small: int) -> None:
    assert with_halves(epochs, small_first=share).small_epochs == small


def test_a_killed_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    graph, task, recipe = graph_of_cells(), digits_task(), with_halves(4)
    unbroken = train_network(graph, task, recipe, seed=1).arrays()
    for stop in (1, 3):  # among the small images, among the whole ones
        file = tmp_path / f"{stop}.pt"
        train_network(graph, task, recipe, seed=1, checkpoint=file, should_continue=lambda done, _, s=stop: done < s)
        resumed = train_network(graph, task, recipe, seed=1, checkpoint=file).arrays()
        assert all(np.array_equal(unbroken[name], resumed[name]) for name in unbroken)


def test_a_network_learns_with_it() -> None:
    task = digits_task(600)
    graph = mobile().graph(Supernet(mobile()).largest)
    recipe = default_recipe(task, epochs=10, batch_size=20, small_first=0.5)
    assert score_network(train_network(graph, task, recipe, seed=0), task, "test", graph.input_shape) > 0.6


@pytest.mark.parametrize(("space", "height"), [(cells(), 4), (mobile(), 6), (make_space("mobilenetv3"), 24)])
def test_the_smaller_network_has_the_same_weights(space: Any, height: int) -> None:
    whole = expand(trained_graph(space.graph(space.sample(1, np.random.default_rng(2))[0])))
    smaller = for_smaller_images(whole)
    assert [node.name for node in smaller.nodes] == [node.name for node in whole.nodes]
    assert smaller.input_shape == (whole.input_shape[0], height, height)
    assert smaller.output_shape == whole.output_shape


def test_what_is_as_before_without_it() -> None:
    recipe = with_halves(2, small_first=0.0)
    assert "small_first" not in recipe.as_dict()
    assert with_halves(2).as_dict()["small_first"] == 0.5


def test_networks_that_read_one_size_are_refused() -> None:
    builder = GraphBuilder((1, 8, 8))
    x = builder.add("conv", ops.conv((1, 8, 8), 4, 3, act="relu"), "input")
    x = builder.add("flat", ops.reshape((4, 8, 8), (256,)), x)
    graph = builder.build(builder.add("classes", ops.linear((256,), 10), x))
    with pytest.raises(EvaluatorError, match=r"small_first=0.5 needs a network that reads smaller images, but .*flat"):
        train_network(graph, digits_task(), with_halves(2))


def test_shared_weights_are_refused() -> None:
    reason = "small_first=0.5 is for networks that are trained alone"
    with pytest.raises(EvaluatorError, match=reason):
        train_supernet(Supernet(cells()), digits_task(), with_halves(2))
    space = cells()
    with pytest.raises(EvaluatorError, match=reason):
        train_one_shot(
            make_method("drnas", space, epochs=2), Supernet(space), digits_task(), with_halves(2), TrainingSettings({})
        )


def test_a_teacher_sees_its_own_size() -> None:
    from hwnas.training import Subnet, Teacher

    graph, task = graph_of_cells(), digits_task()
    teacher = Teacher.of(Subnet.of_arrays(graph, train_network(graph, task, with_halves(1), seed=0).arrays()))
    taught = train_network(graph, task, with_halves(2), seed=1, teacher=teacher).arrays()
    alone = train_network(graph, task, with_halves(2), seed=1).arrays()
    assert any(not np.array_equal(taught[name], alone[name]) for name in alone)
    assert all(bool(torch.isfinite(torch.from_numpy(array)).all()) for array in taught.values())


def test_an_evaluator_says_it_before_the_search(tmp_path: Path) -> None:
    space, file = make_space("convnet1d", classes=2, input_channels=1, length=64), tmp_path / "signals.npz"
    signals = np.random.default_rng(0).standard_normal((40, 1, 64)).astype(np.float32)
    np.savez(file, x_train=signals, y_train=np.arange(40) % 2)
    task = make_task("signal", str(file))
    with pytest.raises(EvaluatorError, match=r"needs a network that reads smaller images, but its input"):
        make_evaluator("train", space, task, epochs=2, small_first=0.5)
    with pytest.raises(EvaluatorError, match="trained alone"):
        make_evaluator("supernet", cells(), digits_task(), epochs=2, small_first=0.5)
    assert make_evaluator("train", cells(), digits_task(), epochs=2, small_first=0.5).settings["recipe"]
