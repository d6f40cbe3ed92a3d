"""The runner: obeys requests from its standard input until that closes, or runs a job. Runs on devices."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from profilers._remote._protocol import MOST_PAYLOAD, VERSION, Decoder, Message, ProtocolError, encode
from profilers._remote._store import ModelStore

NEEDED = ("numpy", "onnxruntime", "psutil")
_IDLE_SECONDS = 600.0
"""A runner that is asked nothing for so long ends: its connection may be gone without anybody noticing."""
_ALIVE_SECONDS = 2.0
"""A long request says so often that it is being worked on."""


def missing_packages() -> list[str]:
    """What this Python lacks."""
    return [name for name in NEEDED if find_spec(name) is None]


def main(arguments: list[str]) -> int:
    """``serve FOLDER``, or the folder of a job."""
    if len(arguments) == 2 and arguments[0] == "serve":
        return serve(Path(arguments[1]))
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python3 runner.pyz JOB   (the folder that lies beside this file)\n")
        return 2
    if missing := missing_packages():
        sys.stderr.write(f"{sys.executable} lacks {', '.join(missing)}: {sys.executable} -m pip install ")
        sys.stderr.write(" ".join(missing) + "\n")
        return 2
    from profilers._remote._job import run_job

    return run_job(Path(arguments[0]))


def serve(home: Path) -> int:
    """Obey requests; returns when standard input has closed."""
    source, target = _own_streams()
    missing = missing_packages()
    try:
        store = ModelStore(home / "models")
    except OSError as error:
        _send(target, {"hwnas-runner": VERSION, "error": str(error)})
        return 3
    _send(target, {"hwnas-runner": VERSION, "missing": missing, "python": sys.executable, "folder": str(home)})
    if missing:
        return 3
    arrived: queue.SimpleQueue[tuple[Message, bytes] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, arrived), daemon=True).start()
    from profilers._remote._requests import Requests

    beat = _Beat(target)
    requests = Requests(store, beat)
    while True:
        try:
            found = arrived.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            return 0
        if found is None:
            return 3
        request, payload = found
        beat.begin()
        answer, content = requests.answer(request, payload)
        _send(target, {**answer, "id": request.get("id")}, content)


class _Beat:
    """Says now and then, between measurements and never within one, that the runner is at work."""

    def __init__(self, target: int) -> None:
        self._target, self._last = target, time.monotonic()

    def begin(self) -> None:
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last > _ALIVE_SECONDS:
            _send(self._target, {"alive": True})
            self._last = time.monotonic()


def _own_streams() -> tuple[int, int]:
    """Standard input and output for the protocol alone: whatever else is printed goes to standard error.

    The process leads a group of its own, so that it can end together with its children.
    """
    source, target = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    return source, target


def _listen(source: int, arrived: Any) -> None:
    """Pass requests on; when the stream closes, in the middle of a measurement or not, everything ends at once."""
    decoder = Decoder(most_payload=MOST_PAYLOAD)
    try:
        while data := os.read(source, 2**20):
            decoder.feed(data)
            while (found := decoder.next()) is not None:
                arrived.put(found)
    except ProtocolError:
        arrived.put(None)
        return
    except OSError:
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _send(target: int, message: Message, payload: bytes = b"") -> None:
    data = memoryview(encode(message, payload))
    try:
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        os.killpg(os.getpgrp(), signal.SIGKILL)
