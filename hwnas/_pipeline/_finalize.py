"""Final training: the picked networks are trained to the end before they are exported, measured and tested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hwnas._pipeline._final_recipe import final_recipe
from hwnas._pipeline._final_teacher import supernet_teachers
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._train_precision import training_device
from hwnas._pipeline._winner import Winner
from hwnas._runs._options import CONTINUES
from hwnas.evaluators import Evaluator, Trainer, TrainEvaluator
from hwnas.spaces import Architecture
from hwnas.training import Recipe, StepProgress

if TYPE_CHECKING:
    from hwnas.training import Teacher

FINAL = "final"
"""Folder of a run that holds its final trainings, in a folder for each recipe; files are named by architectures."""


def finalized(
    setup: SearchSetup,
    winners: Sequence[Winner],
    progress: Callable[[str], None],
    steps: StepProgress,
) -> SearchSetup:
    """Return the setup with an evaluator that holds the finished networks; the same setup without a final training.

    A network that is finished already is not trained again; the training of one that was begun continues.

    Args:
        setup: The search.
        winners: The picked networks.
        progress: Receives a line for each network.
        steps: Receives the steps of each training.

    Raises:
        EvaluatorError: A training diverged, or a checkpoint cannot be used.
    """
    settings, task = setup.run.settings, setup.task
    if settings.finalize == "none" or task is None:
        return setup
    recipe, kind = final_recipe(settings, task), settings.finalize
    teachers = None
    if kind == "distil" and setup.start.teacher is None:
        teachers = supernet_teachers(setup, _trainer(setup, recipe, "finetune", steps), progress)
    trainer = _trainer(setup, recipe, kind, steps, teachers)
    for number, winner in enumerate(winners, 1):
        progress(f"{winner.id}: {kind}, network {number} of {len(winners)}")
        trainer.trained_weights(winner.arch)
    return setup.with_evaluator(trainer)


def _trainer(
    setup: SearchSetup,
    recipe: Recipe,
    kind: str,
    steps: StepProgress,
    teachers: Callable[[Architecture], Teacher] | None = None,
) -> TrainEvaluator:
    """Return what trains networks to the end in one way, in a folder of the run that differs with way and recipe."""
    assert setup.task is not None
    trainer = TrainEvaluator(
        setup.space,
        setup.task,
        recipe,
        seed=setup.run.settings.seed,
        device=training_device(setup.run.settings),
        start=setup.trainer.trained_weights if kind in CONTINUES else None,
        start_digest=_shared_digest(setup.trainer) if kind in CONTINUES else None,
        initial=setup.start.initial,
        initial_digest=setup.start.digest,
        teacher=setup.start.teacher,
        teachers=teachers,
    )
    setup.run.folder(FINAL)
    trainer.prepare(setup.run.folder(f"{FINAL}/{_name(kind, recipe.as_dict())}"), steps)
    return trainer


def _shared_digest(trainer: Trainer) -> str | None:
    """Return what tells the networks of shared weights from others: those weights and the samples behind statistics.

    The statistics themselves are sums over data, whose last bits depend on processor and threads. None where each
    network has weights of its own.
    """
    if not (isinstance(trainer, Evaluator) and trainer.shares_weights):
        return None
    from hwnas.training import weights_digest

    return f"{weights_digest(trainer.state())} {trainer.settings.get('calibration')}"


def _name(kind: str, recipe: Mapping[str, object]) -> str:
    """Return a folder name that differs with the settings."""
    text = json.dumps(recipe, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
