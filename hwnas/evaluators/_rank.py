"""How well an evaluator ranks networks whose values are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas._errors import EvaluatorError, NoValueError, SpaceError
from hwnas.evaluators._base import Evaluator
from hwnas.evaluators._benchmark import BenchmarkTable
from hwnas.spaces import Architecture, Space
from latency_tables import rank_correlations


@dataclass(frozen=True)
class RankCorrelation:
    """An evaluator's values against known ones.

    Attributes:
        evaluator: Its name.
        networks: How many were compared.
        failed: How many had no value and were left out.
        spearman: Spearman's rho; 0 where undefined.
        kendall: Kendall's tau-b; 0 where undefined.
        seconds: Median of what one network took.
    """

    evaluator: str
    networks: int
    failed: int
    spearman: float
    kendall: float
    seconds: float


def rank_correlation(evaluator: Evaluator, archs: Sequence[Architecture], truth: Sequence[float]) -> RankCorrelation:
    """Return rank correlation of a prepared evaluator with true values ``(n,)`` of n networks.

    Raises:
        EvaluatorError: Fewer than two networks have a value.
    """
    values, wanted, seconds = [], [], []
    for arch, value in zip(archs, truth, strict=True):
        try:
            result = evaluator.evaluate(arch)
        except NoValueError:
            continue
        values.append(result.value)
        wanted.append(value)
        seconds.append(result.seconds)
    if len(values) < 2:
        raise EvaluatorError(f"evaluator {evaluator.name}: {len(values)} of {len(archs)} networks have a value")
    spearman, kendall = rank_correlations(values, wanted)
    return RankCorrelation(
        evaluator=evaluator.name,
        networks=len(values),
        failed=len(archs) - len(values),
        spearman=spearman,
        kendall=kendall,
        seconds=float(np.median(seconds)),
    )


def draw_benchmark(
    table: BenchmarkTable, space: Space, column: str, count: int, *, seed: int = 0
) -> tuple[list[Architecture], list[float]]:
    """Return different networks of a benchmark at random, and what one of its columns says of them.

    Rows that are not networks (disconnected cells) are skipped; of isomorphic ones only one is drawn.

    Args:
        table: The benchmark.
        space: Reads its architectures.
        column: The column of its values.
        count: Networks to draw.
        seed: Decides the draw.

    Raises:
        EvaluatorError: There is no such column, or there are fewer different networks.
    """
    values, drawn = table.column(column), dict[Architecture, float]()
    for row in np.random.default_rng(seed).permutation(len(table)):
        if len(drawn) == count:
            break
        try:
            arch = space.parse(table.archs[row])
            codes = space.encode(arch)[None]
        except SpaceError as error:
            raise EvaluatorError(f"table {table.path}: {error}") from None
        if space.valid_codes(codes)[0]:
            drawn.setdefault(space.canonical(arch), float(values[row]))
    if len(drawn) < count:
        raise EvaluatorError(f"table {table.path}: {len(drawn)} different networks, {count} are needed")
    return list(drawn), list(drawn.values())
