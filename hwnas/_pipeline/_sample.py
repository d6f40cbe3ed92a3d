"""The loop of a search: ask, measure, evaluate, journal and tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwnas._common._foreign import Foreign
from hwnas._costs._cost import LATENCY
from hwnas._pipeline._batch import Measuring, TrialTime
from hwnas._pipeline._expected import expected_latency
from hwnas._pipeline._measure_trials import TrialMeasuring
from hwnas._pipeline._overrides import require_in_bounds
from hwnas._pipeline._restore import initial_size
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._troubles import Troubles
from hwnas._runs._journal import STATISTIC, TrialRecord
from hwnas._runs._watch import Clock, Watcher
from hwnas._workers import EvaluationJob, Outcome, Workers
from hwnas._workers._effort import SampleTimes
from hwnas.evaluators import Evaluation
from hwnas.spaces import Architecture
from search import Proposal, Study

_UNMEASURED = "a network that cannot be measured"


@dataclass(frozen=True)
class _Candidate:
    """A proposal on its way to an outcome.

    Attributes:
        proposal: What the study proposed.
        arch: The architecture.
        text: The same in words.
        value: What the warm start holds for it; None where it has to be evaluated.
    """

    proposal: Proposal
    arch: Architecture
    text: str
    value: float | None


def sample(setup: SearchSetup, study: Study, watcher: Watcher, workers: Workers) -> None:
    """Ask, measure, evaluate, journal and tell until the samples are used up (cheap ones do not count) or the space is.

    The study gets the outcomes of a batch in the order of its proposals, so that nothing depends on which came first.
    """
    samples = setup.run.settings.samples
    done = sum(not trial.low_fidelity for trial in study.trials)
    if done > samples:
        watcher.line(f"the run has {done} trials already; --samples {samples} adds none")
    clock = Clock(study, samples, setup.metric, front=setup.run.settings.goal != "best")
    troubles = Troubles(any(trial.ok for trial in study.trials))
    times = SampleTimes(done, samples, watcher.line)
    measuring = TrialMeasuring(setup, watcher.line) if setup.measures_trials else None

    def keep(records: Sequence[TrialRecord]) -> None:
        """Journal records and report them to the watcher."""
        for record in records:
            setup.journal.append(record)
            if record.failed is not None:
                watcher.line(f"trial {record.number} failed: {record.failed}")
            watcher.trial(record, clock.status)

    try:
        while done < samples and (proposals := _ask(study)):
            batch = proposals if proposals[0].low_fidelity else proposals[: samples - done]
            for part in _parts(batch, setup):
                for candidate, outcome, measured in _outcomes(part, workers, measuring):
                    keep(troubles.passed(_tell(study, candidate, outcome, measured, setup), outcome))
                    done += not candidate.proposal.low_fidelity
                    if candidate.value is None and not candidate.proposal.low_fidelity:
                        times.finished(done)
    finally:
        if measuring is not None:
            measuring.close()
    keep(troubles.end())
    if done < samples:
        watcher.line(_why_it_ended(study, done, samples))
    if measuring is not None:
        measuring.report()


def _ask(study: Study) -> list[Proposal]:
    with Foreign(f"strategy {study.strategy.name}"):
        return study.ask()


def _parts(batch: Sequence[Proposal], setup: SearchSetup) -> Iterator[list[_Candidate]]:
    """Divide the large batch that a warm start can begin with, so that each part is soon told once it is measured."""
    size = initial_size(setup.run.settings) if setup.measures_trials else len(batch)
    for first in range(0, len(batch), size):
        yield [_candidate(setup, proposal) for proposal in batch[first : first + size]]


def _candidate(setup: SearchSetup, proposal: Proposal) -> _Candidate:
    arch = setup.space.decode(proposal.codes)
    text = setup.space.format(arch)
    value = None if setup.warm_start is None or proposal.low_fidelity else setup.warm_start.trials.get(text)
    return _Candidate(proposal, arch, text, value)


def _outcomes(
    candidates: Sequence[_Candidate], workers: Workers, measuring: TrialMeasuring | None
) -> Iterator[tuple[_Candidate, Outcome, TrialTime | None]]:
    """Yield each candidate with its outcome and its measured latency, in their order.

    Known values need no evaluation, and neither do networks that cannot be measured. Low-fidelity proposals are not
    measured.
    """
    fresh = [
        EvaluationJob(candidate.proposal.number, candidate.arch, candidate.proposal.low_fidelity, candidate.text)
        for candidate in candidates
        if candidate.value is None
    ]
    measured: Measuring | None = None
    if measuring is not None and not candidates[0].proposal.low_fidelity:
        networks = {candidate.proposal.number: candidate.arch for candidate in candidates}
        expected_ms = {c.proposal.number: c.proposal.estimates[LATENCY.key] for c in candidates}
        if fresh and not measuring.elsewhere:
            workers.make_ready(len(fresh))  # starting them takes the cores that are measured on
        measured = measuring.begin(networks, expected_ms)
    refused = measured.refused if measured is not None else {}
    jobs = [job for job in fresh if job.number not in refused]
    outcomes = _ahead(iter(workers.evaluate(jobs) if jobs else ()), measured)
    for candidate in candidates:
        number = candidate.proposal.number
        if number in refused:
            outcome = Outcome(None, None, 0.0)
        elif candidate.value is not None:
            outcome = Outcome(Evaluation(candidate.value), None, 0.0)
        else:
            outcome = next(outcomes)
        batch = measured.result() if measured is not None else None
        if batch is not None and number in batch.failed:
            outcome = replace(outcome, evaluation=None, failed=batch.failed[number], trouble=_UNMEASURED)
        yield candidate, outcome, batch.times.get(number) if batch is not None else None
    for _ in outcomes:
        raise AssertionError("more outcomes than jobs")


def _ahead(outcomes: Iterator[Outcome], measured: Measuring | None) -> Iterator[Outcome]:
    """Return outcomes; collect those that come while the batch is still measured, so that evaluation goes on.

    An error of an evaluation is raised in its turn, after the outcomes before it.
    """
    early: list[Outcome] = []
    error: Exception | None = None
    try:
        while measured is not None and not measured.done and (outcome := next(outcomes, None)) is not None:
            early.append(outcome)
    except Exception as raised:
        error = raised
    return _in_turn(early, error, outcomes)


def _in_turn(early: Sequence[Outcome], error: Exception | None, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield the early outcomes; then raise their error, or yield the others."""
    yield from early
    if error is not None:
        raise error
    yield from outcomes


def _why_it_ended(study: Study, done: int, samples: int) -> str:
    """Return why no network is proposed any more, though samples are left."""
    expected = any(constraint.estimated for constraint in study.problem.constraints) and not study.exhausted()
    why = "is expected within the budget" if expected else "that may be proposed is left"
    return f"no untried network {why}; {done} of {samples} samples"


def _expected(setup: SearchSetup, row: npt.NDArray[np.int64], *, predicted: bool) -> dict[str, float]:
    """Return the expected value of the statistic that a budget of the latency binds, where that is no prediction.

    Args:
        setup: The search.
        row: Codes ``(1, d)`` of a network.
        predicted: Whether its latency is predicted only.
    """
    statistic, costs = setup.latency_statistic, setup.costs
    if not predicted or statistic not in costs.tails or costs.space_costs.table is None or costs.devices:
        return {}
    expected = expected_latency(costs.space_costs, statistic, costs.tails)
    return {f"{LATENCY.key}{STATISTIC}{statistic}": float(expected(row)[0])}


def _tell(
    study: Study, candidate: _Candidate, outcome: Outcome, measured: TrialTime | None, setup: SearchSetup
) -> TrialRecord:
    """Tell the study the outcome of a candidate.

    Returns:
        The trial's line of the journal: with its architecture in words, its duration, the seed, its known costs, and
        what was expected and measured.
    """
    proposal, settings = candidate.proposal, setup.run.settings
    extra_columns: dict[str, float] = {}
    evaluator = setup.low_fidelity if proposal.low_fidelity and setup.low_fidelity is not None else setup.evaluator
    if outcome.evaluation is None:
        trial = study.tell(proposal.number, failed=outcome.failed)
    else:
        result = require_in_bounds(evaluator, setup.space, candidate.arch, outcome.evaluation)
        # of a stand-in's score more may be better, of the metric less
        turn = evaluator.metric.sign * setup.metric.sign
        told = {} if measured is None else {LATENCY.key: measured.told_ms}
        deviation_ms = None if measured is None else measured.deviation_ms
        deviations = {} if deviation_ms is None else {LATENCY.key: deviation_ms}
        values = {setup.metric.name: turn * result.value, **told}
        trial = study.tell(proposal.number, values, deviations=deviations)
        extra_columns = dict(result.extra_columns)
    row = np.array([proposal.codes], dtype=np.int64)
    functions = setup.costs.functions
    known = {*trial.values, *proposal.estimates}
    line = {
        **trial.to_json(),
        "arch": candidate.text,
        "precision": evaluator.metric.precision if trial.ok else None,
        "seconds": round(outcome.seconds, 4),
        # budgets of what is not an objective: later looks at the journal need them
        "costs": {name: float(functions[name](row)[0]) for name in settings.budgets if name not in known}
        | _expected(setup, row, predicted=measured is None and not proposal.low_fidelity),
        "seed": settings.seed,
        "known": extra_columns,
        "from": None if candidate.value is None or setup.warm_start is None else setup.warm_start.source,
        "estimates": {} if proposal.low_fidelity else dict(proposal.estimates),
        "measurements": {} if measured is None else {LATENCY.key: dict(measured.facts)},
    }
    return TrialRecord.from_dict(line)
