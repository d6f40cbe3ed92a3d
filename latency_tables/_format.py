"""The table file: one JSON document with a version, a content hash and nothing that is executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from latency_tables._cache import CacheCurve
from latency_tables._content import MOST_JSON_BYTES, content_hash, strict_json
from latency_tables._errors import GraphError, TableFormatError
from latency_tables._files import read_regular, write_atomic
from latency_tables._op import Op
from latency_tables._table import CHECKED, STATUSES, Entry, LatencyTable
from latency_tables._validation import SPLITS, NetworkMeasurement

FORMAT = "hwnas-latency-table"
VERSION = CHECKED
_LONGEST_MS, _SHORTEST_MS = 1e9, 1e-9
"""No inference takes twelve days, or less than a clock tick."""
_MOST_AT_ONCE = 2**20
"""Images of one inference, and threads."""
_MOST = 2**53
"""The largest count: larger ones are no exact numbers in JSON."""
_TIMES = ("q10_ms", "median_ms", "p90_ms", "low_ms", "high_ms")


def save_table(table: LatencyTable, path: Path) -> None:
    """Write a table file, atomically.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    write_atomic(path, dump_table(table))


def load_table(path: str | Path) -> LatencyTable:
    """Read a table file.

    Raises:
        TableFormatError: it is absent, no regular file, truncated, changed since it was written, or of an unknown
            version.
    """
    path = Path(path)
    try:
        text = read_regular(path, MOST_JSON_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TableFormatError(f"cannot read the latency table {path}: {why}") from None
    return parse_table(text, path)


def dump_table(table: LatencyTable) -> str:
    """A table as JSON text, content hash included."""
    body: dict[str, object] = {
        "format": FORMAT,
        "version": table.version,
        "created": table.created,
        "identity": dict(table.identity),
        "environment": dict(table.environment),
        "settings": dict(table.settings),
        "space": dict(table.space),
        "notes": list(table.notes),
        "cache": asdict(table.cache) if table.cache else None,
        "entries": [_entry_record(table.entries[op]) for op in sorted(table.entries, key=lambda op: op.key)],
        "networks": [asdict(network) for network in table.networks],
        "validation": _validation_record(table),
    }
    return json.dumps({**body, "content_hash": content_hash(body)}, indent=1, allow_nan=False) + "\n"


def _validation_record(table: LatencyTable) -> dict[str, object] | None:
    """The report, as the table's version holds it: for people, since it is worked out anew from the networks."""
    found = table.validation.as_dict() if table.validation else None
    if found is not None and table.version < CHECKED:
        del found["corrected"], found["ends"]
    return found


def parse_table(text: str, path: Path | None = None) -> LatencyTable:
    """A table from JSON text.

    Raises:
        TableFormatError: as `load_table`.
    """
    name = str(path) if path else "the latency table"
    try:
        body = strict_json(text)
    except (ValueError, RecursionError):
        raise TableFormatError(f"{name} is truncated or not JSON; measure it again with `hwnas profile`") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise TableFormatError(f"{name} is not a latency table of hwnas")
    reader = _READERS.get(body["version"]) if type(body.get("version")) is int else None
    if reader is None:
        raise TableFormatError(f"{name} has format version {body.get('version')}; this hwnas reads {list(_READERS)}")
    found = body.pop("content_hash", None)
    if found != content_hash(body):
        raise TableFormatError(
            f"{name} was changed after it was measured (its content hash does not fit); measure it again"
        )
    try:
        return reader(body, path)
    except KeyError as error:
        raise TableFormatError(f"{name} is not a well-formed latency table: it has no {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError, GraphError) as error:
        raise TableFormatError(f"{name} is not a well-formed latency table: {error}") from None


def _read_version_1(body: Mapping[str, Any], path: Path | None) -> LatencyTable:
    """Before networks for the interval alone."""
    if any(record["split"] == "interval" for record in _list(body, "networks")):
        raise ValueError("unknown split 'interval'")
    return _read_version_2(body, path)


def _read_version_2(body: Mapping[str, Any], path: Path | None) -> LatencyTable:
    """Before corrections had to help: priced as then."""
    return replace(_read_version_3(body, path), version=2)


def _read_version_3(body: Mapping[str, Any], path: Path | None) -> LatencyTable:
    entries = [_entry(record) for record in _list(body, "entries")]
    by_op = {entry.op: entry for entry in entries}
    if len(by_op) != len(entries):
        raise ValueError("an op has two rows")
    return LatencyTable(
        identity=_identity(body["identity"]),
        environment=_object(body["environment"], "environment"),
        settings=_object(body["settings"], "settings"),
        space=_space(body["space"]),
        entries=by_op,
        networks=tuple(_network(record) for record in _list(body, "networks")),
        notes=tuple(_text(note, "note") for note in _list(body, "notes")),
        created=_text(body["created"], "created"),
        cache=_cache(body["cache"]),
        source=path,
    )


_READERS: dict[int, Callable[[Mapping[str, Any], Path | None], LatencyTable]] = {
    1: _read_version_1,
    2: _read_version_2,
    3: _read_version_3,
}


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} {_shown(value)} is no object")
    return value


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(body[name], list):
        raise ValueError(f"{name} {_shown(body[name])} is no list")
    return list(body[name])


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {_shown(value)} is no text")
    return value


def _identity(value: object) -> dict[str, Any]:
    """Facts of a device; those that tables are used by are of the kind that they must be."""
    found = _object(value, "identity")
    for name in found.keys() & {"device", "provider", "dtype", "protocol", "mode"}:
        _text(found[name], name)
    for name in found.keys() & {"batch", "threads"}:
        if not 1 <= _count(found[name]) <= _MOST_AT_ONCE:
            raise ValueError(f"{name} {_shown(found[name])} is out of range")
    return found


def _space(value: object) -> dict[str, Any]:
    found = _object(value, "space")
    _text(found["name"], "the name of the space")
    _object(found["settings"], "the settings of the space")
    return found


def _shown(value: object) -> str:
    """A value for people, cut short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _entry_record(entry: Entry) -> dict[str, object]:
    record: dict[str, object] = {"op": entry.op.key}
    for item in fields(entry):
        if item.name != "op":
            record[item.name] = getattr(entry, item.name)
    return record


def _entry(record: Mapping[str, Any]) -> Entry:
    times = {name: _time(record[name]) for name in _TIMES}
    if record["status"] not in STATUSES:
        raise ValueError(f"unknown status {record['status']!r}")
    return Entry(
        op=Op.parse(record["op"]),
        status=record["status"],
        samples=_count(record["samples"]),
        stop=_text(record["stop"], "stop"),
        reason=_text(record["reason"], "reason"),
        weight_bytes=_count(record["weight_bytes"]),
        kernels=_count(record["kernels"]),
        activation_bytes=_count(record["activation_bytes"]),
        on_one_core=_flag(record.get("on_one_core")),
        **times,
    )


def _flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is neither true nor false")


def _cache(record: Mapping[str, Any] | None) -> CacheCurve | None:
    if record is None:
        return None
    knots = [_bytes(value) for value in _list(record, "working_bytes")]
    extra = [_time(value) for value in _list(record, "extra_ms")]
    return CacheCurve(_count(record["kernel_bytes"]), tuple(knots), tuple(extra))


def _bytes(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _MOST:  # type: ignore[operator]
        raise ValueError(f"{_shown(value)} is not a number of bytes")
    return float(value)  # type: ignore[arg-type]


def _network(record: Mapping[str, Any]) -> NetworkMeasurement:
    times = {name: _time(record[name], positive=True) for name in ("unfitted_ms", "measured_ms", "repeat_ms")}
    if record["split"] not in SPLITS:
        raise ValueError(f"unknown split {record['split']!r}")
    return NetworkMeasurement(arch=_text(record["arch"], "arch"), split=record["split"], **times)


def _time(value: object, positive: bool = False) -> float:
    least = _SHORTEST_MS if positive else 0.0
    if type(value) not in (int, float) or not least <= value <= _LONGEST_MS:  # type: ignore[operator]
        raise ValueError(f"{_shown(value)} is not a time in milliseconds")
    return float(value)  # type: ignore[arg-type]


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"{_shown(value)} is not a count")
    return value
