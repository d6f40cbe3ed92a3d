"""What all loaders refuse, and how they say that files cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from hwnas._common._seeds import is_whole
from hwnas._errors import DataError
from hwnas.data._names import can_be_written, shown

LARGEST = 4096
"""Most pixels of a side that images are scaled to."""


def require_arguments(spec: str | Path, image_size: int | None, limit: int | None, seed: int) -> str:
    """Refuse arguments of a loader that no data can have; return the name of the data as text.

    Raises:
        DataError: With the reason.
    """
    spec = str(spec)
    for what, value in (("image size", image_size), ("limit", limit), ("seed", seed)):
        if value is not None and not is_whole(value):
            raise DataError(f"data {shown(spec)}: the {what} must be a whole number, got {value!r}")
    if seed < 0:
        raise DataError(f"data {shown(spec)}: the seed must be 0 or more, got {seed}")
    if image_size is not None and image_size < 1:
        raise DataError(f"data {shown(spec)}: the image size must be 1 or more, got {image_size}")
    if image_size is not None and image_size > LARGEST:
        raise DataError(f"data {shown(spec)}: the image size must be {LARGEST} or less, got {image_size}")
    if limit is not None and limit < 1:
        raise DataError(f"data {shown(spec)}: the limit must be 1 or more, got {limit}")
    if not can_be_written(spec):  # it is written into the run, its report and the terminal
        raise DataError(
            f"data {shown(spec)}: its name is not UTF-8 or holds control characters; rename it, or link to it"
        )
    return spec


@contextmanager
def one_line(spec: str, samples: str = "images", remedy: str = "--image-size N or --data-limit N") -> Iterator[None]:
    """Raise `DataError` where files cannot be read or do not fit into memory.

    Args:
        spec: The data set's name.
        samples: What fills the memory.
        remedy: Options that make it less.
    """
    try:
        yield
    except OSError as error:
        place = shown(error.filename or spec)
        raise DataError(f"data {place}: cannot be read ({error.strerror or error}); repair or remove it") from None
    except MemoryError:
        raise DataError(f"data {shown(spec)}: its {samples} do not fit into memory; give {remedy}") from None


def recogniser(looks_like: Callable[[str], bool]) -> Callable[[str], bool]:
    """Make a function that looks at data say no where they cannot be read: loading them says why."""

    @wraps(looks_like)
    def recognise(spec: str) -> bool:
        try:
            return looks_like(spec)
        except (OSError, ValueError):  # `DataError` is one, and a name with a zero byte raises one
            return False

    return recognise
