"""What the best delivered network makes of test samples, for the report."""

from __future__ import annotations

from functools import cache

from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._front import keeps, pick_network
from hwnas.tasks import Results


def best_results(setup: SearchSetup) -> tuple[str, Results] | None:
    """Return the id of the network with the best metric, and what its task shows of it; None where it shows nothing.

    The file runs through ONNX Runtime, as it is delivered.

    Args:
        setup: The search, with networks delivered.
    """
    run, task = setup.run, setup.task
    networks = [network for network in run.pareto() if network["onnx"] is not None]
    if task is None or not networks:
        return None
    from hwnas.training import OnnxNetwork

    budgets = run.settings.budgets
    over = not any(keeps(network, budgets) for network in networks)
    best = pick_network(networks, "best", budgets, allow_over_budget=over)
    network = cache(lambda: OnnxNetwork(run.path / best["onnx"], task, threads=run.settings.threads))
    results = task.results(lambda indices: network().on_test(indices))  # most tasks show nothing: no session then
    return None if results is None else (str(best["id"]), results)
