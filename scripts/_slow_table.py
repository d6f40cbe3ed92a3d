"""A slow benchmark table, in a module that worker processes can import."""

from __future__ import annotations

import time

from hwnas.evaluators import Evaluation, TableEvaluator
from hwnas.spaces import Architecture

SLOW_S = 1.0
"""Seconds of a look-up, so that workers are lost while they evaluate."""


class SlowTable(TableEvaluator):
    """The same values, returned after a delay."""

    def evaluate(self, arch: Architecture) -> Evaluation:
        """Return the published accuracy."""
        time.sleep(SLOW_S)
        return super().evaluate(arch)
