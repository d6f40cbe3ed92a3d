"""`Explanation`: where the time of one model goes on one device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from profilers._errors import ProfilerError

FORMAT_VERSION = 1
"""Version of the form that `Explanation.as_dict` writes."""
LEAST_SHARE = 0.01
"""Share of the total below which a node's speed is mostly noise."""


@dataclass(frozen=True)
class ExplainedNode:
    """One node as the runtime executes it, and its price in this network.

    Attributes:
        node: Its name; unique in the explanation.
        op: Its operator, with what the runtime fused into it: ``"Conv+Relu"``.
        block: The block that it belongs to, for grouping; ``""`` for none.
        fused: Names of the file's nodes that it executes.
        inputs: Shapes of the tensors that it reads, batch axis included, constants left out.
        output: Shape of its first output.
        ms: Marginal cost in this network at the session's q10, in milliseconds.
        low_ms: Lower end of the 90 % interval.
        high_ms: Upper end.
        macs: Multiply-accumulates.
        read_bytes: Bytes of activations and weights that it reads.
        written_bytes: Bytes that it writes.
        working_set_bytes: What it touches: inputs, weights, outputs.
        reasons: Why it is slower than the device's best, as words of `REASONS`; empty where it is not.
        window: Digest of everything that decides the price: nodes of one digest have one price, which a later
            explanation can use again.
    """

    node: str
    op: str
    block: str
    fused: tuple[str, ...]
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    ms: float
    low_ms: float
    high_ms: float
    macs: int
    read_bytes: int
    written_bytes: int
    working_set_bytes: int
    reasons: tuple[str, ...] = ()
    window: str = ""

    def has_speed(self, total_ms: float) -> bool:
        """Return whether it has GMAC/s to speak of: its price is surely above 0, and 1 % of the total or more."""
        return self.macs > 0 and self.low_ms > 0 and self.ms >= LEAST_SHARE * total_ms

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: MACs for each byte read or written."""
        return self.macs / max(1, self.read_bytes + self.written_bytes)

    @property
    def gmacs_per_s(self) -> float:
        """Billions of multiply-accumulates a second; NaN where the price is not above 0."""
        return self.macs / self.ms / 1e6 if self.ms > 0 else math.nan


REASONS = {
    "depthwise": "a depthwise convolution reads each value for few multiplications",
    "layout": "the runtime changes the layout of a tensor here",
    "tiny": "it is so small that starting it takes more than a third of its time",
    "unaligned": "its channels are not a multiple of the runtime's block",
    "memory": "it waits for memory: few multiplications for each byte",
    "unfused": "the runtime executes it as a node of its own, not within the node before",
}
"""Why a node can be slower than the device's best, in one line each."""


@dataclass(frozen=True)
class Change:
    """What one change would do to the whole network's latency, measured.

    Attributes:
        name: One word: ``int8``, ``threads``, ``aligned``, ``activation``.
        text: What would be changed, in one line.
        nodes: Nodes that it concerns; empty for all.
        total_ms: The network's latency with the change.
        gain_ms: How much faster it is, beside the unchanged network in the same rounds; negative for slower.
        low_ms: Lower end of the gain's 90 % interval.
        high_ms: Upper end.
    """

    name: str
    text: str
    nodes: tuple[str, ...]
    total_ms: float
    gain_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True)
class Explanation:
    """Where the time of one model goes on one device.

    Attributes:
        model: The file's name.
        sha256: Of the file, with its external data in it.
        identity: Stable facts about device, runtime and protocol, as in a latency table.
        total_ms: q10 of the whole network's latency, measured in the same rounds as the rows.
        total_low_ms: Lower end of its 90 % interval.
        total_high_ms: Upper end.
        rows: The nodes in the order of their execution.
        unexplained_ms: `total_ms` minus the sum of the rows.
        noise_floor: By how much two measurements of the whole network differ in the median, relative.
        best_gmacs_per_s: What this device reaches at this number of threads: with a large aligned convolution, or with
            a node of the model where that is faster.
        live_bytes: Bytes of tensors alive while each row runs, in the order of the rows.
        changes: What would change the total.
        rounds: Rounds of the measurement.
        notes: Lines for the reader.
    """

    model: str
    sha256: str
    identity: Mapping[str, object]
    total_ms: float
    total_low_ms: float
    total_high_ms: float
    rows: tuple[ExplainedNode, ...]
    unexplained_ms: float
    noise_floor: float
    best_gmacs_per_s: float
    live_bytes: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()
    rounds: int = 0
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form, with its version."""
        return {"format": "hwnas explanation", "version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, name: str = "this") -> Explanation:
        """Read the JSON form back.

        Args:
            value: The JSON form.
            name: What to call it in errors: its file.

        Raises:
            ProfilerError: It is not the form that this version reads.
        """
        if not isinstance(value, Mapping) or value.get("format") != "hwnas explanation":
            raise ProfilerError(f"{name} is not an explanation; make one with hwnas explain MODEL -o FILE.json")
        if value.get("version") != FORMAT_VERSION:
            raise ProfilerError(
                f"{name} has version {value.get('version')!r}; this hwnas reads version {FORMAT_VERSION}: "
                "make it again with hwnas explain MODEL -o FILE.json"
            )
        try:
            given = {field.name: value[field.name] for field in fields(cls)}
            given["rows"] = tuple(_restored(ExplainedNode, row) for row in given["rows"])
            given["changes"] = tuple(_restored(Change, change) for change in given["changes"])
            explanation = cls(**{name: _tuples(item) for name, item in given.items()})
            _require_types(explanation)
            return explanation
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProfilerError(f"{name} is a damaged explanation: {type(error).__name__}: {error}") from error


_KINDS: Mapping[str, type | tuple[type, ...]] = {"float": (int, float), "int": int, "str": str}
"""Types of JSON values by the annotation of a field."""


def _require_types(record: Any) -> None:
    """Check the types of a record's plain fields, and those of the records in it.

    Raises:
        TypeError: A field has another one, or is no finite number.
    """
    for field in fields(record):
        value, wanted = getattr(record, field.name), _KINDS.get(str(field.type))
        if wanted is not None:
            right = isinstance(value, wanted) and not isinstance(value, bool)
            if not right or (isinstance(value, float) and not math.isfinite(value)):
                raise TypeError(f"{field.name} is {str(value)[:40]!r}")
        for item in value if isinstance(value, tuple) else ():
            if is_dataclass(item):
                _require_types(item)


def _restored(kind: Any, value: Mapping[str, Any]) -> Any:
    return kind(**{name: _tuples(item) for name, item in value.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
