"""Who evaluates the architectures of a search, and with what."""

from __future__ import annotations

from hwnas._common._foreign import Foreign
from hwnas._pipeline._oneshot import give_aim, tell_training
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._run import EVALUATOR_FOLDER
from hwnas._runs._watch import every
from hwnas._workers import PortableEvaluators, WorkerPlan, Workers, make_workers
from hwnas._workers._effort import announced
from profilers import TextProgress

_LOW_FIDELITY = "cheap"
"""Folder of the run that the low-fidelity evaluator is prepared in."""
_LINE_S = 10.0
"""Seconds between two lines of progress."""


def start_workers(setup: SearchSetup, plan: WorkerPlan, progress: TextProgress) -> Workers:
    """Make the workers, before the evaluators are prepared; close them before anything is measured."""
    run, settings = setup.run, setup.run.settings
    portable = PortableEvaluators(
        setup.evaluator,
        run.path / EVALUATOR_FOLDER,
        setup.low_fidelity,
        run.path / _LOW_FIDELITY,
        threads=settings.evaluation_threads,
    )
    return make_workers(plan, portable, progress, gpu=setup.task is not None and settings.device.startswith("cuda"))


def prepare_evaluators(setup: SearchSetup, progress: TextProgress) -> None:
    """Give the evaluators what networks cost, and make them ready in the run's folder."""
    run, cost = setup.run, setup.costs.training
    for evaluator in (setup.evaluator, setup.low_fidelity):
        if evaluator is not None and cost is not None:
            evaluator.set_cost(cost)
    give_aim(setup)
    progress(f"preparing evaluator {run.settings.evaluator.partition(':')[0]}")
    with Foreign(f"evaluator {setup.evaluator.name}"):
        what = "training the first network" if setup.evaluator.name == "train" else "training"
        setup.evaluator.prepare(run.folder(EVALUATOR_FOLDER), announced(every(_LINE_S, progress), progress, what))
    tell_training(setup, progress)
    if setup.low_fidelity is not None:
        progress(f"preparing the low-fidelity evaluator {setup.low_fidelity.name}")
        setup.low_fidelity.prepare(run.folder(_LOW_FIDELITY), every(_LINE_S, progress))
