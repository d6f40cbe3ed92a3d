"""Training of a shared network and a distribution together: what is split, counted, recorded, and continued."""

import json

import numpy as np
import pytest
import torch
from made_tables import made_table

from hwnas._errors import EvaluatorError
from hwnas.data import load_data
from hwnas.oneshot import Aim, ExpectedCost, OneShotMethod, TrainingSettings, make_method, read_training, train_one_shot
from hwnas.oneshot._record import entropy
from hwnas.oneshot._training import _split, on_cpu
from hwnas.tasks import ImageClassification
from hwnas.testing._oneshot import KnownSpace
from hwnas.training import Supernet, default_recipe
from hwnas.training._checkpoint import content_digest, load_checkpoint

torch.set_num_threads(1)
DATA = load_data("digits", limit=80)


def recipe_of(epochs):
    return default_recipe(ImageClassification(DATA), epochs=epochs, batch_size=16)


RECIPE = recipe_of(3)
SPACE = KnownSpace()


@pytest.fixture(scope="module")
def task():
    return ImageClassification(DATA)


@pytest.fixture(scope="module")
def aim():
    return Aim(ExpectedCost(SPACE, made_table(SPACE, None)), 0.2, is_budget=True, digest="made")


class Stopped(Exception):
    """The process is killed."""


def trained(task, aim, folder, *, method="dmasking", stop=None, options=None, recipe=RECIPE):
    """Train in a folder; stop after so many steps of the weights."""

    def progress(done, total, line):
        if done == stop:
            raise Stopped

    made = make_method(method, SPACE, epochs=recipe.epochs, **(options or {})) if isinstance(method, str) else method
    settings = TrainingSettings(options or {}, seed=3, bn_statistics=16)
    supernet = Supernet(SPACE, seed=3)
    record = train_one_shot(made, supernet, task, recipe, settings, aim=aim, folder=folder, progress=progress)
    return record, supernet, made


def learned(folder):
    """Everything of a checkpoint that does not depend on the clock."""
    state = load_checkpoint(folder / "supernet.pt", {}, whole=False)
    state["companion"]["record"].pop("seconds")
    return content_digest(state)


@pytest.mark.parametrize("method", ["dmasking", "pvnas"])
def test_a_training_that_was_cut_ends_with_the_same_bits(task, aim, tmp_path, method):
    whole, *_ = trained(task, aim, tmp_path / "whole", method=method)
    steps = len(whole.epochs) * (whole.weight_samples // RECIPE.batch_size // RECIPE.epochs)
    for stop in (1, steps // 2 + 1, steps - 1):
        with pytest.raises(Stopped):
            trained(task, aim, tmp_path / "cut", method=method, stop=stop)
    again, *_ = trained(task, aim, tmp_path / "cut", method=method)
    assert learned(tmp_path / "cut") == learned(tmp_path / "whole")
    assert again.epochs == whole.epochs
    assert again.finished
    assert again.weight_samples == whole.weight_samples


def test_the_train_part_is_split_and_every_sample_counted(task, aim, tmp_path):
    record, *_ = trained(task, aim, None)
    rest, own = _split(task.size("train"), 0.2, 3)
    assert len(own) == round(0.2 * task.size("train"))
    assert sorted([*rest, *own]) == list(range(task.size("train")))
    assert record.weight_samples == 3 * (len(rest) // 16 * 16)
    learning = sum(make_method("dmasking", SPACE, epochs=3).learns(epoch) for epoch in range(3))
    assert record.distribution_samples == learning * len(own)  # fewer than a batch: one batch of all of them
    assert record.train_samples == record.weight_samples + record.distribution_samples
    assert record.seconds > 0


def test_the_record_follows_the_distribution(task, aim, tmp_path):
    record, _, method = trained(task, aim, tmp_path)
    last = record.epochs[-1]
    for vector, own in zip(last.probabilities, method.distribution(), strict=True):
        assert vector == pytest.approx(own.tolist())
    assert last.entropy == pytest.approx(entropy(last.probabilities))
    assert last.expected == pytest.approx(float(aim.expected(method.distribution())))
    assert record.snapshots == [last.probabilities]
    stored = read_training(tmp_path / "oneshot.json")
    assert stored == record
    assert stored.choices[0] == "width"
    assert stored.values[0] == ["8", "16"]


def test_the_record_of_one_device_has_the_form_that_earlier_versions_wrote(task, aim, tmp_path):
    trained(task, aim, tmp_path)
    body = json.loads((tmp_path / "oneshot.json").read_text())
    names = "format method options choices values cost reference is_budget counts epochs snapshots weight_samples"
    names += " distribution_samples judged_samples seconds finished content_hash"
    assert list(body) == names.split()
    assert body["format"] == 1
    assert list(body["epochs"][0]) == ["probabilities", "entropy", "expected", "value"]


def test_a_record_that_was_changed_is_refused(task, aim, tmp_path):
    trained(task, None, tmp_path)
    path = tmp_path / "oneshot.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "weight_samples": 1}))
    with pytest.raises(EvaluatorError, match="was changed after it was written"):
        read_training(path)
    body["snapshots"][0][0] = [0.5]
    path.write_text(json.dumps(body))
    with pytest.raises(EvaluatorError, match="is missing or damaged"):
        read_training(path)


def test_entropy_is_a_share_of_the_largest():
    assert entropy([[0.25] * 4, [1.0, 0.0], [1.0]]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"options": {"tau": 2.0}}, "belongs to method"),
        ({"recipe": recipe_of(4)}, "belongs to recipe"),
        ({"method": "pvnas"}, "belongs to method"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(task, aim, tmp_path, change, line):
    with pytest.raises(Stopped):
        trained(task, aim, tmp_path, stop=1)
    with pytest.raises(EvaluatorError, match=line):
        trained(task, aim, tmp_path, **change)


def test_a_budget_makes_the_distribution_cheaper(task, aim):
    """A learning rate that moves far, and a loss that is all cost."""
    options = {"lr": 0.5, "excess": 20.0}
    plain, *_ = trained(task, None, None, options=options)
    cheap, *_ = trained(task, aim, None, options=options)
    assert plain.epochs[-1].expected is None
    free = [torch.tensor(vector, dtype=torch.float64) for vector in plain.epochs[-1].probabilities]
    assert cheap.epochs[-1].expected < float(aim.expected(free))


class Single(OneShotMethod):
    """Draws one network an epoch, learns jointly, and has it judged."""

    name, share = "single", 0.0

    def __init__(self, space, *, epochs, joint):
        super().__init__(space, epochs=epochs)
        self.joint, self.values, self.losses = joint, [], []
        self.logits = [torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in space.cardinalities]

    def distribution(self):
        return [vector.detach().softmax(0) for vector in self.logits]

    def draw(self, rng):
        if self.joint:
            return [vector.softmax(0) for vector in self.logits]
        return [torch.eye(len(vector), dtype=torch.float64)[-1] for vector in self.logits]

    def learns(self, epoch):
        return self.joint

    def step(self, loss, cost, progress):
        assert 0 <= progress < 1
        self.losses.append((float(loss.detach()), torch.autograd.grad(loss, self.logits)))

    def judged(self):
        return self.space.decode(np.array([n - 1 for n in self.space.cardinalities]))

    def end_epoch(self, epoch, value, rng):
        self.values.append(value)

    def state(self):
        return {}

    def load_state(self, state):
        pass


def test_networks_are_judged_on_the_validation_part(task):
    record, _, method = trained(task, None, None, method=Single(SPACE, epochs=3, joint=False))
    assert len(method.values) == 3
    assert [epoch.value for epoch in record.epochs] == method.values
    right = method.values[-1] * task.size("validation")
    assert right == pytest.approx(round(right))
    assert record.judged_samples == 3 * task.size("validation")
    assert method.losses == []


def test_weights_and_distribution_learn_from_one_pass_where_there_is_no_share(task):
    """The loss that the method gets has the gradient of the network's loss; the weights moved too."""
    record, supernet, method = trained(task, None, None, method=Single(SPACE, epochs=3, joint=True))
    assert record.distribution_samples == 0
    assert len(method.losses) == 3 * (task.size("train") // 16)
    assert all(gradient.abs().max() > 0 for gradient in method.losses[0][1])
    before = Supernet(SPACE, seed=3).shared()
    assert any(not torch.equal(before[name], tensor) for name, tensor in supernet.shared().items())


class Elsewhere(torch.Tensor):
    """A tensor that is on another device until it is asked for on the CPU."""

    def cpu(self):
        return torch.Tensor.cpu(self).as_subclass(torch.Tensor)


def test_a_state_that_was_loaded_onto_another_device_comes_back_to_the_cpu():
    def away(numbers):
        return torch.tensor(numbers).as_subclass(Elsewhere)

    state = {"method": {"alpha": [away([1.0]), (away([2.0]), 3)], "optimizer": {0: {"buffer": away([4.0])}}, "n": 5}}
    found = on_cpu(state)
    one, two, four = (torch.tensor([number]) for number in (1.0, 2.0, 4.0))
    assert found == {"method": {"alpha": [one, (two, 3)], "optimizer": {0: {"buffer": four}}, "n": 5}}
    first, (second, _) = found["method"]["alpha"]
    assert {type(each) for each in (first, second, found["method"]["optimizer"][0]["buffer"])} == {torch.Tensor}
