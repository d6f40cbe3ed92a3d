"""How the libraries of trackers are called: without their lines, warnings and long waits."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout


@contextmanager
def calls(library: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Keep a library from writing to the terminal while it is called.

    Args:
        library: Name of its logger; what it logs is not shown, since its errors are raised as well.
        environment: Variables of the environment that it gets, unless the user has set them.
    """
    added = {name: value for name, value in (environment or {}).items() if name not in os.environ}
    logger = logging.getLogger(library)
    level = logger.level
    os.environ.update(added)
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)
