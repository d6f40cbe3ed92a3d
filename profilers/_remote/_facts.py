"""Checks what a device states about itself and what it measured: every type and range, because it is untrusted data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from profilers._energy import REFERENCE_OP_MJ
from profilers._errors import DeviceUnavailableError
from profilers._remote._link import printable
from profilers._samples import STOP_REASONS, SampleSet
from profilers._timing import SamplingSettings

_MOST = 4096
"""The longest text or list, and the largest setting."""
_MOST_NUMBER = 1e15
"""The largest number that a device may state or measure."""
_MOST_SECONDS = 1e5
"""The longest time: tables refuse prices of more than ten times as much."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class DeviceFacts:
    """The facts of a remote device.

    Attributes:
        cpu: What `cpu_identity` returns there.
        environment: What `cpu_environment` returns there.
        runtime_version: Version of its ONNX Runtime.
        providers: Full names of its execution providers.
        usable_cores: Cores that threads can use.
        core_cache_bytes: Size of one core's second-level cache.
    """

    cpu: Mapping[str, object]
    environment: Mapping[str, object]
    runtime_version: str
    providers: tuple[str, ...]
    usable_cores: int
    core_cache_bytes: int


def read_facts(record: object, source: str) -> DeviceFacts:
    """Check the facts that a device states.

    Args:
        record: Decoded JSON.
        source: The device or file that it is from, for error messages.

    Raises:
        DeviceUnavailableError: A fact is missing or has the wrong type.
    """
    try:
        facts = _mapping(record)
        cpu = _mapping(facts["cpu"])
        return DeviceFacts(
            cpu={
                **{name: _text(cpu[name]) for name in ("cpu", "cpu_revision", "architecture", "system")},
                "isa": _list(cpu["isa"], _text),
                "core_mask": _list(cpu["core_mask"], _count),
            },
            environment={_text(name): _plain(value) for name, value in _mapping(facts["environment"]).items()},
            runtime_version=_text(facts["runtime_version"]),
            providers=tuple(_list(facts["providers"], _text)),
            usable_cores=max(1, _count(facts["usable_cores"])),
            core_cache_bytes=_count(facts["core_cache_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceUnavailableError(f"{source} sent an invalid fact: {printable(error)}") from None


def read_seconds(values: object, count: int, source: str) -> list[float]:
    """Check measured times.

    Args:
        values: Decoded JSON.
        count: Number of times that there must be.
        source: The device or file that they are from, for error messages.

    Raises:
        DeviceUnavailableError: They are not `count` positive numbers.
    """
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(_positive(value, _MOST_SECONDS) for value in values)
    ):
        raise DeviceUnavailableError(f"{source} returned an invalid measurement: {printable(values, 80)}")
    return [float(value) for value in values]


def read_number(value: object, source: str) -> float:
    """Check a measured energy.

    Raises:
        DeviceUnavailableError: It is not a finite number, or is negative.
    """
    if not _positive(value) and value != 0:
        raise DeviceUnavailableError(f"{source} returned an invalid measurement: {printable(value, 80)}")
    return float(value)  # type: ignore[arg-type]


def read_sizes(values: object, count: int, source: str) -> list[int | None]:
    """Check sizes in bytes; unknown ones are None.

    Raises:
        DeviceUnavailableError: They are not `count` sizes.
    """
    try:
        sizes = _list(values, lambda value: None if value is None else _count(value))
    except (TypeError, ValueError):
        sizes = []
    if len(sizes) != count:
        raise DeviceUnavailableError(f"{source} returned an invalid measurement: {printable(values, 80)}")
    return sizes


def read_setting(record: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings that a bundle's networks were made with.

    Raises:
        KeyError, TypeError, ValueError: A setting is missing, has the wrong type or is out of range.
    """
    setting = {name: _count(record[name]) for name in ("threads", "batch", "image_channels", "core_cache_bytes")}
    if not all(1 <= setting[name] <= _MOST for name in ("threads", "batch", "image_channels")):
        raise ValueError("a setting is out of range")
    if record["precision"] not in ("fp32", "int8"):
        raise ValueError("an unknown precision")
    return {**setting, "precision": record["precision"]}


def read_sampling(record: object) -> SamplingSettings:
    """Check the sampling settings of a bundle.

    Raises:
        TypeError, ValueError: A setting is unknown, has the wrong type or is out of range.
    """
    settings, defaults = _mapping(record), SamplingSettings().as_dict()
    for name, value in settings.items():
        if name not in defaults or not (_positive(value) or value == 0):
            raise ValueError(f"{printable(name, 40)} is not a sampling setting")
        if isinstance(defaults[name], int) and not isinstance(value, int):
            raise ValueError(f"{printable(name, 40)} must be an integer")
    return SamplingSettings(**settings)


def _positive(value: object, most: float = _MOST_NUMBER) -> bool:
    """Return whether a value is a positive number that is possible."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most


def _mapping(value: object, most: int = _MOST) -> dict[str, Any]:
    """Return an object of JSON of at most so many entries.

    Raises:
        TypeError: The value is something else, or too long.
    """
    if not isinstance(value, dict) or len(value) > most:
        raise TypeError(f"{printable(value, 80)} is not an object")
    return value


def _text(value: object) -> str:
    """Return a text with control characters replaced by spaces.

    Raises:
        TypeError: The value is something else, or too long.
    """
    if not isinstance(value, str) or len(value) > _MOST:
        raise TypeError(f"{printable(value, 80)} is not a text")
    return "".join(character if character.isprintable() else " " for character in value)


def _count(value: object) -> int:
    """Return an integer of 0 or more.

    Raises:
        TypeError: The value is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise TypeError(f"{printable(value, 80)} is not an integer of 0 or more")
    return value


def _list(value: object, item: Callable[[Any], _T]) -> list[_T]:
    """Return a list whose entries `item` has checked.

    Raises:
        TypeError: The value is something else, or too long.
    """
    if not isinstance(value, list) or len(value) > _MOST:
        raise TypeError(f"{printable(value, 80)} is not a list")
    return [item(entry) for entry in value]


def _plain(value: object) -> object:
    """Return a text, a number, a truth value or None.

    Raises:
        TypeError, ValueError: The value is something else, or out of range.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        if not -_MOST_NUMBER <= value <= _MOST_NUMBER:
            raise ValueError(f"{printable(value, 40)} is out of range")
        return value
    return _text(value)


def read_samples(record: object, names: Collection[str], source: str) -> dict[str, SampleSet]:
    """Check the samples of a whole profile.

    Args:
        record: Decoded JSON.
        names: Names of everything that was to be measured.
        source: The file that it is from, for error messages.

    Raises:
        KeyError, TypeError, ValueError: Something is missing or has the wrong type.
        DeviceUnavailableError: A time is impossible.
    """
    entries = _mapping(record, len(names))
    if set(entries) != set(names):
        raise ValueError("other graphs were measured")
    samples = {}
    for name, value in entries.items():
        entry = _mapping(value)
        seconds = read_seconds(entry["seconds"], len(entry["seconds"]), source)
        if not seconds or entry["stop"] not in STOP_REASONS:
            raise ValueError(f"{name} was not measured to the end")
        moments = _list(entry["moments"], _count)
        if len(moments) != len(seconds):
            raise ValueError(f"{name} does not say when it was measured")
        samples[name] = SampleSet(max(1, _count(entry["repeats"])), seconds, entry["stop"], moments=moments)
    return samples


def read_energy(record: object) -> dict[str, object]:
    """Check the energy of the reference op that a device measured.

    Raises:
        TypeError, ValueError: Something has the wrong type.
    """
    keys = ("energy_counter", REFERENCE_OP_MJ, "energy_unavailable")
    return {name: _plain(value) for name, value in _mapping(record).items() if name in keys}
