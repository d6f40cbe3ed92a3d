"""Tables of a device: `profile`, `bundle`, `draw` and `fit`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

from hwnas._api._commands import RESULT
from hwnas._api._given import SpaceOptions, quiet, read_options, refuse_options, require_file, resolve_space, save
from hwnas._common._option import dashed, renamed
from hwnas._costs._units import parse_bytes
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._runs._options import DEVICE, SPACE
from hwnas._tables._build import build_table, default_table_path, require_drawing
from hwnas._tables._bundle import import_table, make_bundle
from hwnas._tables._draw_folder import draw as draw_folder
from hwnas._tables._fit import fit_table
from hwnas.spaces import Space, input_channels, with_precision
from latency_tables import LatencyTable
from profilers import Backend, Workload


class Measuring(TypedDict, total=False):
    """How a device measures; each has the default that the command line has."""

    threads: int
    batch: int
    precision: str
    provider: str | None
    protocol: str | None
    channels_last: bool


class Profiling(Measuring, SpaceOptions, total=False):
    """What else ``hwnas profile`` takes: options of a space and of a device that are named, and a bundle's result."""

    result: str | Path | None


def profile(
    space: Workload | str = "mobilenetv3",
    device: Backend | str = "cpu",
    *,
    out: str | Path | None = None,
    networks: int = 50,
    seed: int = 0,
    force: bool = False,
    progress: Callable[[str], None] = quiet,
    **more: Unpack[Profiling],
) -> LatencyTable:
    """Measure a latency table of a space on a device, as ``hwnas profile`` does.

    An interrupted call continues where it stopped; an existing table is returned as it is.

    Args:
        space: A space, the name of one, or a file that declares one (see `make_space`); or any other `Workload`, such
            as a fixed list of graphs.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"ssh://[user@]host[:port]"``, or a backend.
        out: The table's file; None for one in the user's table folder, where searches look for tables.
        networks: Held-out networks, spread from the fastest to the slowest, that validate the table; ten more fit its
            correction, and sixty its intervals.
        seed: Random seed of these networks.
        force: Measure again and replace an existing table.
        progress: Receives progress lines; `print`, say.
        more: Any other option of ``hwnas profile``: for a device that is named ``threads``, ``batch``, ``precision``,
            ``provider``, ``protocol`` and ``channels_last``; for a space that is named ``preset``, ``resolution``,
            ``width``, ``image_size``, ``classes``, ``image_channels``, ``frontend`` and ``space_settings``; ``result``,
            which is ``--import``, builds the table from a bundle's ``result.json``.

    Raises:
        HwnasError, LatencyTableError, ProfilerError: One line each (see `Errors`).
    """
    require_drawing(networks, seed)
    given: dict[str, Any] = dict(more)
    output = given.pop("output", None)  # as ``out`` was called before
    out = output if out is None else out
    values = read_options("profile", (*DEVICE, *SPACE, RESULT), given)
    if "result" in values:
        named = {option.name: (values.get(option.name), option.default) for option in (*DEVICE, *SPACE)}
        named |= {"space": (space, "mobilenetv3"), "device": (device, "cpu")}
        named |= {"networks": (networks, 50), "seed": (seed, 0)}
        _require_alone({name: pair for name, pair in named.items() if pair[0] is not None})
        return import_table(values["result"], out, force=force)
    made = resolve_space(space, values)
    if values.get("precision") == "mixed":
        if not isinstance(made, Space):
            raise HwnasError(f"--precision mixed needs a space, {made.name} is a workload: it says its ops' precision")
        made = with_precision(made, "mixed")
    measuring = {option.name: values[option.name] for option in DEVICE if option.name in values}
    if isinstance(device, str):
        backend = make_backend(device, image_channels=input_channels(made), progress=progress, **measuring)
    else:
        refuse_options(measuring, measuring, "device")
        backend = device
    path = default_table_path(made, backend) if out is None else Path(out)
    return build_table(made, backend, path, networks=networks, seed=seed, force=force, progress=progress)


def _require_alone(given: Mapping[str, tuple[object, object]]) -> None:
    """Refuse options beside a result, which states device, space and networks itself.

    Args:
        given: Value and default of each option.

    Raises:
        HwnasError: One has another value than its default.
    """
    for name, (value, usual) in given.items():
        if not isinstance(value, type(usual)) or value != usual:
            raise HwnasError(f"{dashed(name)} does not go with --import: device, space and networks are the bundle's")


def bundle(
    space: Space | str = "mobilenetv3",
    *,
    out: str | Path,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    core_cache: int | str = "1M",
    networks: int = 50,
    seed: int = 0,
    progress: Callable[[str], None] = quiet,
    **more: Unpack[SpaceOptions],
) -> int:
    """Write a profile as a folder, for a device without ssh, as ``hwnas bundle`` does.

    Args:
        space: A space, or the name of one.
        out: The folder to write; absent or empty.
        threads: CPU threads inside an operator.
        batch: Samples per inference.
        precision: ``"fp32"`` or ``"int8"``.
        core_cache: Second-level cache of a core: bytes, or like ``"512k"``.
        networks: Held-out networks, spread from the fastest to the slowest, that validate the table; ten more fit its
            correction, and sixty its intervals.
        seed: Random seed of these networks.
        progress: Receives progress lines.
        more: Options of a space that is named.

    Returns:
        The number of models in the folder.

    Raises:
        HwnasError: An option is out of range, or the folder is in use or cannot be written.
    """
    require_drawing(networks, seed)
    made = resolve_space(space, read_options("bundle", SPACE, more))
    setting = {
        "threads": threads,
        "batch": batch,
        "precision": precision,
        "image_channels": input_channels(made),
        "core_cache_bytes": int(parse_bytes(core_cache) if isinstance(core_cache, str) else core_cache),
    }
    return make_bundle(made, Path(out), setting, networks=networks, seed=seed, progress=progress)


def draw(
    space: Space | str = "mobilenetv3",
    *,
    out: str | Path,
    networks: int = 12,
    seed: int = 0,
    batch: int = 1,
    precision: str = "fp32",
    progress: Callable[[str], None] = quiet,
    **more: Unpack[SpaceOptions],
) -> list[str]:
    """Write networks of a space as ONNX files that you measure yourself, as ``hwnas draw`` does; see `fit`.

    They cover the range of latencies; the space's fastest and slowest network (by an estimate) are among them. Weights
    are random.

    Args:
        space: A space, or the name of one.
        out: The folder to write; absent or empty.
        networks: Number of networks, at least as many as a fit needs; a space with fewer gives all that it has.
        seed: Random seed of the networks and their weights.
        batch: Samples per inference.
        precision: ``"fp32"`` or ``"int8"``.
        progress: Receives progress lines.
        more: Options of a space that is named.

    Returns:
        The networks' texts, in the order of the files.

    Raises:
        HwnasError: An option is out of range, or the folder is in use or cannot be written.
    """
    made = resolve_space(space, read_options("draw", SPACE, more))
    return draw_folder(
        made,
        out=out,
        networks=networks,
        seed=seed,
        batch=batch,
        precision=precision,
        options=typed_space(space if isinstance(space, str) else made.name, more),
        progress=progress,
    )


def typed_space(space: str, more: Mapping[str, Any]) -> str:
    """Return the options of a space as they are typed, for the next command."""
    texts = [f"--space {shlex.quote(space)}"]
    for name, value in renamed(SPACE, more).items():
        if value is None or not value:
            continue
        if name == "space_settings":
            pairs = value.items() if isinstance(value, Mapping) else (text.split("=", 1) for text in value)
            texts += [f"--space-option {shlex.quote(f'{setting}={_typed(of)}')}" for setting, of in pairs]
        else:
            texts.append(f"{dashed(name)} {shlex.quote(_typed(value))}")
    return " ".join(texts)


def _typed(value: object) -> str:
    return ",".join(map(_typed, value)) if isinstance(value, (list, tuple)) else str(value)


def fit(
    csv: str | Path,
    space: Space | str = "mobilenetv3",
    *,
    latency_column: str,
    device: str,
    unit: str | None = None,
    batch: int = 1,
    dead_code: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    progress: Callable[[str], None] = quiet,
    **more: Unpack[SpaceOptions],
) -> LatencyTable:
    """Build a latency table from the latencies of whole networks, as ``hwnas fit`` does.

    Args:
        csv: A ``.csv`` or ``.csv.gz`` file with a column ``arch``, one network per row.
        space: A space, or the name of one; reads the architectures.
        latency_column: Column of latencies.
        device: Name of the device that was measured.
        unit: Unit of that column: ``s``, ``ms``, ``us`` or ``ns``; None for the one that its name ends with, else ms.
        batch: Samples per inference.
        dead_code: What the device did with branches that reach no output: ``executed``, ``removed``, or ``auto`` for
            what predicts left-out networks better.
        seed: Random seed of the bootstrap for the intervals.
        out: File to write the table to; None to return it only.
        progress: Receives progress lines.
        more: Options of a space that is named.

    Raises:
        HwnasError: The file or a row cannot be used, there are fewer than 10 networks, or `out` cannot be written.
    """
    require_file(out)
    table = fit_table(
        resolve_space(space, read_options("fit", SPACE, more)),
        csv,
        latency_column=latency_column,
        device=device,
        unit=unit,
        batch=batch,
        dead_code=dead_code,
        seed=seed,
        progress=progress,
    )
    if out is not None:
        save(table, out)
    return table
