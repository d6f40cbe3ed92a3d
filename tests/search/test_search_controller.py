"""The recurrent policy, its training, its rewards, and what the strategy makes of them."""

import numpy as np
import pytest
from search_toys import advance, evaluate, large_problem, price, score, toy_problem

from hwnas.testing._problems import estimated_problem, evaluate_estimated
from search import Advisor, Domain, Objective, Problem, Study, Trial, hypervolume, make_strategy
from search._threads import seeded_torch
from search.strategies import _controller
from search.strategies._rewards import draw_weights, improvements, ranked_advantages, weighted_rewards

torch = pytest.importorskip("torch")

from search.policy._lstm import LSTMPolicy  # noqa: E402
from search.policy._ppo import PPO, Episodes  # noqa: E402

CARDS = (3, 1, 4, 2)


def policy_of(cards=CARDS, preferences=2, seed=0):
    torch.manual_seed(seed)
    return LSTMPolicy(cards, preferences, 16)


def trained_policy():
    policy = policy_of()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return policy


def test_the_first_policy_is_uniform():
    every = policy_of()(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 2, dtype=torch.double))[0].exp()
    for t, card in enumerate(CARDS):
        assert torch.allclose(every[t, :card], torch.full((card,), 1.0 / card, dtype=torch.double))
        assert every[t, card:].sum() == 0


def test_draws_follow_the_probabilities_that_the_policy_states():
    policy, rng = trained_policy(), np.random.default_rng(0)
    rows = policy.sample(np.tile([[0.6, 0.8]], (4000, 1)), rng.random((4000, 4)), 1.0)
    assert (rows < CARDS).all()
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    preferences = torch.tensor([[0.6, 0.8]], dtype=torch.double).repeat(len(distinct), 1)
    codes = torch.as_tensor(distinct)
    stated = policy(codes, preferences).gather(2, codes[:, :, None])[:, :, 0].sum(dim=1).exp().detach().numpy()
    assert np.abs(counts / 4000 - stated).max() < 0.03
    assert stated.max() > 2 / 24  # not uniform


def test_a_choice_sees_the_choices_before_it_and_no_later_one():
    policy = trained_policy()
    wanted = torch.ones(1, 2, dtype=torch.double)
    first = policy(torch.tensor([[0, 0, 1, 0]]), wanted)
    other = policy(torch.tensor([[0, 0, 2, 1]]), wanted)
    assert torch.equal(first[:, :3], other[:, :3])
    assert not torch.allclose(first[:, 3, :2], other[:, 3, :2])
    assert not torch.allclose(first, policy(torch.tensor([[0, 0, 1, 0]]), 2 * wanted))


def test_a_high_temperature_makes_draws_diverse():
    policy, uniforms = trained_policy(), np.random.default_rng(0).random((500, 4))
    wanted = np.ones((500, 2))
    shares = [np.unique(policy.sample(wanted, uniforms, t), axis=0, return_counts=True)[1].max() for t in (0.3, 1, 9)]
    assert shares[0] > shares[1] > shares[2]


def test_ppo_raises_the_mean_reward_of_its_draws():
    """Reward: the number of choices with value 1; uniform draws have a third of 8."""
    learner, rng = PPO(policy_of((3,) * 8, 1), 0.02, 0.2, 0.01, 4), np.random.default_rng(0)
    wanted, means = np.zeros((32, 1)), []
    for _ in range(40):
        rows = learner.policy.sample(wanted, rng.random((32, 8)), 1.0)
        rewards = (rows == 1).sum(axis=1).astype(float)
        means.append(rewards.mean())
        learner.update(Episodes(rows, wanted, ranked_advantages(rewards, 1.0)))
    assert np.mean(means[:3]) < 4
    assert np.mean(means[-3:]) > 6.5


def test_one_policy_serves_different_preferences():
    """By the first preference value 0 is good, by the second value 2."""
    learner, rng = PPO(policy_of((3,) * 4, 2), 0.02, 0.2, 0.01, 4), np.random.default_rng(0)
    for _ in range(60):
        wanted = np.eye(2)[rng.integers(2, size=32)]
        rows = learner.policy.sample(wanted, rng.random((32, 4)), 1.0)
        good = np.where(wanted[:, :1] == 1, rows == 0, rows == 2).sum(axis=1)
        learner.update(Episodes(rows, wanted, ranked_advantages(good.astype(float), 1.0)))
    for preference, value in ((0, 0), (1, 2)):
        rows = learner.policy.sample(np.tile(np.eye(2)[preference], (64, 1)), rng.random((64, 4)), 1.0)
        assert (rows == value).mean() > 0.7


def test_a_step_is_clipped():
    policy = policy_of((3,) * 4, 1)
    learner = PPO(policy, 0.5, 0.2, 0.0, 50)
    learner.update(Episodes(np.ones((1, 4), dtype=np.int64), np.zeros((1, 1)), np.array([1.0])))
    codes = torch.ones(1, 4, dtype=torch.int64)
    now = policy(codes, torch.zeros(1, 1, dtype=torch.double)).gather(2, codes[:, :, None]).exp()
    unclipped = PPO(policy_of((3,) * 4, 1), 0.5, 1e9, 0.0, 50)
    unclipped.update(Episodes(np.ones((1, 4), dtype=np.int64), np.zeros((1, 1)), np.array([1.0])))
    free = unclipped.policy(codes, torch.zeros(1, 1, dtype=torch.double)).gather(2, codes[:, :, None]).exp()
    assert 1 / 3 < now.min() < free.min()


def test_the_best_by_random_weights_give_the_hypervolume():
    """In two dimensions the area is pi / 4 times the mean of the best rewards' squares."""
    rng = np.random.default_rng(0)
    points, reference = rng.random((9, 2)), np.array([-0.1, -0.1])
    weights = draw_weights(200_000, 2, rng)
    area = np.pi / 4 * np.mean(weighted_rewards(points, weights, reference).max(axis=1) ** 2)
    assert area == pytest.approx(hypervolume(points, reference), rel=0.02)


def test_improvements_count_earlier_batches_alone():
    points = np.array([[0.5, 0.5], [0.6, 0.6], [0.5, 0.5], [0.6, 0.7]])
    gains = improvements(points, np.array([0, 0, 1, 1]), np.zeros(2))
    assert gains == pytest.approx([0.25, 0.36, 0.0, 0.06])


def test_advantages_depend_on_ranks_alone():
    rewards = np.array([[3.0, 1.0, 2.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    advantages = ranked_advantages(rewards, 2.0)
    assert np.array_equal(advantages, ranked_advantages(np.exp(rewards), 2.0))
    assert advantages[0].mean() == pytest.approx(0.0)
    assert advantages[0].std() == pytest.approx(1.0)
    assert advantages[0, 0] > advantages[0, 2] == advantages[0, 3] > advantages[0, 1]
    assert np.array_equal(advantages[1], np.zeros(4))


def told_of(proposal, noisy):
    """What is told of a proposal, and with which deviations: measurements of an estimate have some."""
    if not noisy:
        return evaluate(proposal), {}
    values = evaluate_estimated(proposal)
    return values, {"deviations": {"price": 0.1 * values["price"]}}


def noisy_context(budget):
    """The view of a random study whose prices were told with deviations."""
    study = Study(estimated_problem(), make_strategy("random"), seed=3)
    while len(study.trials) < budget:
        for proposal in study.ask():
            values, more = told_of(proposal, noisy=True)
            study.tell(proposal.number, values, **more)
    return study.context()


@pytest.mark.parametrize("reward", ["weights", "hypervolume"])
@pytest.mark.parametrize("noisy", [False, True])
def test_what_the_controller_keeps_changes_no_proposal(monkeypatch, reward, noisy):
    """With deviations the policy is trained anew on the latest updates: on fewer than there are from 20 trials on."""
    monkeypatch.setattr(_controller, "_MOST_UPDATES", 2)

    def searched(keep):
        study = Study(estimated_problem() if noisy else toy_problem(), controller(), seed=3)
        while len(study.trials) < 40 and (proposals := study.ask()):
            study.strategy = study.strategy if keep else controller()
            for proposal in proposals:
                values, more = told_of(proposal, noisy)
                study.tell(proposal.number, values, **more)
        return study.trials

    def controller():
        return make_strategy("controller", reward=reward, epochs=2, replay=16)

    kept = searched(keep=True)
    assert len(kept) == 40
    assert kept == searched(keep=False)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_work_of_a_proposal_does_not_grow_with_the_trials(monkeypatch, noisy):
    """Exact values: one update for each batch, once. Values that change: the latest updates for each proposal."""
    monkeypatch.setattr(_controller, "_MOST_UPDATES", 3)
    counts = []
    monkeypatch.setattr(PPO, "update", lambda self, episodes: counts.append(len(episodes.codes)))
    study, each = Study(estimated_problem() if noisy else toy_problem(), make_strategy("controller"), seed=3), []
    while len(study.trials) < 45:
        before = len(counts)
        for proposal in study.ask():
            values, more = told_of(proposal, noisy)
            study.tell(proposal.number, values, **more)
        each.append(len(counts) - before)
    assert each == ([0, 1, 2, 3, 3, 3, 3, 3] if noisy else [0, 1, 1, 1, 1, 1, 1, 1])


def test_changing_values_leave_the_latest_trials_to_train_on():
    context = noisy_context(40)
    assert not np.array_equal(context.values, context.told)
    strategy = make_strategy("controller", replay=0, epochs=1)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_controller, "_MOST_UPDATES", 2)
        patch.setattr(PPO, "update", lambda self, episodes: seen.append(episodes.codes))
        strategy.propose(context, 3, np.random.default_rng(0))
    latest = context.codes[context.batches >= context.batches[-1] - 1]
    assert np.array_equal(np.concatenate(seen), latest)


def test_added_volumes_are_computed_once_for_each_proposal(monkeypatch):
    calls = []

    def counted(points, batches, reference):
        calls.append(len(points))
        return improvements(points, batches, reference)

    monkeypatch.setattr(_controller, "improvements", counted)
    context = advance(Study(toy_problem(), make_strategy("random"), seed=3), 40).context()
    make_strategy("controller", epochs=1).propose(context, 3, np.random.default_rng(0))
    assert calls == []
    make_strategy("controller", reward="hypervolume", epochs=1).propose(context, 3, np.random.default_rng(0))
    assert calls == [len(context.points)]


def test_a_long_batch_makes_several_updates():
    batches = np.repeat([0, 1, 2], [10, 5, 80])
    updates = _controller._updates(batches)
    assert [(u.first, u.last) for u in updates] == [(0, 10), (10, 15), (15, 47), (47, 79), (79, 95)]
    assert len({np.random.default_rng(u.seed).random() for u in updates}) == 5
    # the first update of a batch has the random numbers of the batch's index
    assert np.random.default_rng(updates[1].seed).random() == np.random.default_rng(1).random()
    assert len(_controller._updates(np.repeat([0, 1], [10, 10_000]))) == 1 + _controller._MOST_UPDATES


def test_an_advisor_trains_the_controller_on_all_its_trials(monkeypatch):
    """All trials but the first ones are in one batch."""
    seen = []
    monkeypatch.setattr(PPO, "update", lambda self, episodes: seen.append(len(episodes.codes)))
    rows = toy_problem(upper=None).domain.enumerate()[:80]
    points = np.stack([score(rows), price(rows)], axis=1).tolist()
    trials = [
        Trial(i, tuple(row), {"score": y, "price": cost})
        for i, (row, (y, cost)) in enumerate(zip(rows.tolist(), points, strict=True))
    ]
    strategy = make_strategy("controller", replay=0)
    assert len(Advisor(toy_problem(upper=None)).propose(strategy, trials, 3, np.random.default_rng(0))) == 3
    assert seen == [10, 32, 32, 6]


def test_the_controller_does_not_depend_on_torch_settings():
    first = advance(Study(large_problem(), make_strategy("controller"), seed=0), 20).trials
    torch.manual_seed(99)
    torch.rand(3)
    assert advance(Study(large_problem(), make_strategy("controller"), seed=0), 20).trials == first


def test_seeded_torch_leaves_the_settings_of_torch_as_they_were():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with seeded_torch():
        first = torch.rand(3)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), first)


def test_the_controller_beats_random_search():
    """Later proposals score higher than the random design, and the front covers more than random search's."""
    gain = np.random.default_rng(1).normal(size=(8, 4))

    def score(codes):
        return float(gain[np.arange(8), list(codes)].sum())

    def study_of(strategy):
        cost = Objective("cost", "min", cost_function=lambda codes: codes.sum(axis=1).astype(float))
        study = Study(Problem(Domain((4,) * 8), (Objective("y", "max"), cost)), strategy, seed=0)
        while len(study.trials) < 150:
            for proposal in study.ask():
                study.tell(proposal.number, {"y": score(proposal.codes)})
        return study

    ours = study_of(make_strategy("controller"))
    values = [trial.values["y"] for trial in ours.trials]
    assert np.mean(values[-40:]) > np.mean(values[:10]) + 1.0
    assert ours.context().hypervolume > study_of(make_strategy("random")).context().hypervolume
