"""Every one-shot method keeps the contract; what is special to single ones."""

import math

import numpy as np
import pytest
import torch

from hwnas.oneshot import METHODS, OneShotMethod, make_method
from hwnas.oneshot._dmasking import DMasking
from hwnas.testing import check_one_shot_method
from hwnas.testing._oneshot import ONE_SHOT_CHECKS, KnownSpace, check_learning

SPACE = KnownSpace()


@pytest.mark.parametrize("check", ONE_SHOT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_each_method_keeps_the_contract(name, check):
    check(lambda space, epochs: make_method(name, space, epochs=epochs))


class Lazy(OneShotMethod):
    """Learns nothing."""

    name, share = "lazy", 0.5

    def distribution(self):
        return [torch.full((n,), 1 / n, dtype=torch.float64) for n in self.space.cardinalities]

    def draw(self, rng):
        return self.distribution()

    def learns(self, epoch):
        return False

    def step(self, loss, cost, progress):
        raise AssertionError("it does not learn")

    def state(self):
        return {}

    def load_state(self, state):
        pass


class Global(Lazy):
    def draw(self, rng):
        return [vector + 0 * torch.rand(()) for vector in self.distribution()]


def make(kind):
    return lambda space, epochs: kind(space, epochs=epochs)


def test_a_method_that_learns_nothing_is_noticed():
    with pytest.raises(AssertionError, match=r"one-shot method lazy: the expected loss must fall below 0.8"):
        check_learning(make(Lazy))


def test_torchs_own_generator_is_noticed():
    with pytest.raises(AssertionError, match=r"not from torch's own"):
        check_one_shot_method(make(Global))


def test_temperatures_of_dmasking_fall_as_far_in_short_trainings():
    method = make_method("dmasking", SPACE, epochs=9)
    method.begin_epoch(0, np.random.default_rng(0))
    assert method._temperature == 5.0
    method.begin_epoch(8, np.random.default_rng(0))
    assert method._temperature == pytest.approx(5 * 0.956**80)


@pytest.mark.parametrize("goal", ["budget", "weight"])
def test_the_loss_of_dmasking_is_a_product_with_the_cost(goal):
    """Published: alpha log(cost)^beta. Towards a budget: nothing within it, and more than that over it."""
    method, seen = DMasking(SPACE, epochs=3, goal=goal), []
    method._logits.step = lambda total: seen.append(float(total))
    for cost in (1.0, 2.0, 0.5):
        method.step(torch.tensor(3.0), torch.tensor(cost), 0.0)
    at, over, within = (0.6 * (10 + math.log(cost)) ** 0.6 for cost in (1.0, 2.0, 0.5))
    expected = [at, over, within] if goal == "weight" else [at, 2 * over, at]
    assert seen == pytest.approx(expected)


def test_pvnas_keeps_one_distribution_a_cycle_the_last_one_first():
    method = make_method("pvnas", SPACE, epochs=7, cycles=3)
    ends, kept = [], []
    for epoch in range(7):
        method.begin_epoch(epoch, np.random.default_rng(epoch))
        with torch.no_grad():
            method._logits.vectors[0][0] = epoch
        method.end_epoch(epoch, None, np.random.default_rng(0))
        if len(method._kept) > len(kept):
            ends.append(epoch)
            kept.append(method.distribution())
    assert ends == [2, 4, 6]
    for own, first in zip(method.snapshots(), reversed(kept), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(own, first, strict=True))
