"""What a report shows of a task: what a delivered network says of the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hwnas._report._signals import SignalView
from hwnas._runs._entries import read_network
from hwnas._runs._front import pick_network
from hwnas._runs._run import Run
from hwnas.tasks import SignalTask, Task


class TaskView(Protocol):
    """A section of a report, with its pictures."""

    def pictures(self) -> dict[str, bytes]:
        """Return PNG files by name. Needs matplotlib."""

    def section(self, pictures: Mapping[str, bytes]) -> str:
        """Return the section as HTML, with the pictures that could be drawn."""


def task_view(task: Task | None, run: Run, networks: Sequence[Mapping[str, Any]]) -> TaskView | None:
    """Return what is shown of the network that ``hwnas export`` picks; None where there is nothing to show.

    Args:
        task: What the networks are for.
        run: Their run.
        networks: Entries of ``pareto.json``.
    """
    if not isinstance(task, SignalTask) or not networks or any(network["onnx"] is None for network in networks):
        return None
    from hwnas.training import onnx_outputs

    network = pick_network(networks, "knee", run.settings.budgets, allow_over_budget=True)
    batches = onnx_outputs(read_network(run.path, network), task, "test", threads=run.settings.threads)
    outputs = np.concatenate([output for _, (output,) in batches])
    return SignalView(task, str(network["id"]), outputs)
