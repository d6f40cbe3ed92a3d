"""One training for several devices: a distribution each on shared weights, or one for all of them."""

import pytest
import torch
from made_tables import made_table

from hwnas._errors import EvaluatorError
from hwnas.data import load_data
from hwnas.oneshot import (
    METHODS,
    Aim,
    ExpectedCost,
    TrainingSettings,
    load_trained,
    make_method,
    read_training,
    tell_devices_apart,
    train_one_shot,
)
from hwnas.oneshot._members import DISTRIBUTIONS, WEIGHTS, Members
from hwnas.tasks import ImageClassification
from hwnas.testing._oneshot import KnownSpace
from hwnas.training import Supernet, default_recipe
from hwnas.training._checkpoint import content_digest, load_checkpoint

torch.set_num_threads(1)
SPACE = KnownSpace()
TASK = ImageClassification(load_data("digits", limit=80))
RECIPE = default_recipe(TASK, epochs=3, batch_size=16)
EXPECTED = {name: ExpectedCost(SPACE, made_table(SPACE, None, seed)) for seed, name in enumerate(("phone", "board"))}
MEANS = {name: float(own([torch.full((n,), 1 / n) for n in SPACE.cardinalities])) for name, own in EXPECTED.items()}
EACH = [name for name in METHODS if name != "ddpnas"]


def aims_of(phone=0.9, board=0.6, **more):
    """Budgets as shares of what random networks cost."""
    shares = {"phone": phone, "board": board}
    return {
        name: Aim(own, shares[name] * MEANS[name], is_budget=True, digest=name, **more)
        for name, own in EXPECTED.items()
    }


class Stopped(Exception):
    """The process is killed."""


def trained(folder, *, method="dmasking", aims=None, stop=None, options=None):
    """Train for both devices in a folder; stop after so many steps of the weights."""

    def progress(done, total, line):
        if done == stop:
            raise Stopped

    aims = aims or aims_of()
    made = {name: make_method(method, SPACE, epochs=3, **(options or {})) for name in aims}
    learners = made if tell_devices_apart(made["phone"], aims) else made["phone"]
    settings = TrainingSettings(options or {}, seed=3, bn_statistics=16)
    supernet = Supernet(SPACE, seed=3)
    record = train_one_shot(learners, supernet, TASK, RECIPE, settings, aim=aims, folder=folder, progress=progress)
    return record, made


def learned(folder):
    """Everything of a checkpoint that does not depend on the clock."""
    state = load_checkpoint(folder / "supernet.pt", {}, whole=False)
    state["companion"]["record"].pop("seconds")
    return content_digest(state)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_for_several_devices_that_was_cut_ends_with_the_same_bits(tmp_path, method):
    whole, _ = trained(tmp_path / "whole", method=method)
    steps = whole.epochs_done * (whole.weight_samples // RECIPE.batch_size // RECIPE.epochs)
    for stop in (1, steps // 2 + 1, steps - 1):
        with pytest.raises(Stopped):
            trained(tmp_path / "cut", method=method, stop=stop)
    again, _ = trained(tmp_path / "cut", method=method)
    assert learned(tmp_path / "cut") == learned(tmp_path / "whole")
    assert again.devices == whole.devices
    assert again.is_shared == (method == "ddpnas")


@pytest.mark.parametrize("method", EACH)
def test_each_distribution_learns_with_its_own_prices_and_the_record_holds_both(tmp_path, method):
    aims = aims_of()
    record, made = trained(tmp_path, method=method, aims=aims)
    assert list(record.devices) == ["phone", "board"]
    assert record.epochs == record.snapshots == []
    for name, part in record.devices.items():
        last = part.epochs[-1]
        assert [own.tolist() for own in made[name].distribution()] == [pytest.approx(v) for v in last.probabilities]
        assert last.expected == pytest.approx(float(aims[name].expected(made[name].distribution())))
        assert (part.cost, part.reference, part.is_budget) == ("latency_ms", aims[name].reference, True)
        alone = record.of(name)
        assert (alone.devices, alone.epochs, alone.weight_samples) == ({}, part.epochs, record.weight_samples)
        assert alone.as_dict()["format"] == 1
    assert record.devices["phone"].epochs[-1].probabilities != record.devices["board"].epochs[-1].probabilities
    assert read_training(tmp_path / "oneshot.json") == record


def test_a_tight_budget_makes_the_distribution_of_its_device_cheaper():
    options = {"lr": 0.5, "excess": 20.0}
    costs = {}
    for name in EXPECTED:
        record, _ = trained(None, aims=aims_of(**{"phone": 2.0, "board": 2.0, name: 0.3}), options=options)
        costs[name] = {device: part.epochs[-1].expected for device, part in record.devices.items()}
    assert costs["phone"]["phone"] < costs["board"]["phone"]
    assert costs["board"]["board"] < costs["phone"]["board"]


def test_one_distribution_serves_all_where_nothing_tells_the_devices_apart():
    loose = aims_of(counts=False)
    assert not tell_devices_apart(make_method("dmasking", SPACE, epochs=3), loose)
    assert tell_devices_apart(make_method("dmasking", SPACE, epochs=3), aims_of(counts=False, budgets={"latency": 1.0}))
    assert not tell_devices_apart(make_method("ddpnas", SPACE, epochs=3), aims_of())
    record, _ = trained(None, method="ddpnas")
    assert record.is_shared
    assert record.judged_samples == 3 * TASK.size("validation")
    phone, board = record.devices.values()
    assert [epoch.probabilities for epoch in phone.epochs] == [epoch.probabilities for epoch in board.epochs]
    assert phone.epochs[-1].expected != board.epochs[-1].expected


def test_the_steps_are_shared_out_across_epochs():
    methods = {name: make_method("dmasking", SPACE, epochs=3) for name in ("a", "b", "c")}
    aim = aims_of()["phone"]
    members = Members(methods, dict.fromkeys(methods, aim))
    order = [member.method for member in members]
    taken = [order.index(members.take_turn(DISTRIBUTIONS).method) for _ in range(4)]
    assert taken == [0, 1, 2, 0]
    assert order.index(members.take_turn(WEIGHTS).method) == 0  # steps of one kind do not count for the other
    again = Members(methods, dict.fromkeys(methods, aim))
    again.load_state(members.state())
    assert order.index(again.take_turn(DISTRIBUTIONS).method) == 1


def test_every_distribution_gets_its_share_of_the_updates():
    steps = {}

    def counted(name):
        method = make_method("pvnas", SPACE, epochs=3)
        take = method.step
        method.step = lambda *given: (steps.__setitem__(name, steps.get(name, 0) + 1), take(*given))
        method.expect_steps = lambda count: steps.__setitem__(f"{name} expects", count)
        return method

    aims = aims_of()
    settings = TrainingSettings({}, seed=3, bn_statistics=16)
    train_one_shot({n: counted(n) for n in aims}, Supernet(SPACE, seed=3), TASK, RECIPE, settings, aim=aims)
    assert abs(steps["phone"] - steps["board"]) <= 1
    assert steps["phone expects"] == steps["board expects"] == -(-(steps["phone"] + steps["board"]) // 2)


def test_hard_budgets_that_hold_on_all_devices_bind_one_distribution_for_all():
    bounds = []
    method = make_method("ddpnas", SPACE, epochs=3)
    method.constrain = lambda solver, budgets: bounds.append(budgets)
    budgets = {"latency": 0.3, "params": 1e6}
    for member in Members(method, aims_of(budgets=budgets)):
        member.constrain()
    for member in Members(method, aims_of(budgets={"latency": 0.3})):
        member.constrain()
    for member in Members({"phone": method}, {"phone": aims_of(budgets=budgets)["phone"]}):
        member.constrain()
    assert bounds == [{"params": 1e6}, budgets]


def test_what_does_not_belong_together_is_refused(tmp_path):
    aims = aims_of()
    methods = {name: make_method("dmasking", SPACE, epochs=3) for name in ("phone", "pad")}
    with pytest.raises(EvaluatorError, match="devices phone, board are needed, got dmasking for phone, dmasking for p"):
        Members(methods, aims)
    with pytest.raises(EvaluatorError, match="methods of one kind"):
        Members({"phone": methods["phone"], "board": make_method("pvnas", SPACE, epochs=3)}, aims)
    with pytest.raises(Stopped):
        trained(tmp_path, stop=1)
    with pytest.raises(EvaluatorError, match="belongs to costs"):
        trained(tmp_path, aims=aims_of(board=0.5))
    one = make_method("dmasking", SPACE, epochs=3)
    with pytest.raises(EvaluatorError, match="belongs to cost None"):
        train_one_shot(
            one,
            Supernet(SPACE, seed=3),
            TASK,
            RECIPE,
            TrainingSettings({}, seed=3, bn_statistics=16),
            aim=aims["phone"],
            folder=tmp_path,
        )


def test_the_weights_of_a_finished_training_can_be_taken_whatever_it_aimed_at(tmp_path):
    recipe = default_recipe(TASK, epochs=2, batch_size=16, average=0.9)
    settings, aims = TrainingSettings({}, seed=3, bn_statistics=16), aims_of()
    methods = {name: make_method("dmasking", SPACE, epochs=2) for name in aims}
    whole, other = Supernet(SPACE, seed=3), Supernet(SPACE, seed=4)
    with pytest.raises(EvaluatorError, match="missing or unfinished; run the search for all devices again"):
        load_trained("dmasking", other, TASK, recipe, settings, tmp_path)
    train_one_shot(methods, whole, TASK, recipe, settings, aim=aims, folder=tmp_path)
    load_trained("dmasking", other, TASK, recipe, settings, tmp_path)
    own = other.shared()
    assert all(torch.equal(tensor, own[name]) for name, tensor in whole.shared().items())
    with pytest.raises(EvaluatorError, match="belongs to method"):
        load_trained("pvnas", other, TASK, recipe, settings, tmp_path)


def test_a_damaged_record_of_several_devices_is_refused(tmp_path):
    record, _ = trained(tmp_path)
    record.devices["board"].snapshots[0][0] = [0.5]
    record.write(tmp_path / "oneshot.json")
    with pytest.raises(EvaluatorError, match="is missing or damaged"):
        read_training(tmp_path / "oneshot.json")
