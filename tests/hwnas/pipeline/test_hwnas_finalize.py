"""Final training: what is refused before a search, its recipe, and networks that resume to the same weights."""

import dataclasses

import numpy as np
import pytest
import torch
from run_toys import create_run

from hwnas import HwnasError, SearchSettings
from hwnas._pipeline._final_recipe import final_recipe, require_finalizable
from hwnas._pipeline._final_teacher import reading_as
from hwnas._pipeline._finalize import finalized
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._start import Start
from hwnas._pipeline._winner import Winner
from hwnas.data import load_data
from hwnas.evaluators import TrainEvaluator, make_evaluator
from hwnas.spaces import make_space
from hwnas.tasks import ImageClassification
from hwnas.training import Subnet, Teacher, default_recipe
from hwnas.training._cover import extreme_network
from profilers import graph_parameters, random_weights

torch.set_num_threads(1)
SPACE = make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)
SHORT = {"epochs": 1, "batch_size": 20}


@pytest.fixture(scope="module")
def data():
    return ImageClassification(load_data("digits", limit=200))


@pytest.fixture
def parts(tmp_path, data):
    evaluator = make_evaluator("supernet", SPACE, data, bn_statistics=40, **SHORT)
    evaluator.prepare(tmp_path / "evaluator")

    def make(finalize, **recipe):
        settings = SearchSettings(
            space="nasbench201",
            finalize=finalize,
            evaluator_options={"batch_size": 20, "bn_statistics": 40, "epochs": 1},
            final_recipe={"epochs": 2, **recipe} if finalize != "none" else {},
        )
        run = create_run(tmp_path / "run", settings, {})
        absent = dict.fromkeys(("low_fidelity", "costs", "strategy", "problem_with", "problem"))
        return SearchSetup(run, None, None, SPACE, data, evaluator, **absent)

    return make


LARGEST = extreme_network(SPACE, smallest=False)
(BIAS,) = (name for name, _ in graph_parameters(SPACE.graph(LARGEST)) if name.endswith(".bias"))
WINNERS = [
    Winner(number, arch, {"accuracy": 0.5})
    for number, arch in enumerate(dict.fromkeys(SPACE.sample(3, np.random.default_rng(1))))
]


def weights(parts, steps=lambda done, total, text: None):
    lines = []
    found = finalized(parts, WINNERS[:2], lines.append, steps)
    return [found.evaluator.trained_weights(winner.arch) for winner in WINNERS[:2]], lines


def same(one, two):
    return all(np.array_equal(a[name], b[name]) for a, b in zip(one, two, strict=True) for name in a)


def test_without_final_training_nothing_changes(parts):
    before = parts("none")
    assert finalized(before, WINNERS, print, print) is before


def test_fine_tuning_starts_at_the_supernet_and_training_does_not(parts):
    shared = [parts("none").evaluator.trained_weights(winner.arch) for winner in WINNERS[:2]]
    slow = {"learning_rate": 1e-9, "weight_decay": 0.0, "average": 0.0}
    tuned, lines = weights(parts("finetune", **slow))
    assert lines == ["t0000: finetune, network 1 of 2", "t0001: finetune, network 2 of 2"]
    trained, _ = weights(parts("train", **slow))
    name = "stem.weight"
    for network, (one, two, three) in enumerate(zip(shared, tuned, trained, strict=True)):
        assert np.abs(one[name] - two[name]).max() < 1e-6, network
        assert np.abs(one[name] - three[name]).max() > 0.1, network
    moved, _ = weights(parts("finetune"))
    assert not same(moved, tuned)


def test_distilling_starts_at_the_supernet_and_names_its_teacher(parts):
    shared = [parts("none").evaluator.trained_weights(winner.arch) for winner in WINNERS[:2]]
    slow = {"learning_rate": 1e-9, "weight_decay": 0.0, "average": 0.0}
    still, lines = weights(parts("distil", **slow))
    for one, two in zip(shared, still, strict=True):
        assert np.abs(one["stem.weight"] - two["stem.weight"]).max() < 1e-6
    tuned = finalized(parts("finetune", **slow), [], print, lambda *_: pytest.fail("trained twice")).evaluator
    assert lines == [
        "t0000: distil, network 1 of 2",
        "teacher: finetune, the largest network of the supernet for 1x8x8 inputs",
        f"teacher: accuracy {100 * tuned.evaluate(LARGEST).value:.2f}% on the validation part",
        "t0001: distil, network 2 of 2",
    ]


def says_three(monkeypatch):
    """Let the teacher, and no other network, say that every image shows a 3."""
    assert LARGEST not in [winner.arch for winner in WINNERS[:2]]
    honest = TrainEvaluator.trained_weights

    def trained_weights(trainer, arch):
        arrays = honest(trainer, arch)
        if arch == LARGEST:
            arrays |= {BIAS: 100.0 * np.eye(10, dtype=np.float32)[3]}
        return arrays

    monkeypatch.setattr(TrainEvaluator, "trained_weights", trained_weights)


def share_of_threes(arrays, data):
    """The mean probability that networks give to the class 3."""
    x = data.inputs("validation", np.arange(data.size("validation")), SPACE.input_shape(LARGEST))
    networks = [Subnet.of_arrays(SPACE.graph(w.arch), own) for w, own in zip(WINNERS[:2], arrays, strict=True)]
    with torch.no_grad():
        return [float(network(x).softmax(1)[:, 3].mean()) for network in networks]


def test_the_networks_learn_what_the_teacher_says_even_where_it_is_wrong(parts, data, monkeypatch):
    plan = {"average": 0.0, "learning_rate": 0.1}
    tuned, _ = weights(parts("finetune", **plan))
    says_three(monkeypatch)
    taught, _ = weights(parts("distil", teacher_weight=20.0, **plan))
    assert max(share_of_threes(tuned, data)) < 0.3
    assert min(share_of_threes(taught, data)) > 0.7


def test_a_distilled_network_belongs_to_its_teacher(parts, monkeypatch):
    weights(parts("distil"))
    says_three(monkeypatch)
    with pytest.raises(HwnasError, match="belongs to teacher"):
        weights(parts("distil"))


def test_the_original_teaches_where_there_is_one(parts):
    original = Teacher.of(Subnet.of_arrays(SPACE.graph(LARGEST), random_weights(SPACE.graph(LARGEST), 7)))
    plain = parts("distil")
    with_model = dataclasses.replace(plain, start=Start(teacher=original))
    lines = []
    finalizer = finalized(with_model, WINNERS[:1], lines.append, lambda *_: None).evaluator
    assert finalizer.settings["teacher"] == original.digest
    assert lines == ["t0000: distil, network 1 of 1"]
    with pytest.raises(HwnasError, match=f"belongs to teacher {original.digest}"):
        weights(plain)


def test_a_teacher_reads_images_of_the_size_that_its_pupil_reads():
    space = make_space("mobilenetv3", image_channels=1, resolution=[8, 10], width=[0.1, 0.25])
    largest = extreme_network(space, smallest=False)
    assert space.input_shape(largest) == (1, 10, 10)
    pupils = space.sample(8, np.random.default_rng(0))
    assert {space.input_shape(pupil) for pupil in pupils} == {(1, 8, 8), (1, 10, 10)}
    for pupil in pupils:
        teacher = reading_as(space, largest, pupil)
        assert space.input_shape(teacher) == space.input_shape(pupil)
        assert (space.encode(teacher) != space.encode(largest)).sum() <= 1


@pytest.mark.parametrize(
    ("finalize", "finished", "left"), [("finetune", 1, 0), ("train", 1, 0), ("distil", 0, 2), ("distil", 2, 0)]
)
def test_an_interrupted_final_training_ends_as_the_unbroken_one(parts, tmp_path, finalize, finished, left):
    """It is stopped in the second epoch of a training, after `finished` and before `left` others."""

    class Stopped(Exception):
        pass

    unbroken, _ = weights(parts(finalize))
    folder = tmp_path / "run" / "final"
    folder.rename(tmp_path / "unbroken")
    seen = 0

    def stop(done, total, text):
        nonlocal seen
        seen += 1
        if seen == finished * total + total // 2 + 1:
            raise Stopped

    with pytest.raises(Stopped):
        weights(parts(finalize), stop)
    steps = []
    resumed, _ = weights(parts(finalize), lambda done, total, text: steps.append((done, total)))
    assert same(resumed, unbroken)
    total = steps[0][1]
    whole = list(range(1, total + 1))
    assert steps == [(done, total) for done in [*whole[total // 2 :], *(left * whole)]]
    again, _ = weights(parts(finalize), lambda *_: pytest.fail("trained twice"))
    assert same(again, unbroken)


def test_a_final_training_that_diverges_is_one_line(parts):
    wild = {"learning_rate": 1e3, "clip": 1e9, "warmup": 0.0, "weight_decay": 1.0, "epochs": 60}
    with pytest.raises(HwnasError) as caught:
        weights(parts("train", **wild))
    assert "training diverged in epoch " in str(caught.value)
    assert str(caught.value).endswith("; lower the learning rate, now 1000")
    assert "\n" not in str(caught.value)


def test_the_recipe_of_a_final_training(data):
    shared = {"epochs": 3, "flip": True, "cutout": 0.5, "calibration": 40}
    settings = SearchSettings(finalize="train", evaluator_options=shared, final_recipe={"cutout": 0.25})
    recipe = final_recipe(settings, data)
    assert (
        recipe.epochs,
        recipe.task_settings["flip"],
        recipe.task_settings["cutout"],
        recipe.average,
        recipe.learning_rate,
    ) == (
        100,
        True,
        0.25,
        0.999,
        0.1,
    )
    tuned = final_recipe(dataclasses.replace(settings, finalize="finetune"), data)
    assert (tuned.epochs, tuned.learning_rate, tuned.average) == (25, 0.02, 0.999)
    assert final_recipe(dataclasses.replace(settings, finalize="distil"), data) == tuned
    own = dataclasses.replace(settings, finalize="finetune", final_recipe={"epochs": 2, "average": 0.0})
    assert (final_recipe(own, data).epochs, final_recipe(own, data).average) == (2, 0.0)


def test_fine_tuning_is_slower_than_a_training_with_the_same_optimiser(data):
    shared = {"optimizer": "adamw", "learning_rate": 0.3}
    settings = SearchSettings(finalize="finetune", evaluator_options=shared)
    assert final_recipe(settings, data).learning_rate == default_recipe(data, optimizer="adamw").learning_rate / 5
    own = dataclasses.replace(settings, evaluator_options={}, final_recipe={"optimizer": "adamw"})
    assert final_recipe(own, data).learning_rate == final_recipe(settings, data).learning_rate
    chosen = dataclasses.replace(own, final_recipe={"optimizer": "adamw", "learning_rate": 0.05})
    assert final_recipe(chosen, data).learning_rate == 0.05


def test_what_cannot_be_finalized_is_refused(data, tmp_path):
    supernet = make_evaluator("supernet", SPACE, data, bn_statistics=40, **SHORT)
    (tmp_path / "t.csv").write_text(f"arch,acc\n{SPACE.format(WINNERS[0].arch)},1\n{SPACE.format(WINNERS[1].arch)},2\n")
    table = make_evaluator(f"table:{tmp_path / 't.csv'}", SPACE)
    trains = make_evaluator("train", SPACE, data, **SHORT)

    def refusal(finalize, data, evaluator, **recipe):
        with pytest.raises(HwnasError) as caught:
            require_finalizable(SearchSettings(finalize=finalize, final_recipe=recipe), data, evaluator)
        return str(caught.value)

    assert refusal("train", None, table) == "--finalize train needs a data set; --evaluator table:FILE has none"
    assert refusal("distil", None, table) == "--finalize distil needs a data set; --evaluator table:FILE has none"
    assert refusal("distil", data, table) == (
        "--finalize distil needs weights to start from; --evaluator table has none: use --finalize train"
    )
    assert refusal("distil", data, trains) == (
        "--finalize distil needs a teacher: --evaluator supernet or --model FILE; --evaluator train gives none: use "
        "--finalize finetune"
    )
    require_finalizable(SearchSettings(finalize="distil"), data, supernet)
    require_finalizable(SearchSettings(finalize="distil", model="net.onnx"), data, trains)
    assert refusal("train", data, supernet, epochs=0) == "training: epochs must be a positive integer, got 0"
    assert refusal("train", data, supernet, speed=1).startswith(
        "training has no setting 'speed'; known settings: epochs, "
    )
    with pytest.raises(HwnasError, match=r"small_first=0\.5 needs a network that reads smaller images"):
        require_finalizable(
            SearchSettings(finalize="train", final_recipe={"small_first": 0.5}), data, supernet, make_space("convnet1d")
        )
    require_finalizable(SearchSettings(), data, supernet)
    require_finalizable(SearchSettings(), None, table)
    with pytest.raises(HwnasError) as caught:
        SearchSettings(finalize="polish")
    assert str(caught.value) == "--finalize must be none, finetune, distil or train, got 'polish'"
    with pytest.raises(HwnasError) as caught:
        SearchSettings(final_recipe={"epochs": 3})
    assert str(caught.value) == "--final-epochs and --final-recipe need --finalize finetune, distil or train"
