"""`DASH`: what it draws, where it goes, what a cost does to it, and that it continues bit for bit."""

import numpy as np
import pytest
import torch
from oneshot_toys import space_named

from hwnas.oneshot._dash import DASH


def method_of(**options):
    return DASH(space_named("stairs"), epochs=4, **options)


def badness(method, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.permutation(len(vector)).astype(float)) for vector in method.distribution()]


def train(method, steps, rng, factor=1.0, cost=None):
    bad = badness(method)
    for step in range(steps):
        loss = factor * sum((c * b).sum() for c, b in zip(method.draw(rng), bad, strict=True))
        method.step(loss, None if cost is None else cost(method.priced()), step / steps)


def test_a_draw_is_a_gumbel_softmax():
    method = method_of(temperature=0.2)
    alpha = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    state = method.state()
    state["alpha"][0] = alpha
    method.load_state(state)
    rng = np.random.default_rng(0)
    draws = torch.stack([method.draw(rng)[0].detach() for _ in range(1500)])
    torch.testing.assert_close(draws.sum(1), torch.ones(1500, dtype=torch.float64))
    largest = torch.bincount(draws.argmax(1), minlength=3) / 1500
    torch.testing.assert_close(largest.double(), alpha.softmax(0), atol=0.05, rtol=0)
    torch.testing.assert_close(method.distribution()[0], alpha.softmax(0))


def test_alpha_starts_near_0_and_not_at_0():
    method = method_of()
    method.begin_epoch(0, np.random.default_rng(0))
    start = torch.cat(method.state()["alpha"])
    assert 1e-4 < start.abs().max() < 1e-2
    method.begin_epoch(1, np.random.default_rng(1))
    assert torch.equal(torch.cat(method.state()["alpha"]), start)


def test_the_most_probable_values_become_those_of_the_least_loss():
    method = method_of()
    train(method, 150, np.random.default_rng(0))
    assert [int(p.argmax()) for p in method.distribution()] == [int(b.argmin()) for b in badness(method)]


def test_the_scale_of_the_loss_makes_no_difference():
    small, large = method_of(), method_of()
    train(small, 20, np.random.default_rng(0))
    train(large, 20, np.random.default_rng(0), factor=1e4)
    torch.testing.assert_close(small.state()["alpha"], large.state()["alpha"])


def width(distribution):
    """A cost of which the budget is half of the widest's: 16 channels on average."""
    return (distribution[0] * torch.tensor([8.0, 16.0, 24.0], dtype=torch.float64)).sum() / 10.0


@pytest.mark.parametrize(
    ("goal", "cost", "moves"), [("budget", 1.0, True), ("budget", 0.5, False), ("weight", 0.5, True)]
)
def test_only_what_exceeds_the_budget_costs_unless_all_of_it_does(goal, cost, moves):
    plain, priced = method_of(), method_of(goal=goal, latency_weight=3.0)
    train(plain, 30, np.random.default_rng(0))
    train(priced, 30, np.random.default_rng(0), cost=lambda own: cost * width(own))
    a, b = plain.distribution()[0], priced.distribution()[0]
    assert (float(width([b])) < float(width([a])) - 0.02) is moves
    torch.testing.assert_close(plain.distribution()[1:], priced.distribution()[1:])


def test_an_interrupted_training_continues_bit_for_bit():
    whole, rng = method_of(), np.random.default_rng(3)
    whole.begin_epoch(0, rng)
    train(whole, 7, rng)
    again = method_of()
    again.load_state(whole.state())
    place = rng.bit_generator.state
    train(whole, 7, rng)
    rng.bit_generator.state = place
    train(again, 7, rng)
    assert all(torch.equal(a, b) for a, b in zip(whole.distribution(), again.distribution(), strict=True))


def test_the_learning_rate_falls_after_30_60_and_80_percent():
    def moved(progress):
        method = method_of()
        method.step(method.draw(np.random.default_rng(0))[0][0], None, progress)
        return float(method.state()["alpha"][0].norm())

    early = moved(0.0)
    ratios = [moved(progress) / early for progress in (0.29, 0.3, 0.6, 0.8)]
    assert ratios == pytest.approx([1, 0.2, 0.04, 0.008])
