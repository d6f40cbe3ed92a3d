"""What files a folder holds: looks through folders until they tell what the folder is for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hwnas._errors import DataError
from hwnas.data._kinds import IMAGES, Files
from hwnas.data._names import shown

_DEEPEST = 32
_ENOUGH = 10_000
"""So many files tell what a folder is for."""


def has_files(folder: Path, kind: Files = IMAGES) -> bool:
    """Return whether a file of the kind is in a folder or in any folder in it."""
    return any(_has_file(here, kind) for here in each_folder(folder))


def are_most(folder: Path, *kinds: Files) -> bool:
    """Return whether a folder and the folders in it hold files of some kinds, and at most stray images beside them.

    Images are stray if there are fewer than half as many. In large trees only the first files of the nearest folders
    are looked at, in the order in which the file system lists them.
    """
    sought = {suffix for kind in kinds for suffix in kind.suffixes}
    images = wanted = 0
    for suffix in islice(_suffixes(folder), _ENOUGH):
        images += suffix in IMAGES.suffixes
        wanted += suffix in sought
    return 2 * images < wanted


def _suffixes(folder: Path) -> Iterator[str]:
    """Yield the suffix of each file in a folder and the folders in it; an empty text for hidden files and odd ones."""
    for here in each_folder(folder):
        with os.scandir(here) as entries:
            for entry in entries:
                if not entry.is_dir():
                    yield suffix_of(entry.name) if entry.name[0] != "." and entry.is_file() else ""


def _has_file(folder: Path, kind: Files) -> bool:
    """Return whether `files_in` would find a file of the kind; ends at the first."""
    with os.scandir(folder) as entries:
        return any(e.name[0] != "." and suffix_of(e.name) in kind.suffixes and e.is_file() for e in entries)


def each_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder and all folders in it, nearest first, each once however often links lead there."""
    seen: set[tuple[int, int]] = set()
    waiting = deque([(folder, 0)])
    while waiting:
        here, depth = waiting.popleft()
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        if depth > _DEEPEST:
            raise DataError(f"data {shown(here)}: is more than {_DEEPEST} folders deep; move it up")
        yield here
        waiting.extend((path, depth + 1) for path in folders_in(here))


def folders_in(folder: Path) -> list[Path]:
    """Return folders in a folder, by name; hidden ones are skipped."""
    with os.scandir(folder) as entries:
        return sorted(
            (Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir()), key=lambda p: p.name
        )


def suffix_of(name: str) -> str:
    """Return the end of a name from its last dot, in lower case."""
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if stem and dot else ""
