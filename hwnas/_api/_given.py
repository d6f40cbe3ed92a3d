"""What both faces give: options by name, spaces and tables as names, files or objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from hwnas._common._option import Option, dashed, renamed
from hwnas._costs._soundness import require_sound
from hwnas._errors import HwnasError
from hwnas._runs._options import SPACE_SHORTHANDS
from hwnas.spaces import Space, make_space, space_parameters
from latency_tables import LatencyTable, load_table, save_table
from profilers import Workload

_A = {
    "space": "a space",
    "data": "a data set",
    "evaluator": "an evaluator",
    "device": "a device",
    "strategy": "a strategy",
}


class SpaceOptions(TypedDict, total=False):
    """Options of a space that is given by its name."""

    preset: str | None
    resolution: str | int | Sequence[int] | None
    width: str | float | Sequence[float] | None
    image_size: int | None
    classes: int | None
    image_channels: int | None
    frontend: str | None
    space_settings: Mapping[str, Any] | Sequence[str] | None


def quiet(text: str) -> None:
    """Drop a line of progress."""


def read_options(command: str, options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the present names of their options, read and checked; those that are None are left out.

    Raises:
        HwnasError: There is no such option, or a value cannot be read.
    """
    by_name = {option.name: option for option in options}
    present = renamed(by_name.values(), given)
    for name in sorted(present):
        if name not in by_name:
            raise HwnasError(f"{command} has no option {name!r}; known options: {', '.join(sorted(by_name))}")
    return {name: by_name[name].read(value) for name, value in present.items() if value is not None}


def space_settings(space: str, values: Mapping[str, Any], *, loads_images: bool = False) -> dict[str, Any]:
    """Return settings of a space: ``space_settings``, and the options of their own name that the space takes.

    Args:
        space: Name of the space.
        values: Options that were read, by name; options of other things are ignored.
        loads_images: Whether ``image_size`` is also the size to load images at, and may be given for any space.

    Raises:
        HwnasError: The space does not take an option, or one is given twice.
        SpaceError: There is no such space.
    """
    settings = dict(values.get("space_settings", {}))
    given = [name for name in SPACE_SHORTHANDS if values.get(name) is not None]
    taken = space_parameters(space, settings.get("declaration")) if given else ()
    for name in given:
        if name not in taken:
            if name == "image_size" and loads_images:
                continue
            raise HwnasError(
                f"{dashed(name)} is not an option of space {space}; known options: {', '.join(taken) or 'none'}"
            )
        if name in settings:
            raise HwnasError(f"{name} is given twice, as {dashed(name)} and as --space-option; leave one out")
        settings[name] = values[name]
    return settings


AnyWorkload = TypeVar("AnyWorkload", bound=Workload)


def resolve_space(space: AnyWorkload | str, values: Mapping[str, Any]) -> AnyWorkload | Space:
    """Make a space from its name and options, or check the given workload.

    Args:
        space: A name, a file that declares a space, or an object.
        values: Options that were read, by name; options of other things are ignored.

    Raises:
        HwnasError: The space does not take an option, or is an object, which has its settings already.
        SpaceError: There is no such space, or it contradicts itself.
    """
    if isinstance(space, str):
        made: AnyWorkload | Space = make_space(space, **space_settings(space, values))
    else:
        refuse_options(values, (*SPACE_SHORTHANDS, "space_settings"), "space")
        made = space
    require_sound(made)
    return made


def refuse_options(options: Mapping[str, Any], names: Iterable[str], thing: str) -> None:
    """Refuse options of something that is given as an object.

    Raises:
        HwnasError: One of `names` is given.
    """
    for name in names:
        if options.get(name) is not None:
            raise HwnasError(f"{name} needs the name of {_A[thing]}; an object has its settings already")


def opened(table: LatencyTable | str | Path) -> LatencyTable:
    """Return a table; read it where its file is given."""
    return table if isinstance(table, LatencyTable) else load_table(Path(table))


def require_file(out: str | Path | None) -> None:
    """Refuse an output that names a folder, or lies in none, before any work is done.

    Raises:
        HwnasError: It does.
    """
    if out is None:
        return
    if str(out).endswith("/"):
        raise HwnasError(f"cannot write {out}: it is a folder; give the name of a file")
    if not (parent := Path(out).parent).is_dir():
        raise HwnasError(f"cannot write {out}: there is no folder {parent}; make it, or choose another place")


def save(table: LatencyTable, out: str | Path) -> None:
    """Write a table.

    Raises:
        HwnasError: It cannot be written.
    """
    require_file(out)
    try:
        save_table(table, Path(out))
    except OSError as error:
        raise HwnasError(f"cannot write {out}: {error.strerror}; choose another place") from None
