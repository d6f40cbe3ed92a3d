"""Loading a network on the device, and running it once: only then is it known that the device can."""

from __future__ import annotations

from collections.abc import Callable

from hwnas._common._foreign import LEAVES, error_line
from hwnas._errors import HwnasError
from profilers import ProfilerError, Runnable, UnsupportedGraphError


class NotRunnableError(Exception):
    """The device cannot run a network.

    Args:
        reason: Why, in one line.
        error: The error of the back end.
    """

    def __init__(self, reason: str, error: BaseException) -> None:
        super().__init__(reason)
        self.error = error


def load_and_run(load: Callable[[], Runnable]) -> Runnable:
    """Load a network and run it once.

    Args:
        load: Loads it.

    Raises:
        NotRunnableError: The device cannot run it, with the reason in one line.
        ProfilerError: The device cannot be reached.
    """
    try:
        runnable = load()
        runnable.run(1)
    except UnsupportedGraphError as error:
        raise NotRunnableError(str(error), error) from error
    except (ProfilerError, HwnasError):
        raise
    except (Exception, *LEAVES) as error:  # a runtime, or a back end of a plug-in, may raise anything
        raise NotRunnableError(error_line(error), error) from error
    return runnable
