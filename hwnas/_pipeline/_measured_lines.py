"""What measured trials say about the table, for people."""

from __future__ import annotations

import math

import numpy as np

from hwnas._costs._cost import LATENCY
from hwnas._pipeline._setup import SearchSetup
from hwnas._runs._journal import TrialRecord
from hwnas._tables._references import percent_text


def table_line(setup: SearchSetup, records: list[TrialRecord], statistic: str) -> str | None:
    """Return what measured trials say about the table's predictions, for people; None without such trials.

    Predictions are compared with q10 at the table's speed. Estimates that earlier trials had corrected are compared
    with the statistic that they are estimates of.
    """
    measured = [r for r in records if LATENCY.key in r.measurements]
    if not measured:
        return None
    predictions = setup.costs.space_costs.latency_ms(np.array([record.codes for record in measured], dtype=np.int64))
    prediction_errors, corrected_errors = [], []
    functions = setup.problem.estimated
    raw = functions[LATENCY.key](np.array([record.codes for record in measured], dtype=np.int64))
    for record, predicted, uncorrected in zip(measured, predictions.tolist(), raw.tolist(), strict=True):
        facts, estimate = record.measurements[LATENCY.key], record.estimates.get(LATENCY.key)
        prediction_errors.append(abs(predicted / facts["at_table_speed_q10"] - 1))
        if estimate is not None and not math.isclose(estimate, uncorrected, rel_tol=1e-4):
            corrected_errors.append(abs(estimate / facts[f"at_table_speed_{statistic}"] - 1))
    text = f"measured trials: predictions of the table were off by {_median_text(prediction_errors)} in the median"
    if not corrected_errors:
        return text
    return f"{text}, estimates corrected by earlier trials by {_median_text(corrected_errors)}"


def _median_text(shares: list[float]) -> str:
    return percent_text(float(np.median(shares)))
