"""The partition in the report: its rows and its picture."""

import numpy as np
import pytest

from hwnas._report._partition import partition_plot, partition_rows
from hwnas.tasks import DEFAULT_METRIC
from search import Domain, FirstObjective, Objective, Problem, Study, make_strategy, partition_of

PROBLEM = Problem(
    Domain((4, 4, 4, 4)),
    (Objective("accuracy", "max"), Objective("latency_ms", "min", cost_function=lambda codes: 1.0 + codes.sum(axis=1))),
)


def searched(trials):
    study = Study(PROBLEM, make_strategy("lamoo-random"), seed=0)
    while len(study.trials) < trials:
        for proposal in study.ask():
            codes = np.array(proposal.codes)
            study.tell(proposal.number, {"accuracy": float(0.1 + 0.05 * codes.max() + 0.01 * codes.sum())})
    return study, partition_of(study)


@pytest.mark.parametrize("trials", [10, 60, 200])
def test_rows_are_the_selected_path_and_what_lies_beside_it(trials):
    _, partition = searched(trials)
    head, rows = partition_rows(partition)
    assert {len(row) for row in rows} == {len(head)}
    selected = [node for node in partition.summary.nodes if node.selected]
    assert len(rows) == 1 + 2 * (len(selected) - 1)
    assert sum("(selected)" in row[0] for row in rows) == len(selected)
    assert rows[0][1:4] == ["whole space", "0", str(trials)]
    assert rows[0][-1] == "100.00%"


@pytest.mark.parametrize("trials", [10, 60, 200])
def test_the_picture_is_drawn_for_trees_of_any_size(trials):
    study, partition = searched(trials)
    assert (len(partition.summary.nodes) == 1) == (trials == 10)
    assert partition_plot(partition, PROBLEM, study.trials, DEFAULT_METRIC).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["lamoo-random", "lamoo-cheap"])
def test_a_search_for_the_best_network_shows_the_regions_of_one_objective(name):
    study = Study(PROBLEM, FirstObjective(make_strategy(name)), seed=0)
    for proposal in study.ask():
        study.tell(proposal.number, {"accuracy": 0.1 * proposal.number})
    partition = partition_of(study)
    assert partition.trials.tolist() == list(range(10))
    assert partition.summary.nodes[0].hypervolume == pytest.approx(study.context().of_first_objective().hypervolume)
    assert partition_plot(partition, PROBLEM, study.trials, DEFAULT_METRIC).startswith(b"\x89PNG")


def test_other_strategies_have_no_partition_and_a_wrapped_lamoo_has():
    assert partition_of(Study(PROBLEM, make_strategy("nsga2"), seed=0)) is None
    study = Study(PROBLEM, make_strategy("lamoo-cheap"), seed=0)
    for proposal in study.ask():
        study.tell(proposal.number, {"accuracy": 0.1 * proposal.number})
    assert partition_of(study).trials.tolist() == list(range(10))
