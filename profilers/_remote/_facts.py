"""What a device says of itself and of its measurements, taken as data: every type and range is checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from profilers._errors import DeviceUnavailableError
from profilers._remote._link import printable
from profilers._samples import STOP_REASONS, SampleSet
from profilers._timing import SamplingSettings

_MOST = 4096
_MOST_NUMBER = 1e15
"""Nothing that a device says of itself or measures is larger."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class DeviceFacts:
    """A device.

    Attributes:
        cpu: as `cpu_identity` gives it there.
        environment: as `cpu_environment` gives it there.
        runtime_version: of ONNX Runtime.
        providers: full names of its execution providers.
        usable_cores: cores that threads can use.
        core_cache_bytes: of one core's second-level cache.
    """

    cpu: Mapping[str, object]
    environment: Mapping[str, object]
    runtime_version: str
    providers: tuple[str, ...]
    usable_cores: int
    core_cache_bytes: int


def read_facts(record: object, source: str) -> DeviceFacts:
    """Check what a device says of itself.

    Args:
        record: decoded JSON.
        source: what said it, for people.

    Raises:
        DeviceUnavailableError: something is missing or of the wrong type.
    """
    try:
        given = _mapping(record)
        cpu = _mapping(given["cpu"])
        return DeviceFacts(
            cpu={
                **{name: _text(cpu[name]) for name in ("cpu", "cpu_revision", "architecture", "system")},
                "isa": _list(cpu["isa"], _text),
                "core_mask": _list(cpu["core_mask"], _count),
            },
            environment={_text(name): _plain(value) for name, value in _mapping(given["environment"]).items()},
            runtime_version=_text(given["runtime_version"]),
            providers=tuple(_list(given["providers"], _text)),
            usable_cores=max(1, _count(given["usable_cores"])),
            core_cache_bytes=_count(given["core_cache_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceUnavailableError(f"{source} says of itself what cannot be: {printable(error)}") from None


def read_seconds(values: object, count: int, source: str) -> list[float]:
    """Check measured times.

    Raises:
        DeviceUnavailableError: they are not `count` positive numbers.
    """
    if not isinstance(values, list) or len(values) != count or not all(_positive(value) for value in values):
        raise DeviceUnavailableError(f"{source} measured what cannot be: {printable(values, 80)}")
    return [float(value) for value in values]


def read_number(value: object, source: str) -> float:
    """Check a measured energy.

    Raises:
        DeviceUnavailableError: it is no finite number, or below zero.
    """
    if not _positive(value) and value != 0:
        raise DeviceUnavailableError(f"{source} measured what cannot be: {printable(value, 80)}")
    return float(value)  # type: ignore[arg-type]


def read_sizes(values: object, count: int, source: str) -> list[int | None]:
    """Check sizes in bytes, None where one is unknown.

    Raises:
        DeviceUnavailableError: they are not `count` such.
    """
    try:
        found = _list(values, lambda value: None if value is None else _count(value))
    except (TypeError, ValueError):
        found = []
    if len(found) != count:
        raise DeviceUnavailableError(f"{source} measured what cannot be: {printable(values, 80)}")
    return found


def read_setting(record: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a job says of how its networks were made.

    Raises:
        KeyError, TypeError, ValueError: something is missing, of the wrong type or out of range.
    """
    found = {name: _count(record[name]) for name in ("threads", "batch", "image_channels", "core_cache_bytes")}
    if not all(1 <= found[name] <= _MOST for name in ("threads", "batch", "image_channels")):
        raise ValueError("a setting is out of range")
    if record["precision"] not in ("fp32", "int8"):
        raise ValueError("an unknown precision")
    return {**found, "precision": record["precision"]}


def read_sampling(record: object) -> SamplingSettings:
    """Check how a job was sampled.

    Raises:
        TypeError, ValueError: something is unknown, of the wrong type or out of range.
    """
    given, known = _mapping(record), SamplingSettings().as_dict()
    for name, value in given.items():
        if (
            name not in known
            or not (_positive(value) or value == 0)
            or isinstance(known[name], int) > isinstance(value, int)
        ):
            raise ValueError(f"{printable(name, 40)} is no setting")
    return SamplingSettings(**given)


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _MOST_NUMBER


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST:
        raise TypeError(f"{printable(value, 80)} is no object")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST:
        raise TypeError(f"{printable(value, 80)} is no text")
    return "".join(c if c.isprintable() else " " for c in value)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise TypeError(f"{printable(value, 80)} is no count")
    return value


def _list(value: object, item: Callable[[Any], _T]) -> list[_T]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise TypeError(f"{printable(value, 80)} is no list")
    return [item(one) for one in value]


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        if not -_MOST_NUMBER <= value <= _MOST_NUMBER:
            raise ValueError(f"{printable(value, 40)} is no number that can be")
        return value
    return _text(value)


def read_samples(record: object, names: Collection[str], source: str) -> dict[str, SampleSet]:
    """Check the samples of a whole profile.

    Args:
        record: decoded JSON.
        names: of everything that was measured.
        source: what said it, for people.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of the wrong type.
        DeviceUnavailableError: a time cannot be.
    """
    given = _mapping(record)
    if set(given) != set(names):
        raise ValueError("other graphs were measured")
    found = {}
    for name, value in given.items():
        one = _mapping(value)
        seconds = read_seconds(one["seconds"], len(one["seconds"]), source)
        if not seconds or one["stop"] not in STOP_REASONS:
            raise ValueError(f"{name} was not measured to the end")
        moments = _list(one["moments"], _count)
        if len(moments) != len(seconds):
            raise ValueError(f"{name} does not say when it was measured")
        found[name] = SampleSet(max(1, _count(one["repeats"])), seconds, one["stop"], moments=moments)
    return found


def read_energy(record: object) -> dict[str, object]:
    """Check what a device says of the reference op's energy.

    Raises:
        TypeError, ValueError: something is of the wrong type.
    """
    known = ("energy_counter", "calibration_op_mj", "energy_unavailable")
    return {name: _plain(value) for name, value in _mapping(record).items() if name in known}
