"""What is known of an architecture before it is evaluated, as functions of its codes."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import COSTS
from hwnas._costs._space_costs import CostOfCodes, SpaceCosts
from hwnas._pipeline._setup import SearchCosts, SearchInputs
from hwnas._runs._settings import SearchSettings
from hwnas.evaluators import Evaluator, TableEvaluator, latency_unit
from hwnas.spaces import Space
from hwnas.training import CostFunction
from latency_tables import LatencyTable, dump_table
from profilers import TextProgress


def resolve_costs(
    settings: SearchSettings, inputs: SearchInputs, table: LatencyTable | None, progress: TextProgress
) -> SearchCosts:
    """Return the costs of a search.

    Args:
        settings: What to search for.
        inputs: Space and evaluator.
        table: The latency table; None where a column of a benchmark table takes its place.
        progress: Receives progress lines.
    """
    space_costs = SpaceCosts(inputs.space, table, batch=settings.batch, precision=settings.precision)
    functions: dict[str, CostOfCodes] = {cost.key: space_costs.cost(cost.key) for cost in COSTS.values()}
    if settings.latency_column is not None:
        functions["latency_ms"] = _column_cost(inputs.space, inputs.evaluator, settings.latency_column, progress)
    return SearchCosts(space_costs, functions, None if table is None else training_cost(table, space_costs))


def training_cost(table: LatencyTable, space_costs: SpaceCosts) -> CostFunction:
    """Return latency as a cost for training; its name, stored in checkpoints, depends on the table's content."""
    digest = hashlib.sha256(dump_table(table).encode()).hexdigest()
    return CostFunction(f"latency_ms of table {digest[:16]}", space_costs.latency_ms)


def _column_cost(space: Space, evaluator: Evaluator, column: str, progress: TextProgress) -> CostOfCodes:
    """Return latencies of a benchmark table as a cost function; NaN where the table has no row."""
    assert isinstance(evaluator, TableEvaluator)
    table, values, index = evaluator.table, evaluator.table.latencies_ms(column), evaluator.index
    progress(f"table {table.path}: column {column} is read in {latency_unit(column)}")
    cache: dict[bytes, float] = {}

    def look_up(row: npt.NDArray[np.int64]) -> float:
        """Return the mean latency of one network."""
        key = row.tobytes()
        if key not in cache:
            mean = index.mean(values, space.decode(row))
            cache[key] = np.nan if mean is None else mean
        return cache[key]

    def cost(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return latencies ``(n,)`` of codes ``(n, d)``."""
        result = np.full(len(codes), np.nan)
        valid = space.valid_codes(codes)
        result[valid] = [look_up(row) for row in space.canonical_codes(codes[valid])]
        return result

    return cost
