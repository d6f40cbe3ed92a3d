"""A benchmark table that takes its time, in a module that worker processes can import."""

from __future__ import annotations

import time

from hwnas.evaluators import Evaluation, TableEvaluator
from hwnas.spaces import Architecture

SLOW_S = 1.0
"""What a look into the table takes, so that workers are lost while they evaluate."""


class SlowTable(TableEvaluator):
    """The same values, later."""

    def evaluate(self, arch: Architecture) -> Evaluation:
        """The published accuracy."""
        time.sleep(SLOW_S)
        return super().evaluate(arch)
