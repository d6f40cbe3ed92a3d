"""Multi-objective search over finite products of categorical choices: ask, evaluate, tell.

The package knows nothing of networks, devices or files. An architecture is a row of integer codes, a
`Problem` states objectives and constraints, a `Strategy` proposes, and a `Study` manages batches, duplicates,
failures and exact resumption.

Examples:
    >>> domain = Domain(cardinalities=(5, 5, 5))
    >>> price = Objective("price", "min", cost_function=lambda codes: codes.sum(axis=1).astype(float))
    >>> study = Study(Problem(domain, (Objective("score", "max"), price)), make_strategy("random"), seed=1)
    >>> for proposal in study.ask():
    ...     _ = study.tell(proposal.number, {"score": float(max(proposal.codes))})
    >>> len(study.trials)
    10
"""

from search._advisor import Advisor
from search._domain import ENUMERATION_LIMIT, Domain
from search._errors import ProblemError, RestoreError, SearchError, TellError
from search._estimate import EstimateModel
from search._inspect import partition_of
from search._options import OptionValue, StrategyOption, check_options, parse_options
from search._pareto import dominance_numbers, hypervolume, nondominated
from search._problem import Constraint, Objective, Problem
from search._registry import (
    STRATEGIES,
    STRATEGY_VARIANTS,
    make_strategy,
    parse_strategy_options,
    strategy_names,
    strategy_options,
)
from search._standing import Standing
from search._study import Study
from search._trial import Proposal, Trial
from search.lamoo import NodeSummary, Partition, TreeSummary
from search.strategies import FirstObjective, NamedStrategy, Strategy, Suggestion

__all__ = [
    "ENUMERATION_LIMIT",
    "STRATEGIES",
    "STRATEGY_VARIANTS",
    "Advisor",
    "Constraint",
    "Domain",
    "EstimateModel",
    "FirstObjective",
    "NamedStrategy",
    "NodeSummary",
    "Objective",
    "OptionValue",
    "Partition",
    "Problem",
    "ProblemError",
    "Proposal",
    "RestoreError",
    "SearchError",
    "Standing",
    "Strategy",
    "StrategyOption",
    "Study",
    "Suggestion",
    "TellError",
    "TreeSummary",
    "Trial",
    "check_options",
    "dominance_numbers",
    "hypervolume",
    "make_strategy",
    "nondominated",
    "parse_options",
    "parse_strategy_options",
    "partition_of",
    "strategy_names",
    "strategy_options",
]
