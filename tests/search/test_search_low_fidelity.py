"""Low-fidelity evaluations: they inform models, count for nothing else, and resume as any trial does."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from search_toys import score, toy_problem

from search import Problem, RestoreError, Study, Trial, make_strategy
from search.models import GaussianProcess, Inputs, TwoFidelityModel

PROBLEM = replace(toy_problem(upper=None), low_fidelity=True)


def distorted(codes) -> float:
    """The low-fidelity value of the toy's score."""
    return 0.5 * float(score(np.array([codes]))[0]) - 1.0 + 0.02 * codes[0]


def study_of(name="lamoo-cheap", problem: Problem = PROBLEM, seed=1) -> Study:
    return Study(problem, make_strategy(name), seed=seed, initial=6, batch=3)


def tell(study: Study, proposal) -> None:
    value = distorted(proposal.codes) if proposal.low_fidelity else float(score(np.array([proposal.codes]))[0])
    study.tell(proposal.number, {"score": value})


def run(study: Study, full: int) -> Study:
    while sum(not trial.low_fidelity for trial in study.trials) < full and (proposals := study.ask()):
        for proposal in proposals:
            tell(study, proposal)
    return study


def test_low_fidelity_trials_come_first_and_count_for_nothing_else():
    study = run(study_of(), 24)
    low = [trial for trial in study.trials if trial.low_fidelity]
    full = [trial for trial in study.trials if not trial.low_fidelity]
    assert not any(trial.low_fidelity for trial in study.trials[:6])
    assert 24 <= len(low) <= 2 * len(full)
    for kind in (low, full):
        assert len({trial.codes for trial in kind}) == len(kind)
    assert all(trial.values["score"] == pytest.approx(distorted(trial.codes)) for trial in low)
    context = study.context()
    assert [trial.number for trial in context.successful] == [trial.number for trial in full]
    assert not any(trial.low_fidelity for trial in study.front())
    assert {trial.codes for trial in full} & {trial.codes for trial in low}


def test_a_random_design_at_low_fidelity_comes_before_the_first_proposal():
    study = Study(PROBLEM, make_strategy("lamoo-low-fidelity"), seed=1, initial=2, batch=3)
    run(study, 11)
    kinds = [trial.low_fidelity for trial in study.trials]
    assert kinds[:32] == [False] * 2 + [True] * 30
    full = len(kinds) - sum(kinds)
    assert 30 + 2 * (full - 3) <= sum(kinds) <= 30 + 2 * full + 3
    assert len({trial.codes for trial in study.trials if trial.low_fidelity}) == sum(kinds)
    state = json.loads(json.dumps({**study.state(), "trials": [trial.to_json() for trial in study.trials[:20]]}))
    again = Study.from_state(PROBLEM, make_strategy("lamoo-low-fidelity"), state)
    assert run(again, 11).trials == study.trials


def test_a_design_of_more_architectures_than_there_are_takes_all_that_are_left():
    study = Study(PROBLEM, make_strategy("lamoo", low_fidelity_design=10_000), seed=1, initial=2, batch=3)
    run(study, 5)
    low = {trial.codes for trial in study.trials if trial.low_fidelity}
    assert len(low) == len(study.context().candidates.codes) - 2


@pytest.mark.parametrize("name", ["lamoo", "nsga2"])
def test_strategies_that_do_not_ask_for_low_fidelity_get_none(name):
    assert not any(trial.low_fidelity for trial in run(study_of(name), 18).trials)


def test_without_low_fidelity_evaluations_the_strategy_decides_alone():
    plain, low = (
        run(study_of("lamoo", toy_problem(upper=None)), 18),
        run(study_of(problem=toy_problem(upper=None)), 18),
    )
    assert plain.trials == low.trials


def test_a_study_with_low_fidelity_trials_resumes_anywhere():
    whole = run(study_of(), 18)
    for cut in range(0, len(whole.trials), 5):
        state = json.loads(json.dumps({**whole.state(), "trials": [t.to_json() for t in whole.trials[:cut]]}))
        again = run(Study.from_state(PROBLEM, make_strategy("lamoo-cheap"), state), 18)
        assert again.trials == whole.trials


def test_a_low_fidelity_trial_is_not_taken_for_a_full_one():
    whole = run(study_of(), 18)
    number = next(trial.number for trial in whole.trials if trial.low_fidelity)
    trials = [replace(trial, low_fidelity=False) if trial.number == number else trial for trial in whole.trials]
    with pytest.raises(RestoreError, match=rf"trial {number} is .* in the journal, but seed"):
        Study.restore(PROBLEM, make_strategy("lamoo-cheap"), seed=1, trials=trials, initial=6, batch=3)


def test_the_journal_marks_low_fidelity_trials_by_the_key_cheap():
    low, full = Trial(3, (0, 1), {"score": 1.0}, low_fidelity=True), Trial(4, (1, 1), {"score": 2.0})
    assert low.to_json() == {"number": 3, "codes": [0, 1], "values": {"score": 1.0}, "failed": None, "cheap": True}
    assert "cheap" not in full.to_json()
    assert [Trial.from_json(trial.to_json()) for trial in (low, full)] == [low, full]


def test_failed_low_fidelity_trials_are_not_repeated():
    study = study_of()
    while len(study.trials) < 40:
        for proposal in study.ask():
            if proposal.low_fidelity:
                study.tell(proposal.number, failed="diverged")
            else:
                tell(study, proposal)
    low = [trial.codes for trial in study.trials if trial.low_fidelity]
    assert len(low) == len(set(low)) > 0
    assert study.context().low_fidelity_trials == ()


def test_the_model_uses_low_fidelity_targets_where_they_tell_something():
    rng = np.random.default_rng(0)
    x = rng.random((120, 6))
    truth = np.sin(4 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.7 * np.sin(9 * x[:, 3])
    inputs = Inputs(x, np.arange(120)[:, None] % 128)
    train, pool = (Inputs(x[a:b], inputs.one_hot[a:b]) for a, b in ((0, 15), (15, 120)))

    def error(model):
        posterior = model.fit(train, truth[:15]).posterior(pool)
        return float(np.sqrt(np.mean((posterior.mean - truth[15:]) ** 2))), posterior

    plain, _ = error(GaussianProcess("encodings", relevance=0.3))
    informed, posterior = error(TwoFidelityModel(GaussianProcess("encodings", relevance=0.3), inputs, 3 * truth - 5))
    noise, _ = error(TwoFidelityModel(GaussianProcess("encodings", relevance=0.3), inputs, rng.random(120)))
    assert informed < 0.3 * plain
    assert noise < 1.3 * plain
    before = posterior.std.copy()
    posterior.condition(3)
    assert posterior.std[3] < before[3]


def test_without_a_low_fidelity_evaluation_its_model_adds_uncertainty():
    rng = np.random.default_rng(1)
    x = rng.random((60, 2))
    keys = np.arange(60)[:, None]
    truth = np.sin(5 * x[:, 0]) + x[:, 1]
    half = Inputs(x[:30], keys[:30])
    model = TwoFidelityModel(GaussianProcess("encodings", relevance=0.3), half, 2 * truth[:30])
    posterior = model.fit(Inputs(x[:20], keys[:20]), truth[:20]).posterior(Inputs(x, keys))
    assert posterior.std[20:30].mean() < posterior.std[30:].mean()
