"""What the report shows of a delivered network at work, computed from its ONNX file on the test part."""

from __future__ import annotations

from functools import cache

from hwnas._common._foreign import error_line
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._exhibits import remove_exhibits, write_exhibits
from hwnas._runs._front import keeps, pick_network
from profilers import TextProgress


def exhibit(setup: SearchSetup, progress: TextProgress) -> None:
    """Write what the task shows of the delivered network with the best metric; nothing where it shows nothing.

    The file runs through ONNX Runtime, as it is delivered.

    Args:
        setup: The search, with networks delivered.
        progress: Receives a line where the task cannot show them: what was found is delivered all the same.
    """
    run, task = setup.run, setup.task
    remove_exhibits(run)  # an earlier delivery's
    networks = [network for network in run.pareto() if network["onnx"] is not None]
    if task is None or not networks:
        return
    from hwnas.training import OnnxNetwork

    budgets = run.settings.budgets
    over = not any(keeps(network, budgets) for network in networks)
    best = pick_network(networks, "best", budgets, allow_over_budget=over)
    network = cache(lambda: OnnxNetwork(run.path / best["onnx"], task, threads=run.settings.threads))
    try:
        shown = task.exhibits(lambda indices: network().on_test(indices))  # a session only where something is shown
    except Exception as error:
        progress(f"task {task.name} cannot show {best['id']} at work: {error_line(error)}")
        return
    if shown:
        write_exhibits(run, str(best["id"]), shown)
