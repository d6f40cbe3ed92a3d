"""What the steps of setting up a search return: inputs, prices, and at last `SearchSetup`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from hwnas._costs._cost import LATENCY
from hwnas._costs._space_costs import CostOfCodes, SpaceCosts
from hwnas._pipeline._start import Start
from hwnas._runs._journal import TrialJournal
from hwnas._runs._metrics import metric_of_run
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._several import NamedDevice
from hwnas._runs._warm_start import WarmStart
from hwnas._tables._validate import table_references
from hwnas.evaluators import Evaluator, Trainer, metric_at
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric, Task
from hwnas.training import CostFunction
from latency_tables import LatencyTable
from profilers import Backend, References, ReferenceTimer
from search import Constraint, Problem, Strategy

ANY_BUDGET = "latency_budgets"
"""The constraint of a search for several devices: a network keeps the latency budget of one of them at least."""


@dataclass(frozen=True)
class SearchInputs:
    """What the settings of a search name, made and checked against each other.

    Attributes:
        settings: The settings, with what they left open of a model's space.
        task: What networks are for; None where values come from elsewhere (a table) and nothing is delivered.
        space: What is searched.
        evaluator: Makes the full evaluations; not yet prepared.
        low_fidelity: Its low-fidelity stand-in, not yet prepared; None without one.
        strategy: What proposes architectures.
        start: What trainings start from.
    """

    settings: SearchSettings
    task: Task | None
    space: Space
    evaluator: Evaluator
    low_fidelity: Evaluator | None
    strategy: Strategy
    start: Start


@dataclass(frozen=True)
class SearchTable:
    """Where latencies come from.

    Attributes:
        table: The latency table; None where a column of a benchmark table takes its place.
        backend: Measures on the device; None where the table's device is not available here.
    """

    table: LatencyTable | None
    backend: Backend | None


@dataclass(frozen=True)
class DeviceCosts:
    """One of several devices that networks are searched for at once.

    Attributes:
        device: Its name, table and budget.
        table: Its latency table.
        backend: Measures on it; None where it is not available here.
        place: Where it is, as ``--device`` says it.
        statistic: Which statistic of its latency counts.
        costs: Costs of the space by its table, whose latencies are q10.
        tail: How many times that the latency is that its budget binds, as far as its table knows.
        bound_ms: That latency, codes ``(n, d)`` to milliseconds ``(n,)``.
    """

    device: NamedDevice
    table: LatencyTable
    backend: Backend | None
    place: str
    statistic: str
    costs: SpaceCosts
    tail: float
    bound_ms: CostOfCodes

    @property
    def latency_ms(self) -> CostOfCodes:
        """Its table's predictions, codes ``(n, d)`` to milliseconds ``(n,)``."""
        return self.costs.latency_ms

    def alone(self, problem: Problem) -> Problem:
        """Return a problem for several devices with the latency budget of this one in place of that of any."""
        others, upper = [c for c in problem.constraints if c.name != ANY_BUDGET], self.device.latency_budget_ms
        own = [] if upper is None else [Constraint(LATENCY.key, self.bound_ms, upper)]
        return replace(problem, constraints=(*others, *own))

    @property
    def threads(self) -> int:
        """Threads of the sessions that its table is of."""
        return int(str(self.table.identity.get("threads", 1)))


@dataclass(frozen=True)
class SearchCosts:
    """What is known of an architecture before it is evaluated.

    Attributes:
        space_costs: Latency, MACs, parameters and peak memory.
        functions: CostOfCodes functions by name, for objectives and budgets.
        training: What networks cost where they will run, for trainings that depend on it; None without a table.
        tails: How many times q10 each statistic of latency is; empty where that is not known.
        devices: The devices of a search for several; empty for one.
    """

    space_costs: SpaceCosts
    functions: Mapping[str, CostOfCodes]
    training: CostFunction | None
    tails: Mapping[str, float] = field(default_factory=dict)
    devices: tuple[DeviceCosts, ...] = ()


@dataclass(frozen=True)
class SearchSetup:
    """Everything that a search works with, checked.

    Attributes:
        run: The run directory; it belongs to this search until `Run.release`.
        journal: The journal of its trials.
        backend: Measures on the device; None where that is not available here.
        space: What is searched.
        task: What networks are for; None where values come from elsewhere (a table) and nothing is delivered.
        evaluator: Makes the full evaluations; not yet prepared.
        low_fidelity: Its low-fidelity stand-in, not yet prepared; None without one.
        costs: What is known of an architecture before it is evaluated.
        strategy: What proposes architectures.
        problem_with: The problem with given budgets.
        problem: Objectives and constraints.
        warm_start: Trials of another run that the search begins with; None without one.
        measures_trials: Whether the latency of every trial is measured: the table's price is then an estimate.
        start: What trainings start from.
    """

    run: Run
    journal: TrialJournal
    backend: Backend | None
    space: Space
    task: Task | None
    evaluator: Evaluator
    low_fidelity: Evaluator | None
    costs: SearchCosts
    strategy: Strategy
    problem_with: Callable[[Mapping[str, float]], Problem]
    problem: Problem
    warm_start: WarmStart | None = None
    measures_trials: bool = False
    start: Start = field(default_factory=Start)

    @property
    def trainer(self) -> Trainer:
        """The evaluator where its networks have weights, as those of every delivery do."""
        assert isinstance(self.evaluator, Trainer)
        return self.evaluator

    @cached_property
    def timer(self) -> ReferenceTimer:
        """What times networks beside references; its sessions are loaded when it is first used."""
        assert self.backend is not None
        table = self.costs.space_costs.table
        references = References() if table is None else table_references(table, self.space)
        return ReferenceTimer(self.backend, replace(references, tails=self.costs.tails))

    def with_evaluator(self, evaluator: Evaluator) -> SearchSetup:
        """Return the setup with another evaluator; a timer that is loaded goes with it."""
        other = replace(self, evaluator=evaluator)
        if "timer" in vars(self):
            vars(other)["timer"] = self.timer
        return other

    @property
    def measures(self) -> bool:
        """Whether networks are measured on the device: it is available, and the settings do not say otherwise."""
        settings = self.run.settings
        nothing = self.task is None and settings.latency_column is not None  # a benchmark table's own latencies
        return self.backend is not None and settings.measure != "none" and not nothing

    @property
    def latency_statistic(self) -> str:
        """Which statistic of measured latencies counts."""
        return self.run.settings.latency_statistic or DEFAULT_STATISTIC

    @property
    def metric(self) -> Metric:
        """What the search compares networks by, whatever evaluator trains them to the end afterwards."""
        return metric_of_run(self.run.identity, self.run.settings.evaluator)

    @property
    def network_metric(self) -> Metric:
        """What delivered networks are tested by: the task's metric, of the quantised file where that is delivered.

        Without a task it is the search's, unless that is a score.
        """
        if self.task is not None:
            return metric_at(self.task.metric, self.run.settings.precision)
        return DEFAULT_METRIC if self.metric.score else self.metric
