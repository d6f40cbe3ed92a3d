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
        evaluator: its name.
        networks: how many were compared.
        failed: how many had no value and were left out.
        spearman: Spearman's rho; 0 where undefined.
        kendall: Kendall's tau-b; 0 where undefined.
        seconds: median of what one network took.
    """

    evaluator: str
    networks: int
    failed: int
    spearman: float
    kendall: float
    seconds: float


def rank_correlation(evaluator: Evaluator, archs: Sequence[Architecture], truth: Sequence[float]) -> RankCorrelation:
    """Rank correlation of a prepared evaluator with true values ``(n,)`` of n networks.

    Raises:
        EvaluatorError: fewer than two networks have a value.
    """
    found, wanted, seconds = [], [], []
    for arch, value in zip(archs, truth, strict=True):
        try:
            result = evaluator.evaluate(arch)
        except NoValueError:
            continue
        found.append(result.value)
        wanted.append(value)
        seconds.append(result.seconds)
    if len(found) < 2:
        raise EvaluatorError(f"evaluator {evaluator.name}: {len(found)} of {len(archs)} networks have a value")
    spearman, kendall = rank_correlations(found, wanted)
    return RankCorrelation(
        evaluator=evaluator.name,
        networks=len(found),
        failed=len(archs) - len(found),
        spearman=spearman,
        kendall=kendall,
        seconds=float(np.median(seconds)),
    )


def draw_benchmark(
    table: BenchmarkTable, space: Space, column: str, count: int, *, seed: int = 0
) -> tuple[list[Architecture], list[float]]:
    """Different networks of a benchmark at random, and what one of its columns says of them.

    Rows that are no network (disconnected cells) are passed over; of isomorphic ones only one is drawn.

    Args:
        table: the benchmark.
        space: reads its architectures.
        column: the column of its values.
        count: networks to draw.
        seed: decides the draw.

    Raises:
        EvaluatorError: there is no such column, or there are fewer different networks.
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
