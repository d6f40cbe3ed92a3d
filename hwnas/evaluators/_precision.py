"""The number format of the networks that an evaluator evaluates: as trained, or quantised (whole or in part)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwnas._errors import EvaluatorError
from hwnas.tasks import Metric, Part, Task

if TYPE_CHECKING:
    from hwnas.training import Subnet

QUANTISED = ("int8", "mixed")
"""Precisions of quantised networks."""
PRECISIONS = ("fp32", *QUANTISED)
"""Number formats that networks with weights can be evaluated in."""


def evaluated_precision(precision: str) -> str:
    """Return the precision that networks of a search are evaluated in: ``"fp32"`` unless they are quantised."""
    return precision if precision in QUANTISED else "fp32"


def checked_precision(evaluator: str, precision: str) -> str:
    """Return a precision that is known.

    Raises:
        EvaluatorError: It is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise EvaluatorError(f"evaluator {evaluator}: precision must be {' or '.join(PRECISIONS)}, got {precision!r}")
    return precision


def metric_at(metric: Metric, precision: str) -> Metric:
    """Return a task's metric as that of networks in a precision; only quantised networks need to say theirs."""
    return replace(metric, precision=precision) if precision in QUANTISED else metric


def precision_facts(precision: str) -> dict[str, object]:
    """Return what an evaluator's settings hold of its precision: nothing for fp32, as runs of earlier versions."""
    return {"precision": precision} if precision in QUANTISED else {}


def score_subnet(network: Subnet, task: Task, part: Part, precision: str, *, device: str) -> float:
    """Return the task's metric of a network in a precision, with the threads that torch computes with now.

    Raises:
        NoValueError: The network cannot be quantised.
    """
    import torch

    from hwnas.training import score_network, score_quantized

    if precision in QUANTISED:
        return score_quantized(
            network.graph, network.arrays(), task, part, precision=precision, threads=torch.get_num_threads()
        )
    return score_network(network, task, part, network.graph.input_shape, device=device)
