"""Networks as ``pareto.json`` holds them: checked before anything relies on them, and their files found in the run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwnas._costs._cost import COSTS
from hwnas._errors import HwnasError, RunError
from hwnas._runs._metrics import METRIC, SCORE, SCORE_METRIC, key_of, metric_of, score_of, value_of
from hwnas._runs._options import LATENCY_STATISTICS, MEMORY_STATISTICS
from hwnas.tasks import Metric
from latency_tables import read_regular

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_PLACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_MOST = 1e300
_MOST_TEXT = 2**16
_NEEDED = ("id", "arch", "latency_ms", "onnx")
_LATENCIES = ("predicted", "measured")
_MORE_LATENCIES = ("low", "high", "expected", "measured_half_width", "after_pause", "slowness", "slowness_half_width")


def require_networks(entries: object) -> list[dict[str, Any]]:
    """Return the entries of ``pareto.json``; fields that are not known here are left as they are.

    Raises:
        ValueError: They are none: something is missing, of the wrong type or out of range.
    """
    if not isinstance(entries, list):
        raise ValueError("not a list")
    for entry in entries:
        if not isinstance(entry, dict) or any(name not in entry for name in _NEEDED):
            raise ValueError("an entry is not a network")
        for name, fits in {**_FIELDS, **_cost_fields()}.items():
            if name in entry and not fits(entry[name]):
                raise ValueError(f"{name} has an impossible value")
        try:
            _require_values(entry)
        except HwnasError as error:  # a metric that cannot be one
            raise ValueError(str(error)) from None
    if len({entry["id"] for entry in entries}) != len(entries):
        raise ValueError("two networks have one id")
    return entries


def _require_values(entry: dict[str, Any]) -> None:
    """Raise `ValueError` where an entry's metric or its values are impossible."""
    if METRIC in entry and not isinstance(entry[METRIC], dict):
        raise ValueError("metric is not a metric")
    metric = metric_of(entry)
    names = {source: key_of(metric, source) for source in ("test", "torch", "validation", "final_validation")}
    if any(names[source] not in entry for source in ("test", "validation")):
        raise ValueError("an entry is not a network")
    for source, name in names.items():
        value = entry.get(name)
        if value is not None and not (_number(value) and (source == "validation" or metric.holds(value))):
            raise ValueError(f"{name} has an impossible value")
    if value_of(entry, "test") is None and value_of(entry, "validation") is None and len(entry.get(SCORE, ())) != 1:
        raise ValueError("a network has neither a value of its metric nor a score")
    if score_of(entry) is not None and SCORE_METRIC in entry:
        Metric.from_dict(entry[SCORE_METRIC])
    if entry["onnx"] is not None and value_of(entry, "test") is None:
        raise ValueError("a file that was not tested")


def file_of_run(run: Path, name: str) -> Path:
    """Return a file or folder of a run.

    Args:
        run: The folder.
        name: Relative to it.

    Raises:
        RunError: It is missing, or lies outside the run, by its name or through a symbolic link.
    """
    place = run / name
    try:
        root, real = run.resolve(strict=True), place.resolve(strict=True)
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError before Python 3.13
        raise RunError(f"{place} is missing; run the same `hwnas search` again to rewrite it") from None
    if not real.is_relative_to(root):
        raise RunError(f"{place} lies outside the run {run}; nothing outside it is used")
    return real


def read_network(run: Path, network: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of a network, as it was delivered.

    Raises:
        RunError: It is missing, lies outside the run, cannot be read, or was changed since then.
    """
    place = file_of_run(run, network["onnx"])
    try:
        content = read_regular(place)
    except OSError as error:
        raise RunError(f"cannot read {place}: {error.strerror}") from None
    if network.get("onnx_sha256") not in (None, digest_of(content)):
        raise RunError(
            f"{place} was changed after it was delivered (its content hash does not match); run the same "
            "`hwnas search` again to rewrite it"
        )
    return content


def digest_of(content: bytes) -> str:
    """Return ``onnx_sha256`` of an entry; those of earlier versions of hwnas have none."""
    return hashlib.sha256(content).hexdigest()


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_TEXT


def _named(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.match(value) is not None


def _number(value: object) -> bool:
    return type(value) in (int, float) and -_MOST <= value <= _MOST  # type: ignore[operator]


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _maybe(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


def _latency(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(name in value for name in _LATENCIES)
        and all(_maybe(_number)(value.get(name)) for name in (*_LATENCIES, *_MORE_LATENCIES))
        and value.get("statistic", LATENCY_STATISTICS[0]) in LATENCY_STATISTICS
        and all(_quantiles(value.get(name, {})) for name in ("raw", "at_table_speed", "half_widths"))
    )


def _quantiles(value: object) -> bool:
    """Return whether a value holds times by statistic."""
    return isinstance(value, dict) and set(value) <= set(LATENCY_STATISTICS) and all(map(_number, value.values()))


def _score(value: object) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def _cost_fields() -> dict[str, Callable[[object], bool]]:
    """Return checks of the costs that follow from a network's graph."""
    return {cost.key: _count if cost.whole else _number for cost in COSTS.values() if cost.of_graph is not None}


_FIELDS: dict[str, Callable[[object], bool]] = {
    "id": _named(_ID),
    "trial": _count,
    "arch": _text,
    "dominated_by": _maybe(_named(_ID)),
    "doubt": _text,
    "score": _score,
    "images": lambda value: isinstance(value, dict) and all(map(_maybe(_count), value.values())),
    "latency_ms": _latency,
    "speed_up": _maybe(_number),
    "energy_mj": _maybe(_number),
    "arena_bytes": _maybe(_count),
    "memory_statistic": lambda value: value in MEMORY_STATISTICS,
    "onnx": _maybe(_named(_PLACE)),
    "onnx_sha256": _maybe(_named(_DIGEST)),
}
