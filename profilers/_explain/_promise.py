"""What leaving out nodes should save, with an interval for what somebody will measure afterwards."""

from __future__ import annotations

import math
from collections.abc import Collection

from profilers._errors import ProfilerError
from profilers._explain._explanation import Explanation
from profilers._explain._prices import PLACEMENT, Price
from profilers._samples import Z90

REMOVED = 0.06
"""By how much a row and what its removal saves differ: half of a 90 % interval, relative.

Twelve nodes of two networks (transformer blocks, an inverted residual block) were taken out one at a time: what the
network saved was 0.92-1.03 times the row, 3.8 % from it in the root mean square. Thirteen convolutions of ResNet-50
saved 1.09 times the row in the mean (0.87-1.30), measured with one session each, whose noise is up to a fifth of a row:
too noisy to calibrate with, but all 25 lie inside the promise. A row tells what the node takes; its removal changes
what its neighbours find in the caches, too.
"""
LATER = Z90 * PLACEMENT
"""Half of the 90 % interval of a later comparison of two networks, two sessions each, relative to the whole network."""


def promised_gain(explanation: Explanation, leave_out: Collection[str], like: Collection[str] = ()) -> Price:
    """Return what the removal of rows should save, and the ends of the 90 % prediction interval, in milliseconds.

    The interval holds the rows' own intervals, `REMOVED` for each row, and `LATER` for the measurement that tests it.

    Args:
        explanation: The explanation.
        leave_out: Names of the rows that are removed.
        like: Names of rows whose mean takes the place of each removed row; empty where nothing takes it.

    Raises:
        ProfilerError: The explanation has no row of such a name.
    """
    known = {row.node for row in explanation.rows}
    for names in (leave_out, like):
        if isinstance(names, str):
            raise ProfilerError(f"names of rows must be a list, got the text {names!r:.80}; put it into a list")
        missing = sorted(set(names) - known)
        if missing:
            raise ProfilerError(f"the explanation has no row named {missing[0]!r:.80}; its rows are `Explanation.rows`")
    removed = [row for row in explanation.rows if row.node in leave_out]
    others = [row for row in explanation.rows if row.node in like]
    times = len(removed) / len(others) if others else 0.0
    gain = sum(row.ms for row in removed) - times * sum(row.ms for row in others)
    squares = (LATER * explanation.total_ms) ** 2
    for factor, rows in ((1.0, removed), (times, others)):
        squares += sum(((row.high_ms - row.low_ms) / 2 * factor) ** 2 for row in rows)
        squares += sum((REMOVED * row.ms * factor) ** 2 for row in rows)
    half = math.sqrt(squares)
    return gain, gain - half, gain + half
