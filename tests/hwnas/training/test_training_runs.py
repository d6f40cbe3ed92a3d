"""Trainings end to end on few images: reproducible, resumable, refusing in one line; accuracies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training_toys import cells, digits, digits_task, mobile

from hwnas._errors import EvaluatorError
from hwnas.data import ImageData, Split
from hwnas.tasks import ImageClassification
from hwnas.tasks._pixel_tensors import prepare_images
from hwnas.training import (
    Recipe,
    StepProgress,
    Subnet,
    Supernet,
    Teacher,
    default_recipe,
    score_network,
    score_onnx,
    train_network,
    train_supernet,
)
from hwnas.training._average import WeightAverage
from hwnas.training._checkpoint import save_checkpoint
from hwnas.training._loop import compute_threads, learning_rate
from latency_tables import INPUT, GraphBuilder, OpGraph
from profilers import GraphModule, OperatorError, build_onnx, graph_parameters, ops

BASE: dict[str, object] = {"epochs": 3, "batch_size": 20, "learning_rate": 0.05}


def recipe_with(**changes: object) -> Recipe:
    return default_recipe(digits_task(), **{**BASE, **changes})


RECIPE = recipe_with()


class Stopped(Exception):
    """Stands for a process that was killed."""


def stop_after(steps: int) -> StepProgress:
    def progress(done: int, total: int, text: str) -> None:
        if done == steps:
            raise Stopped

    return progress


def supernet_state(
    checkpoint: Path | None, progress: StepProgress | None = None, **changes: object
) -> dict[str, Tensor]:
    net = Supernet(cells(), seed=1)
    train_supernet(net, digits_task(), recipe_with(**changes), seed=1, checkpoint=checkpoint, progress=progress)
    return {name: tensor.detach() for name, tensor in net.shared().items()}


def network_state(
    checkpoint: Path | None, progress: StepProgress | None = None, **changes: object
) -> dict[str, Tensor]:
    space = cells()
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    module = train_network(
        graph, digits_task(), recipe_with(**changes), seed=1, checkpoint=checkpoint, progress=progress
    )
    return {name: torch.from_numpy(array) for name, array in module.arrays().items()}


TRAININGS = {"supernet": supernet_state, "network": network_state}


RECIPES: dict[str, dict[str, object]] = {
    "sgd": {},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.002},
    "bestup": {"sampling": "bestup"},
    "worstup": {"sampling": "worstup", "candidates": 2},
    "everything": {"cutout": 0.5, "mixup": 0.4, "average": 0.99, "flip": True},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", sorted(TRAININGS))
def test_killed_training_resumes_to_the_same_bits(tmp_path: Path, kind: str, recipe: str) -> None:
    train, file, changes = TRAININGS[kind], tmp_path / "x.pt", RECIPES[recipe]
    unbroken = train(None, **changes)
    steps = 0

    def count(done: int, total: int, text: str) -> None:
        nonlocal steps
        steps += 1

    with pytest.raises(Stopped):
        train(file, stop_after(9), **changes)  # six steps an epoch: in the second
    resumed = train(file, count, **changes)
    assert steps == 12
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
    again = train(file, stop_after(1), **changes)
    assert all(torch.equal(unbroken[name], again[name]) for name in unbroken)


def test_losses_of_every_epoch_survive_a_kill(tmp_path: Path) -> None:
    space, file = cells(), tmp_path / "x.pt"
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])

    def losses_of(checkpoint: Path | None, progress: StepProgress | None = None) -> list[float]:
        losses: list[float] = []
        train_network(graph, digits_task(), RECIPE, checkpoint=checkpoint, progress=progress, losses=losses)
        return losses

    unbroken = losses_of(None)
    assert len(unbroken) == 3
    assert unbroken[2] < unbroken[0]
    with pytest.raises(Stopped):
        losses_of(file, stop_after(9))
    assert losses_of(file) == unbroken
    assert losses_of(file, stop_after(1)) == unbroken
    earlier = torch.load(file, weights_only=True)
    del earlier["state"]["losses"]
    save_checkpoint(file, earlier["identity"], earlier["state"])
    assert losses_of(file) == []


def test_training_leaves_global_generators_and_threads_alone() -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with compute_threads(threads + 1):
        assert torch.get_num_threads() == threads + 1
    network_state(None)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", sorted(TRAININGS))
def test_divergence_is_one_line(kind: str) -> None:
    with pytest.raises(EvaluatorError) as caught:
        TRAININGS[kind](None, learning_rate=1e3, clip=1e9, warmup=0.0, weight_decay=1.0, epochs=60)
    message = str(caught.value)
    assert message.startswith(f"{kind}: training diverged in epoch ")
    assert message.endswith("; lower the learning rate, now 1000")
    assert "\n" not in message


def test_progress_counts_steps_and_says_how_long() -> None:
    seen: list[tuple[int, int, str]] = []
    network_state(None, lambda *report: seen.append(report))
    assert [done for done, _, _ in seen] == list(range(1, 19))
    assert {total for _, total, _ in seen} == {18}
    assert seen[-1][2].startswith("network: epoch 3/3, loss ")
    assert seen[-1][2].endswith(", 0 s left")


@pytest.mark.parametrize(
    ("label", "shown"),
    [("n" * 120, "n" * 120), ("a" * 40 + "b" * 44 + "c" * 37, "a" * 40 + "..." + "c" * 37)],
)
def test_progress_leaves_out_the_middle_of_a_long_label(label: str, shown: str) -> None:
    space = cells()
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    seen: list[tuple[int, int, str]] = []
    train_network(
        graph, digits_task(), recipe_with(epochs=1), label=label, progress=lambda *report: seen.append(report)
    )
    assert seen[-1][2].startswith(f"{shown}: epoch 1/1, loss ")


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    network_state(file, epochs=1)
    with pytest.raises(EvaluatorError) as caught:
        network_state(file, epochs=2)
    message = str(caught.value)
    assert message.startswith(f"checkpoint {file}: belongs to recipe ...")
    assert "('epochs', 1)" in message
    assert "('epochs', 2)" in message
    assert message.endswith("; use another folder or remove it to train again")
    assert len(message) < len(str(file)) + 300
    with pytest.raises(EvaluatorError) as caught:
        supernet_state(file)
    assert str(caught.value) == (
        f"checkpoint {file}: belongs to training network, not supernet; use another folder or remove it to train again"
    )


def test_a_checkpoint_of_a_training_with_a_teacher_or_another_wiring_is_refused(tmp_path: Path) -> None:
    def net(*joined: str) -> OpGraph:
        builder, x = GraphBuilder((1, 8, 8)), INPUT
        for name in "abc":
            x = builder.add(name, ops.conv(builder.shape(x), 4, 3, act="relu"), x)
        x = builder.add("joined", ops.concat((4, 8, 8), (4, 8, 8)), *joined)
        x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
        return builder.build(builder.add("classes", ops.linear(builder.shape(x), 10), x))

    graph, task, file = net("a", "c"), digits_task(), tmp_path / "x.pt"
    recipe = default_recipe(task, epochs=1)
    teacher = Teacher.of(Subnet.of_arrays(graph, train_network(graph, task, recipe, seed=1).arrays()))
    train_network(graph, task, recipe, teacher=teacher, checkpoint=file)
    with pytest.raises(EvaluatorError, match=r"belongs to teacher .*, not None"):
        train_network(graph, task, recipe, checkpoint=file)
    file.unlink()
    train_network(graph, task, recipe, checkpoint=file)
    with pytest.raises(EvaluatorError, match="belongs to wiring"):
        train_network(net("b", "c"), task, recipe, checkpoint=file)


def test_a_batch_of_one_is_one_line() -> None:
    builder, x = GraphBuilder((1, 8, 8)), INPUT
    x = builder.add("pool", ops.global_pool((1, 8, 8)), x)
    x = builder.add("conv", ops.conv((1, 1, 1), 4), x)
    graph = builder.build(builder.add("classes", ops.linear((4, 1, 1), 10), x))
    with pytest.raises(OperatorError, match="give a batch size of 2 or more"):
        train_network(graph, digits_task(), default_recipe(digits_task(), epochs=1, batch_size=1))


def test_damaged_checkpoint_and_unwritable_folder(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    network_state(file, epochs=1)
    whole = file.read_bytes()
    for broken in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        file.write_bytes(broken)
        with pytest.raises(EvaluatorError) as caught:
            network_state(file, epochs=1)
        assert str(caught.value) == f"checkpoint {file}: damaged; remove it to train again"
    torch.save({"format": 3, "identity": {}, "state": {}}, file)
    with pytest.raises(EvaluatorError) as caught:
        network_state(file, epochs=1)
    assert str(caught.value) == f"checkpoint {file}: format 3, this version reads 2; remove it to train again"
    inside = file / "y.pt"
    with pytest.raises(EvaluatorError) as caught:
        network_state(inside, epochs=1)
    assert str(caught.value) == f"checkpoint {inside}: cannot be written (File exists)"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.pt"]


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("tpu", "training: unknown device 'tpu'; known: cpu, cuda"),
        ("cuda", "training: no CUDA device here (torch sees none); train with device cpu"),
    ],
)
def test_device_that_is_not_there(device: str, reason: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(EvaluatorError) as caught:
        train_supernet(Supernet(cells()), digits_task(), RECIPE, device=device)
    assert str(caught.value) == reason


def test_training_goes_on_from_given_weights(tmp_path: Path) -> None:
    space, task = cells(), digits_task()
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    first = train_network(graph, task, RECIPE, seed=1).arrays()
    still = recipe_with(epochs=1, learning_rate=1e-9, weight_decay=0.0)
    kept = train_network(graph, task, still, start=first).arrays()
    trainable = [name for name, parameter in graph_parameters(graph) if parameter.trainable]
    assert all(np.abs(kept[name] - first[name]).max() < 1e-6 for name in trainable)
    file = tmp_path / "x.pt"
    train_network(graph, task, RECIPE, start=first, checkpoint=file)
    with pytest.raises(EvaluatorError, match=r"belongs to start [0-9a-f]{64}, not he; use another folder"):
        train_network(graph, task, RECIPE, checkpoint=file)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_training_that_is_told_to_stop_stops_there_however_often_it_is_begun(tmp_path: Path, average: float) -> None:
    space, task, file = cells(), digits_task(), tmp_path / "x.pt"
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    recipe = recipe_with(average=average)
    asked: list[tuple[int, float]] = []

    def should_continue(done: int, module: GraphModule) -> bool:
        asked.append((done, score_network(module, task, "validation", (1, 8, 8))))
        return done < 2

    first = train_network(graph, task, recipe, seed=1, checkpoint=file, should_continue=should_continue)
    again = train_network(graph, task, recipe, seed=1, checkpoint=file, should_continue=should_continue)
    assert [done for done, _ in asked] == [1, 2, 2]
    assert asked[1] == asked[2] == (2, score_network(first, task, "validation", (1, 8, 8)))
    assert all(np.array_equal(a, b) for a, b in zip(first.arrays().values(), again.arrays().values(), strict=True))
    unasked = train_network(graph, task, recipe, seed=1).arrays()
    watched = train_network(graph, task, recipe, seed=1, should_continue=lambda done, module: True).arrays()
    assert all(np.array_equal(unasked[name], watched[name]) for name in unasked)


def test_the_average_follows_its_formula_and_leaves_no_trace() -> None:
    model = torch.nn.Linear(2, 1)
    average = WeightAverage(model, 0.5)
    mean, path = model.weight.detach().clone(), []
    for step in range(1, 21):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * step
        path.append(decay)
    assert path[0] == pytest.approx(2 / 11)
    assert path[-1] == 0.5
    with average.applied():
        torch.testing.assert_close(model.weight.detach(), mean)
    assert bool((model.weight == 20).all())
    other = WeightAverage(torch.nn.Linear(2, 1), 0.5)
    other.load_state_dict(average.state_dict())
    assert other.steps == 20
    average.apply()
    torch.testing.assert_close(model.weight.detach(), mean)


@pytest.mark.gpu
@pytest.mark.parametrize("recipe", ["everything", "worstup"])
def test_trainings_and_their_checkpoints_on_a_gpu(tmp_path: Path, recipe: str) -> None:
    space, task = cells(), digits_task()
    settings = recipe_with(**RECIPES[recipe])
    for _ in range(2):  # the second time from the checkpoint
        net = Supernet(space, seed=1)
        train_supernet(net, task, settings, device="cuda", checkpoint=tmp_path / "supernet.pt")
        assert all(bool(tensor.isfinite().all()) and tensor.is_cuda for tensor in net.shared().values())
    graph = space.graph(net.smallest)
    start = train_network(graph, task, settings, device="cuda", checkpoint=tmp_path / "network.pt").arrays()
    module = train_network(graph, task, settings, device="cuda", start=start, should_continue=lambda done, _: done < 2)
    assert 0 <= score_network(module, task, "test", (1, 8, 8), device="cuda") <= 1


@pytest.mark.slow
def test_a_short_training_learns_digits() -> None:
    task, space = digits_task(600), mobile()
    graph = space.graph(Supernet(space).smallest)
    module = train_network(graph, task, default_recipe(task, epochs=15, batch_size=20), seed=0)
    assert score_network(module, task, "test", graph.input_shape) > 0.6  # chance: 0.1


def constant_data(labels: list[int]) -> ImageData:
    """Every image has the level of its label."""
    images = np.repeat(np.array(labels, dtype=np.uint8) * 50, 64).reshape(-1, 1, 8, 8)
    split = Split(images, np.array(labels, dtype=np.int64))
    return replace(digits(), train=split, test=split, mean=(0.0,), std=(1.0,))


def test_accuracy_counts_over_uneven_batches() -> None:
    data = constant_data([0, 1, 2, 3, 1, 2, 0])
    calls = []

    def network(x: Tensor) -> Tensor:
        calls.append(len(x))
        level = (x.mean((1, 2, 3)) * 255 / 50).round().long()
        level[level == 3] = 0
        return torch.nn.functional.one_hot(level, 10).float()

    task = ImageClassification(data)
    assert score_network(network, task, "test", (1, 8, 8), batch_size=3) == pytest.approx(6 / 7)
    assert calls == [3, 3, 1]


def test_onnx_accuracy_equals_torch_for_any_fixed_batch(tmp_path: Path) -> None:
    data, space = digits(), cells()
    net = Supernet(space, seed=2)
    arch = net.largest
    subnet = net.subnet(arch, [prepare_images(data, data.train.images, 8)])
    with torch.no_grad():
        guess = subnet(prepare_images(data, data.test.images, 8)).argmax(1).numpy()
    split = Split(data.test.images, np.where(np.arange(len(guess)) % 3 == 0, (guess + 1) % 10, guess))
    task = ImageClassification(replace(data, test=split))
    wanted = score_network(subnet, task, "test", (1, 8, 8))
    assert wanted == pytest.approx(np.mean(np.arange(len(guess)) % 3 != 0))
    for batch in (1, 16):
        file = tmp_path / f"{batch}.onnx"
        file.write_bytes(build_onnx(space.graph(arch), subnet.arrays(), batch=batch).SerializeToString())
        assert score_onnx(file, task, "test") == wanted
        assert score_onnx(file.read_bytes(), task, "test", threads=2) == wanted
    colour = replace(
        data, mean=(0.0,) * 3, std=(1.0,) * 3, train=Split(data.train.images.repeat(3, 1), data.train.labels)
    )
    with pytest.raises(EvaluatorError) as caught:
        score_onnx(file, ImageClassification(colour), "test")
    assert str(caught.value) == f"onnx {file}: its input [16, 1, 8, 8] does not take images of 3 channels"
    file.write_bytes(b"x")
    with pytest.raises(EvaluatorError) as caught:
        score_onnx(file, task, "test")
    assert str(caught.value).startswith(f"onnx {file}: cannot be loaded (")
    assert "\n" not in str(caught.value)


def test_images_are_normalised_and_resized() -> None:
    data = digits()
    x = prepare_images(data, data.train.images, 8)
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-4)
    flat = np.full((2, 1, 8, 8), 51, dtype=np.uint8)
    for size in (4, 8, 13):
        y = prepare_images(data, flat, size)
        assert y.shape == (2, 1, size, size)
        np.testing.assert_allclose(y, (0.2 - data.mean[0]) / data.std[0], rtol=1e-5)


def test_schedule_warms_up_and_ends_near_zero() -> None:
    recipe = Recipe(epochs=1, batch_size=1, learning_rate=0.2, warmup=0.1)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    np.testing.assert_allclose(rates[:11], [0.02 * i for i in range(1, 11)] + [0.2])
    assert rates[55] == pytest.approx(0.1)
    assert rates[99] < 1e-4
    assert all(np.diff(rates[10:]) < 0)


def test_default_recipe_follows_the_data() -> None:
    recipe = default_recipe(digits_task())
    assert recipe.batch_size == 32
    assert recipe.task_settings["flip"] is False
    assert recipe.epochs == 100
    assert json.loads(json.dumps(recipe.as_dict())) == recipe.as_dict()
    many = replace(digits(), train=Split(np.zeros((9000, 3, 2, 2), np.uint8), np.zeros(9000, np.int64)))
    large = default_recipe(ImageClassification(many), learning_rate=0.3, clip=None)
    assert large.task_settings["flip"] is True
    assert (large.epochs, large.batch_size, large.learning_rate, large.clip) == (5, 64, 0.3, 5.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"speed": 3},
            "training has no setting 'speed'; known settings: epochs, batch_size, optimizer, learning_rate, warmup, "
            "weight_decay, clip, average, random_subnets, sampling, candidates, teacher_weight, taught_by, "
            "train_precision, small_first, label_smoothing, shift, flip, cutout, mixup, randaugment",
        ),
        ({"random_subnets": 1.5}, "training: random_subnets must be a whole number, got 1.5"),
        ({"epochs": 0}, "training: epochs must be a positive integer, got 0"),
        ({"batch_size": 2.5}, "training: batch_size must be a positive integer, got 2.5"),
        ({"optimizer": "lamb"}, "training: unknown optimizer 'lamb'; known: sgd, adamw"),
        ({"learning_rate": -1.0}, "training: learning_rate must be 1e-09 to 1000, got -1.0"),
        ({"sampling": "luck"}, "training: unknown sampling 'luck'; known: uniform, bestup, worstup"),
        ({"candidates": 0}, "training: candidates must be a positive integer, got 0"),
        ({"flip": "no"}, "training: flip must be true or false, got 'no'"),
        ({"shift": 0.7}, "training: shift must be 0 to 0.5, got 0.7"),
    ],
)
def test_impossible_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluatorError) as caught:
        default_recipe(digits_task(), **changes)
    assert str(caught.value) == message


def test_a_learning_rate_belongs_to_its_optimiser() -> None:
    task = digits_task()
    rates = [default_recipe(task, optimizer=name).learning_rate for name in (None, "sgd", "adamw")]
    assert rates == [0.1, 0.1, 0.002]
    assert default_recipe(task, optimizer="adamw", learning_rate=0.5).learning_rate == 0.5


def test_a_file_with_other_outputs_or_an_open_batch_is_refused(tmp_path: Path) -> None:
    data, space = digits(), cells()
    graph, subnet = space.graph(Supernet(space, seed=2).largest), Supernet(space, seed=2)
    model = build_onnx(graph, subnet.subnet(subnet.largest, []).arrays(), batch=2)
    fewer = ImageClassification(replace(data, classes=data.classes[:9]))
    with pytest.raises(EvaluatorError) as caught:
        score_onnx(model.SerializeToString(), fewer, "test")
    assert str(caught.value) == "onnx model: its outputs [2, 10] are not logits (batch, 9, ...)"
    for entry in (model.graph.input[0], model.graph.output[0]):
        entry.type.tensor_type.shape.dim[0].dim_param = "N"
    with pytest.raises(EvaluatorError) as caught:
        score_onnx(model.SerializeToString(), ImageClassification(data), "test")
    assert str(caught.value) == "onnx model: its input ['N', 1, 8, 8] does not take images of 1 channels"
