"""Final training: the picked networks are trained to the end before they are exported, measured and tested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from hwnas._pipeline._final_recipe import final_recipe
from hwnas._pipeline._final_teacher import supernet_teachers
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._train_precision import training_device
from hwnas._pipeline._winner import Winner
from hwnas._runs._options import CONTINUES
from hwnas.evaluators import TrainEvaluator


def finalized(
    setup: SearchSetup,
    winners: Sequence[Winner],
    progress: Callable[[str], None],
    steps: Callable[[int, int, str], None],
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
    taught = kind == "distil" and setup.start.teacher is None
    trainer = TrainEvaluator(
        setup.space,
        task,
        recipe,
        seed=settings.seed,
        device=training_device(settings),
        start=setup.trainer.trained_weights if kind in CONTINUES else None,
        initial=setup.start.initial,
        initial_digest=setup.start.digest,
        teacher=setup.start.teacher,
        teachers=supernet_teachers(setup, progress) if taught else None,
    )
    setup.run.folder("final")
    trainer.prepare(setup.run.folder(f"final/{_name(kind, recipe.as_dict())}"), steps)
    for number, winner in enumerate(winners, 1):
        progress(f"{winner.id}: {kind}, network {number} of {len(winners)}")
        trainer.trained_weights(winner.arch)
    return setup.with_evaluator(trainer)


def _name(kind: str, recipe: Mapping[str, object]) -> str:
    """Return a folder name that differs with the settings."""
    text = json.dumps(recipe, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
