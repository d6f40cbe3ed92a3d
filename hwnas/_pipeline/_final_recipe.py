"""How the picked networks are trained to the end, and whether they can be."""

from __future__ import annotations

from typing import Any

from hwnas._errors import HwnasError
from hwnas._pipeline._final_teacher import has_teacher
from hwnas._pipeline._train_precision import recipe_changes
from hwnas._runs._options import CONTINUES
from hwnas._runs._settings import SearchSettings
from hwnas.evaluators import Evaluator, Trainer
from hwnas.spaces import Space
from hwnas.tasks import Task
from hwnas.training import Recipe, default_recipe, recipe_settings

AVERAGE = 0.999
"""Decay of the weights' moving average in a final training."""
TUNE_SLOWER, TUNE_SHORTER = 5, 4
"""Fine-tuning: how many times lower its learning rate, and how many times fewer its epochs, are than those of a whole
training by default. The weights are good already and only have to come apart from those of the other networks."""


def final_recipe(settings: SearchSettings, task: Task) -> Recipe:
    """Return how the picked networks are trained.

    The settings of ``--recipe`` without its epochs, what fine-tuning or training from scratch needs, and over these
    the settings of the final training itself.

    Raises:
        EvaluatorError: An unknown or impossible setting.
    """
    settable = set(recipe_settings(task)) - {"epochs"}
    given = {**recipe_changes(settings), **settings.evaluator_options}
    shared = {name: value for name, value in given.items() if name in settable}
    own: dict[str, Any] = {"average": AVERAGE}
    if settings.finalize in CONTINUES:
        optimizer = {**shared, **settings.final_recipe}.get("optimizer")
        whole = default_recipe(task, optimizer=optimizer)
        own["epochs"] = max(1, round(whole.epochs / TUNE_SHORTER))
        own["learning_rate"] = whole.learning_rate / TUNE_SLOWER
    return default_recipe(task, **{**shared, **own, **settings.final_recipe})


def require_finalizable(
    settings: SearchSettings, task: Task | None, evaluator: Evaluator, space: Space | None = None
) -> None:
    """Refuse a final training that could not be done, before the search starts.

    Args:
        settings: What to search for.
        task: What the networks are trained for; None where there are no data.
        evaluator: Makes the full evaluations.
        space: The space; None where its networks need not be looked at.

    Raises:
        HwnasError: There is nothing to train with, nothing to fine-tune, no teacher, or nothing would be trained at
            all.
        EvaluatorError: An unknown or impossible setting of the final training.
    """
    name, trains = evaluator.name, isinstance(evaluator, Trainer)
    if task is None and trains:
        raise HwnasError(f"evaluator {name} trains networks, so the search needs data to test them on; pass data too")
    if settings.finalize == "none":
        if task is not None and not trains:
            raise HwnasError(
                f"--evaluator {name} trains no networks, so there are none to export; add --finalize train"
            )
        return
    if task is None:
        option = f"{name}:FILE" if name == "table" else name
        raise HwnasError(f"--finalize {settings.finalize} needs a data set; --evaluator {option} has none")
    if settings.finalize in CONTINUES and not trains:
        raise HwnasError(
            f"--finalize {settings.finalize} needs weights to start from; --evaluator {name} has none: use --finalize "
            "train"
        )
    if settings.finalize == "distil" and not has_teacher(evaluator, settings.model):
        raise HwnasError(
            f"--finalize distil needs a teacher: --evaluator supernet or --model FILE; --evaluator {name} gives none: "
            "use --finalize finetune"
        )
    recipe = final_recipe(settings, task)
    if space is not None and recipe.small_epochs:
        from hwnas.training import require_readable

        require_readable(space, recipe)
