"""Profiles for devices without ssh: a folder to carry there, and a result to bring back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwnas._costs._draw import DRAWING, draw_networks, draw_networks_as_before
from hwnas._devices._make import CPU_PRECISIONS, require_batch
from hwnas._errors import HwnasError
from hwnas._tables._build import require_drawing
from hwnas._tables._new_folder import new_folder
from hwnas.spaces import Space, make_space
from latency_tables import LatencyTable
from profilers import SamplingSettings, read_result, table_of_result, write_bundle


def make_bundle(
    space: Space,
    folder: Path,
    setting: Mapping[str, Any],
    *,
    networks: int,
    seed: int,
    settings: SamplingSettings | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> int:
    """Write the profile of a space as a folder.

    Args:
        space: The search space.
        folder: Absent or empty.
        setting: ``threads``, ``batch``, ``image_channels``, ``precision``, ``core_cache_bytes``.
        networks: Held-out networks; ten more are drawn for the correction.
        seed: Random seed of the networks that are drawn.
        settings: Settings of the sampling.
        progress: Receives progress lines.

    Returns:
        How many models it holds.

    Raises:
        HwnasError: A setting is out of range, or the folder is in use or cannot be written.
    """
    if setting["precision"] not in CPU_PRECISIONS:
        raise HwnasError(f"--precision must be {' or '.join(CPU_PRECISIONS)} for a bundle, got {setting['precision']}")
    if setting["threads"] < 1:
        raise HwnasError(f"--threads must be 1 or more, got {setting['threads']}")
    require_batch(setting["batch"])
    with new_folder(folder):
        return write_bundle(
            folder,
            {**setting, "provider": "cpu"},
            space.ops(),
            draw_networks(space, networks, seed),
            about={"space": space.name, "space_settings": space.settings, "networks": networks, "seed": seed}
            | {"drawing": DRAWING},
            settings=settings,
            progress=progress,
        )


def import_result(path: Path) -> LatencyTable:
    """Return the table of what was brought back; the result says which space it is of.

    Raises:
        ProfilerError, HwnasError: It is not a result, is damaged, or of another version of hwnas.
    """
    result = read_result(path)
    about = result["job"].get("about")
    try:
        networks, seed, name, given = (about[key] for key in ("networks", "seed", "space", "space_settings"))
        if any(type(number) is not int for number in (networks, seed)) or not isinstance(given, dict):
            raise ValueError("no numbers of networks and of a seed, or no settings")
        require_drawing(networks, seed)
    except (KeyError, TypeError, ValueError, HwnasError):
        raise _damaged(path) from None
    try:
        space = make_space(str(name), **given)  # that of a plug-in may not be installed here, and says so
        draw = draw_networks if about.get("drawing") == DRAWING else draw_networks_as_before
        drawn = draw(space, networks, seed)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _damaged(path) from None
    named = {"name": space.name, "settings": space.settings}
    return table_of_result(result, space.ops(), drawn, space=named, source=str(path))


def _damaged(path: Path) -> HwnasError:
    return HwnasError(f"{path} is damaged; copy result.json from the device again")


def import_table(result: str | Path, out: str | Path | None, *, force: bool) -> LatencyTable:
    """Make the table of a bundle's result, and write it.

    Raises:
        HwnasError: No file is named, or it is there already, or it cannot be written.
        ProfilerError: The result cannot be used.
    """
    if out is None:
        raise HwnasError("--import needs the table's file name: -o table.json")
    if Path(out).exists() and not force:
        raise HwnasError(f"{out} exists; choose another -o, or --force to replace it")
    table = import_result(Path(result))
    try:
        table.save(Path(out))
    except OSError as error:
        raise HwnasError(f"cannot write {out}: {error.strerror}; choose another place") from None
    return table
