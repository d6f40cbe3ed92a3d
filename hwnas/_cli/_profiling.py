"""The commands that make a table of a device, wherever that is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._api._options import profiled_space
from hwnas._cli._output import measuring, progress_lines, say
from hwnas._runs._settings import parse_count

if TYPE_CHECKING:
    from latency_tables import LatencyTable


def run_profile(options: argparse.Namespace) -> None:
    """``hwnas profile``."""
    from hwnas._devices._make import make_backend
    from hwnas._tables._build import build_table, default_table_path
    from hwnas.spaces import make_space

    if options.result is not None:
        _import(options)
        return
    settings = _profiled_space(options)
    channels, progress = settings.get("image_channels", 3), progress_lines()
    backend = make_backend(options.device, image_channels=channels, **measuring(options), progress=progress)
    space = make_space(options.space, **settings)
    path = Path(options.output) if options.output else default_table_path(space, backend)
    table = build_table(
        space,
        backend,
        path,
        seed=options.seed,
        networks=options.networks,
        force=options.force,
        progress=progress,
    )
    _show_profile(table, path)


def run_bundle(options: argparse.Namespace) -> None:
    """``hwnas bundle``."""
    from hwnas._tables._bundle import make_bundle
    from hwnas.spaces import make_space

    settings = _profiled_space(options)
    models = make_bundle(
        make_space(options.space, **settings),
        Path(options.output),
        {
            "threads": options.threads,
            "batch": options.batch,
            "precision": options.precision,
            "image_channels": settings.get("image_channels", 3),
            "core_cache_bytes": int(parse_count(options.core_cache)),
        },
        networks=options.networks,
        seed=options.seed,
        progress=progress_lines(),
    )
    say(f"{models} models in {options.output}; README.txt there says how to go on")


def run_draw(options: argparse.Namespace) -> None:
    """``hwnas draw``."""
    from hwnas._tables._draw_folder import draw
    from hwnas.spaces import make_space

    texts = draw(
        make_space(options.space, **profiled_space(vars(options))),
        out=options.output,
        networks=options.networks,
        seed=options.seed,
        batch=options.batch,
        precision=options.precision,
        options=_space_words(options),
        progress=progress_lines(),
    )
    say(f"{len(texts)} networks in {options.output}; README.txt there says how to go on")


def _space_words(options: argparse.Namespace) -> str:
    """The options of the space as they were typed, for the next command."""
    names = ("space", "preset", "resolution", "width", "image_size", "classes", "image_channels")
    given = {name: getattr(options, name) for name in names}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None)


def _profiled_space(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the space to profile."""
    from hwnas._tables._build import require_drawing

    require_drawing(options.networks, options.seed)
    return profiled_space(vars(options))


def _import(options: argparse.Namespace) -> None:
    from hwnas._tables._bundle import import_table

    table = import_table(options.result, options.output, force=options.force)
    _show_profile(table, Path(options.output))


def _show_profile(table: LatencyTable, path: Path) -> None:
    for line in table.report_lines():
        say(line)
    for note in table.notes:
        say(f"warning: {note}")
    say(f"{len(table.entries)} prices in {path}")


def run_device(options: argparse.Namespace) -> None:
    """``hwnas device clean``."""
    from profilers import clean_device

    removed, folder = clean_device(options.device)
    say(f"{folder} removed from {options.device}" if removed else f"{options.device} has no {folder}: it is clean")
