"""`SearchSetup`: everything that a search works with, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwnas._costs._space_costs import SpaceCosts
from hwnas._pipeline._problem import Known
from hwnas._runs._journal import TrialJournal
from hwnas._runs._run import Run
from hwnas._runs._warm_start import WarmStart
from hwnas.data import ImageData
from hwnas.evaluators import Evaluator
from hwnas.spaces import Space
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
        data: None where accuracies come from a table.
        evaluator: not yet prepared.
        cheap: its cheap stand-in, not yet prepared; None without one.
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
    data: ImageData | None
    evaluator: Evaluator
    cheap: Evaluator | None
    costs: SpaceCosts
    known: Mapping[str, Known]
    strategy: Strategy
    under: Callable[[Mapping[str, float]], Problem]
    problem: Problem
    warm: WarmStart | None = None
