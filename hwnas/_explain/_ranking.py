"""`Ranking`: several model files measured in the same rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT_VERSION = 1
"""Version of the form that `Ranking.as_dict` writes."""


@dataclass(frozen=True)
class RankedFile:
    """One file of a ranking.

    Attributes:
        file: Its path, as given.
        name: Short name, different from the others'.
        latency_ms: The latency that is compared, in milliseconds; the geometric mean of two sessions.
        low_ms: Lower end of its 90 % interval.
        high_ms: Upper end.
        quantiles_ms: q10, median, p90 and p99 of its single inferences, in milliseconds.
        place: From 1; files of one place cannot be told apart from the fastest of the place.
        keeps_budget: Whether its latency is within the budget; None without one.
        budget_certain: Whether the whole interval is on the same side of the budget; None without one.
        score: Its score; None without scores.
        on_front: Whether no other file that keeps the budget is better in score or place and as good in both; None
            without scores.
    """

    file: str
    name: str
    latency_ms: float
    low_ms: float
    high_ms: float
    quantiles_ms: Mapping[str, float]
    place: int
    keeps_budget: bool | None = None
    budget_certain: bool | None = None
    score: float | None = None
    on_front: bool | None = None


@dataclass(frozen=True)
class Difference:
    """How two files differ.

    Attributes:
        faster: The file with the lower latency, by its short name.
        slower: The other one.
        ratio: Latency of the slower over that of the faster.
        low: Lower end of the ratio's interval; the intervals of all pairs hold together with 90 %.
        high: Upper end.
    """

    faster: str
    slower: str
    ratio: float
    low: float
    high: float

    @property
    def real(self) -> bool:
        """Whether the interval excludes equal latencies."""
        return self.low > 1.0


@dataclass(frozen=True)
class Ranking:
    """Several model files measured in the same rounds, the fastest first.

    Attributes:
        files: The files, the fastest first.
        differences: Every pair of files.
        statistic: Which statistic of the latency is compared: ``q10``, ``median``, ``p90`` or ``p99``.
        budget_ms: The budget in milliseconds; None without one.
        noise_floor: By how much two sessions of one file differ, relative, in the median over files.
        rounds: Rounds of the measurement.
        identity: Stable facts about device, runtime and protocol, as in a latency table.
        notes: Lines for the reader.
    """

    files: tuple[RankedFile, ...]
    differences: tuple[Difference, ...]
    statistic: str
    budget_ms: float | None
    noise_floor: float
    rounds: int
    identity: Mapping[str, object]
    notes: tuple[str, ...] = ()

    @property
    def front(self) -> tuple[RankedFile, ...]:
        """The files on the front of score and latency, the fastest first."""
        return tuple(file for file in self.files if file.on_front)

    @property
    def none_keeps(self) -> bool:
        """Whether there is a budget that no file keeps."""
        return self.budget_ms is not None and not any(file.keeps_budget for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data, with its version."""
        differences = [{**asdict(difference), "real": difference.real} for difference in self.differences]
        return {"format": "hwnas ranking", "version": FORMAT_VERSION, **asdict(self), "differences": differences}
