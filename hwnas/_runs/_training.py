"""What a one-shot method learned in a run."""

from __future__ import annotations

from hwnas._errors import EvaluatorError
from hwnas._runs._run import EVALUATOR_FOLDER, Run
from hwnas.oneshot import TrainingRecord, read_training
from hwnas.oneshot._record import FILE


def one_shot_training(run: Run) -> TrainingRecord | None:
    """Return what a one-shot method learned in a run; None for other strategies, or where the file cannot be read."""
    path = run.path / EVALUATOR_FOLDER / FILE
    try:
        record = read_training(path) if path.exists() else None
    except EvaluatorError:
        return None
    return record if record is not None and record.epochs_done else None
