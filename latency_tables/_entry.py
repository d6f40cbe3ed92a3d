"""One row of a latency table: what an op costs, and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass

from latency_tables._op import Op

SESSION = Op("session", (), (1,))
"""The row for starting one inference; the price of a whole network includes it once."""
STATUSES = ("ok", "unstable", "unsupported", "timeout")
"""The statuses of an op: priced, priced but noisy, refused by the runtime, too slow to measure."""
_PRICED = ("ok", "unstable")


@dataclass(frozen=True)
class Entry:
    """One row of a table. Times are milliseconds of one inference at the table's batch size.

    Attributes:
        op: What was measured.
        status: ``ok``; ``unstable`` (priced, but noisy); ``unsupported`` or ``timeout`` (not priced).
        q10_ms: The price: marginal cost in a network, from 10th percentiles.
        median_ms: The same from medians of the graphs' times; a difference, so it need not exceed `q10_ms`.
        p90_ms: The same from their 90th percentiles.
        low_ms: Lower end of the 90 % bootstrap interval of `q10_ms`.
        high_ms: Upper end of that interval.
        samples: Rounds behind the price.
        stop: Why sampling ended: ``converged``, ``settled`` or ``cap``.
        reason: Why the status is not ``ok``; empty otherwise.
        weight_bytes: Bytes of the op's weights.
        kernels: Number of kernels that the runtime executes for the op.
        activation_bytes: Largest sum of live activations inside the op, in bytes at the table's batch size.
        on_one_core: Whether one of several threads executes the op alone; None where the table prices no core
            crossings.
    """

    op: Op
    status: str
    q10_ms: float
    median_ms: float
    p90_ms: float
    low_ms: float
    high_ms: float
    samples: int
    stop: str
    reason: str = ""
    weight_bytes: int = 0
    kernels: int = 0
    activation_bytes: int = 0
    on_one_core: bool | None = None

    @property
    def priced(self) -> bool:
        """Whether the op has a price."""
        return self.status in _PRICED
