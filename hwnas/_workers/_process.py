"""The inside of a local worker process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from types import FrameType

from hwnas._common._foreign import Leaving
from hwnas._workers._kit import unpack
from hwnas._workers._messages import Reply, sendable

READY = "ready"
"""A worker's first message."""


def work(connection: Connection, packed: bytes) -> None:
    """Answer jobs until the search ends the process or is gone.

    Args:
        connection: To the search: `READY` or a reply with an error first, then a reply for each job.
        packed: From `PortableEvaluators.pack`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the search's to handle
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_the_search, daemon=True).start()
    try:
        evaluators = unpack(packed)
    except Exception as error:
        connection.send(Reply(None, sendable(error)))
        return
    del packed
    try:
        connection.send(READY)
        while True:
            connection.send(evaluators.reply(connection.recv()))
    except (EOFError, OSError):
        return  # the search is gone


def _leave(number: int, frame: FrameType | None) -> None:
    """Unwind, so that no half-written file stays behind."""
    raise Leaving(1)


def _end_with_the_search() -> None:
    """End this worker when its search is killed, even in the middle of a training."""
    search = multiprocessing.parent_process()
    if search is not None:
        search.join()
        os._exit(1)
