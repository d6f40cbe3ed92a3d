"""`SearchSetup`: everything that a search works with, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwnas._costs._space_costs import SpaceCosts
from hwnas._pipeline._problem import Known
from hwnas._runs._journal import TrialJournal
from hwnas._runs._metrics import metric_of_run
from hwnas._runs._run import Run
from hwnas._runs._warm_start import WarmStart
from hwnas.evaluators import Evaluator, Trainer
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric, Task
from profilers import Backend
from search import Problem, Strategy


@dataclass(frozen=True)
class SearchSetup:
    """Everything a search needs, checked against each other.

    Attributes:
        run: the run directory; it belongs to this search, until `Run.release`.
        journal: of its trials.
        backend: measures on the device; None where that is not here.
        space: what is searched.
        task: what networks are for; None where values come from elsewhere (a table) and nothing is delivered.
        evaluator: not yet prepared.
        cheap: its low-fidelity stand-in, not yet prepared; None without one.
        costs: known before evaluation.
        known: the cost functions, by name.
        strategy: what proposes.
        under: the problem with other budgets.
        problem: objectives and constraints.
        warm: trials of another run that the search begins with; None without one.
    """

    run: Run
    journal: TrialJournal
    backend: Backend | None
    space: Space
    task: Task | None
    evaluator: Evaluator
    cheap: Evaluator | None
    costs: SpaceCosts
    known: Mapping[str, Known]
    strategy: Strategy
    under: Callable[[Mapping[str, float]], Problem]
    problem: Problem
    warm: WarmStart | None = None

    @property
    def trainer(self) -> Trainer:
        """The evaluator where its networks have weights, as those of every delivery do."""
        assert isinstance(self.evaluator, Trainer)
        return self.evaluator

    @property
    def metric(self) -> Metric:
        """What the search compares networks by, whatever evaluator trains them to the end afterwards."""
        return metric_of_run(self.run.identity, self.run.settings.evaluator)

    @property
    def network_metric(self) -> Metric:
        """What delivered networks are tested by: the task's metric.

        Without a task it is the search's, unless that is a score.
        """
        if self.task is not None:
            return self.task.metric
        return DEFAULT_METRIC if self.metric.score else self.metric
