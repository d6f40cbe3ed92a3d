"""Trainings from initial weights and with a teacher: what they learn, and that they resume to the same bits."""

import pickle

import numpy as np
import pytest
import torch
from training_toys import cells, digits_task

from hwnas._errors import EvaluatorError
from hwnas.evaluators import SupernetEvaluator, TrainEvaluator, make_evaluator
from hwnas.spaces import make_space
from hwnas.spaces._derived._remake import resized
from hwnas.training import Recipe, Subnet, Supernet, Teacher, default_recipe, train_network, train_supernet
from profilers import expand, random_weights, trained_graph

SPACE = cells()
LARGEST = SPACE.graph(Supernet(SPACE).largest)


def recipe(**changes):
    return default_recipe(digits_task(), **{"epochs": 2, "batch_size": 40, "random_subnets": 1, **changes})


@pytest.fixture(scope="module")
def original():
    """A trained network: weights with statistics."""
    return train_network(LARGEST, digits_task(), recipe(epochs=4, batch_size=20, learning_rate=0.2)).arrays()


@pytest.fixture(scope="module")
def teacher(original):
    return Teacher.of(Subnet(LARGEST, {name: torch.from_numpy(array) for name, array in original.items()}))


class Killed(Exception):
    pass


def trained(folder, kill_after=None, seed=0, **more):
    """Weights of a supernet, trained in a folder; `kill_after` steps it dies."""
    supernet, steps = Supernet(SPACE), []

    def progress(done, total, text):
        steps.append(done)
        if done == kill_after:
            raise Killed

    settings = {"checkpoint": folder / "supernet.pt", "progress": progress, "seed": seed}
    train_supernet(supernet, digits_task(), more.pop("recipe", recipe()), **settings, **more)
    return {name: tensor.detach().clone() for name, tensor in supernet.shared().items()}, len(steps)


def test_a_killed_training_ends_with_the_same_bits(tmp_path, original, teacher):
    whole, steps = trained(tmp_path / "whole", initial=original, teacher=teacher)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", kill_after=steps // 2 + 1, initial=original, teacher=teacher)
    again, left = trained(tmp_path / "killed", initial=original, teacher=teacher)
    assert left < steps
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_checkpoint_belongs_to_its_initial_weights_and_teacher(tmp_path, original, teacher):
    trained(tmp_path, initial=original, teacher=teacher)
    other = {**original, "stem.weight": original["stem.weight"] + 1}
    other_teacher = Teacher(teacher.network, "another")
    for change, fact in ({"initial": other}, "initial"), ({"teacher": other_teacher}, "teacher"):
        with pytest.raises(EvaluatorError, match=f"belongs to {fact} "):
            trained(tmp_path, **{"initial": original, "teacher": teacher, **change})


def test_weights_that_follow_from_data_are_told_by_their_source(tmp_path, original):
    trained(tmp_path, initial=original, initial_digest="file")
    in_other_bits = {name: np.nextafter(array, np.float32(9)) for name, array in original.items()}
    _, steps = trained(tmp_path, initial=in_other_bits, initial_digest="file")
    assert steps == 0  # finished already
    with pytest.raises(EvaluatorError, match="belongs to initial file"):
        trained(tmp_path, initial=original, initial_digest="other")
    settings = SupernetEvaluator(SPACE, digits_task(), recipe(), initial=original, initial_digest="file").settings
    assert settings["weights"] == "file"


def test_single_networks_that_start_from_data_are_told_by_their_source(tmp_path, original):
    arch = Supernet(SPACE).largest
    in_other_bits = {name: np.nextafter(array, np.float32(9)) for name, array in original.items()}

    def network(initial, digest):
        evaluator = TrainEvaluator(SPACE, digits_task(), recipe(epochs=1), initial=initial, initial_digest=digest)
        evaluator.prepare(tmp_path)
        return evaluator.trained_weights(arch)

    first, again = network(original, "file"), network(in_other_bits, "file")
    assert all(np.array_equal(first[name], again[name]) for name in first)  # read from the checkpoint
    for initial, digest in ((original, "other"), (in_other_bits, None)):
        with pytest.raises(EvaluatorError, match="belongs to start "):
            network(initial, digest)


def test_initial_weights_are_where_training_starts(tmp_path, original):
    still = recipe(learning_rate=1e-9, weight_decay=0.0)
    weights, _ = trained(tmp_path / "a", recipe=still, initial=original)
    assert float(np.abs(weights["stem.weight"].numpy() - original["stem.weight"]).max()) < 1e-6
    fresh, _ = trained(tmp_path / "b", recipe=still)
    assert float(np.abs(fresh["stem.weight"].numpy() - original["stem.weight"]).max()) > 0.01


@pytest.mark.parametrize("taught_by", ["largest", "teacher"])
def test_a_teacher_moves_every_subnet(tmp_path, original, teacher, taught_by):
    def distance(**more):
        """How far the smallest network's outputs are from the teacher's on the train part."""
        weights, _ = trained(tmp_path / str(len(list(tmp_path.iterdir()))), recipe=plan, **more)
        supernet = Supernet(SPACE)
        supernet.load({name: tensor.numpy() for name, tensor in weights.items()})
        x = digits_task().inputs("train", np.arange(60), LARGEST.input_shape)
        with torch.no_grad():
            outputs = supernet(x, supernet.largest)
            return float(digits_task().distillation_loss((outputs,), (teacher.network(x),)))

    plan = recipe(epochs=4, teacher_weight=3.0, taught_by=taught_by)
    assert distance(teacher=teacher) < distance()


def test_the_subnets_learn_from_whom_the_recipe_names(tmp_path, teacher):
    largest, _ = trained(tmp_path / "a", teacher=teacher, recipe=recipe(taught_by="largest"))
    by_teacher, _ = trained(tmp_path / "b", teacher=teacher)
    without, _ = trained(tmp_path / "c", teacher=teacher, recipe=recipe(teacher_weight=0.0, taught_by="largest"))
    plain, _ = trained(tmp_path / "d")
    assert not torch.equal(largest["stem.weight"], by_teacher["stem.weight"])
    assert all(torch.equal(without[name], plain[name]) for name in plain)


def test_a_teacher_reads_its_own_image_size(teacher):
    x = torch.rand(3, 1, 12, 12)
    (out,) = teacher.outputs(x, digits_task())
    assert out.shape == (3, 10)
    assert not out.requires_grad


def test_a_single_network_learns_from_a_teacher(original, teacher):
    small = SPACE.graph(Supernet(SPACE).smallest)
    plan = recipe(epochs=3, teacher_weight=5.0)
    x = digits_task().inputs("train", np.arange(60), LARGEST.input_shape)
    taught, plain = (train_network(small, digits_task(), plan, teacher=who) for who in (teacher, None))
    with torch.no_grad():
        far = [float(digits_task().distillation_loss((n(x),), (teacher.network(x),))) for n in (taught, plain)]
    assert far[0] < far[1]


def test_recipes_of_earlier_runs_read_as_before():
    plain = recipe().as_dict()
    assert "teacher_weight" not in plain
    assert "taught_by" not in plain
    assert recipe(teacher_weight=0.5).as_dict()["teacher_weight"] == 0.5
    assert recipe(taught_by="largest").as_dict()["taught_by"] == "largest"
    for wrong in {"taught_by": "me"}, {"teacher_weight": -1.0}:
        with pytest.raises(EvaluatorError, match=next(iter(wrong))):
            Recipe(1, 1, **wrong)


def test_settings_of_evaluators_tell_the_start(original, teacher):
    task = digits_task()
    for kind in (SupernetEvaluator, TrainEvaluator):
        plain = kind(SPACE, task, recipe()).settings
        begun = kind(SPACE, task, recipe(), initial=original, teacher=teacher).settings
        assert set(begun) - set(plain) == {"weights", "teacher"}
        assert begun["teacher"] == teacher.digest
        assert begun["weights"] == make_evaluator("train", SPACE, task, initial=original).settings["weights"]
        other = {**original, "stem.weight": original["stem.weight"] * 2}
        assert begun["weights"] != kind(SPACE, task, recipe(), initial=other).settings["weights"]


def test_copies_for_workers_leave_the_initial_weights_here(original, teacher):
    evaluator = SupernetEvaluator(SPACE, digits_task(), recipe(), initial=original, teacher=teacher)
    copy = pickle.loads(pickle.dumps(evaluator))
    assert copy.settings == evaluator.settings
    assert len(pickle.dumps(copy)) < len(pickle.dumps(SupernetEvaluator(SPACE, digits_task(), recipe()))) + 1000


def test_every_network_is_trained_from_the_initial_weights(tmp_path, original, teacher):
    still = recipe(epochs=1, learning_rate=1e-9, weight_decay=0.0)
    evaluator = TrainEvaluator(SPACE, digits_task(), still, initial=original, teacher=teacher)
    evaluator.prepare(tmp_path)
    arch = SPACE.sample(1, np.random.default_rng(0))[0]
    weights = evaluator.trained_weights(arch)
    np.testing.assert_allclose(weights["stem.weight"], original["stem.weight"], atol=1e-6)
    again = TrainEvaluator(SPACE, digits_task(), still, initial=random_weights(LARGEST))
    again.prepare(tmp_path)
    with pytest.raises(EvaluatorError, match="belongs to start"):
        again.trained_weights(arch)


class Seen(torch.nn.Module):
    """A teacher that keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(x)
        return torch.zeros(len(x), 10)


@pytest.mark.parametrize("small_first", [0.0, 0.5])
def test_a_teacher_sees_images_at_its_own_size_whatever_its_pupil_reads(small_first):
    space = make_space("resnet", image_channels=1, image_size=8)
    pupil = resized(expand(trained_graph(space.graph(space.reference()))), (1, 6, 6))
    own, seen = digits_task(), Seen()
    settings = recipe(small_first=small_first, shift=0.0)
    train_network(pupil, own, settings, teacher=Teacher(seen, "seen", (1, 8, 8)))
    assert len(seen.batches) == 6
    originals = {image.numpy().tobytes() for image in own.inputs("train", np.arange(own.size("train")), (1, 8, 8))}
    for batch in seen.batches:
        assert batch.shape[1:] == (1, 8, 8)
        assert all(image.contiguous().numpy().tobytes() in originals for image in batch)


def test_networks_of_a_supernet_see_images_that_were_not_enlarged_and_reduced_again(monkeypatch):
    space = make_space("mobilenetv3", image_channels=1, resolution=[8, 16], width=[0.25])
    own, seen = digits_task(), {8: [], 16: []}
    forward = Supernet.forward

    def kept(self, x, arch):
        seen[x.shape[-1]].append(x)
        return forward(self, x, arch)

    monkeypatch.setattr(Supernet, "forward", kept)
    train_supernet(Supernet(space), own, recipe(epochs=1, shift=0.0))
    originals = {image.numpy().tobytes() for image in own.inputs("train", np.arange(own.size("train")), (1, 8, 8))}
    assert seen[8]
    assert seen[16]
    for batch in seen[8]:
        assert all(image.contiguous().numpy().tobytes() in originals for image in batch)


def test_the_last_bits_of_a_start_do_not_make_another_training(tmp_path, original):
    def finished(start, digest):
        evaluator = TrainEvaluator(SPACE, digits_task(), recipe(), start=lambda arch: start, start_digest=digest)
        evaluator.prepare(tmp_path)
        return evaluator.trained_weights(Supernet(SPACE).largest)

    first = finished(original, "shared weights")
    other_processor = {name: np.nextafter(array, np.float32(9)) for name, array in original.items()}
    again = finished(other_processor, "shared weights")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    with pytest.raises(EvaluatorError, match="belongs to start"):
        finished(original, "others")
