"""What the report shows of a delivered network at work, computed from its ONNX file on the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._exhibits import write_exhibits
from hwnas._runs._front import pick_network
from hwnas.tasks import Task


def exhibit(setup: SearchSetup, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write what the task shows of the best network of a delivery; nothing where the task shows nothing.

    Args:
        setup: The search.
        entries: Entries of ``pareto.json``.
    """
    from hwnas.training import onnx_outputs

    task, run = setup.task, setup.run
    if task is None or type(task).exhibits is Task.exhibits:
        return
    network = pick_network([dict(entry) for entry in entries], "best", run.settings.budgets, allow_over_budget=True)
    batches = [outputs for _, outputs in onnx_outputs(run.path / network["onnx"], task, "test", run.settings.threads)]
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    write_exhibits(run, network["id"], task.exhibits("test", outputs))
