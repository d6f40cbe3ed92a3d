"""The runner: answers requests from its standard input until that closes, or measures a bundle. Runs on devices."""

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
"""A runner without a request for this long ends: its connection may be lost without a sign."""
_ALIVE_SECONDS = 2.0
"""During a long request, the runner says this often that it is working."""


def missing_packages() -> list[str]:
    """Return the needed packages that this Python lacks."""
    return [name for name in NEEDED if find_spec(name) is None]


def main(arguments: list[str]) -> int:
    """Run ``serve FOLDER``, or measure the bundled profile in a folder; return an exit code."""
    if len(arguments) == 2 and arguments[0] == "serve":
        return serve(Path(arguments[1]))
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python3 runner.pyz job   (job: the folder beside this file)\n")
        return 2
    if missing := missing_packages():
        sys.stderr.write(f"{sys.executable} lacks {', '.join(missing)}; run: {sys.executable} -m pip install ")
        sys.stderr.write(" ".join(missing) + "\n")
        return 2
    from profilers._remote._bundled_profile import run_bundled_profile

    return run_bundled_profile(Path(arguments[0]))


def serve(home: Path) -> int:
    """Answer requests until standard input closes or falls silent; return an exit code."""
    source, target = _own_streams()
    os.write(target, b"\n")  # the greeting begins a line, whatever the login shell wrote before it
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

    alive_signal = _AliveSignal(target)
    requests = Requests(store, alive_signal)
    while True:
        try:
            message = arrived.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            return 0
        if message is None:
            return 3
        request, payload = message
        alive_signal.begin()
        answer, content = requests.answer(request, payload)
        _send(target, {**answer, "id": request.get("id")}, content)


class _AliveSignal:
    """Says at intervals that the runner is working; called between measurements, never within one."""

    def __init__(self, target: int) -> None:
        self._target, self._last = target, time.monotonic()

    def begin(self) -> None:
        """Start the interval anew, for a new request."""
        self._last = time.monotonic()

    def __call__(self) -> None:
        """Say it, where the interval is over."""
        if time.monotonic() - self._last > _ALIVE_SECONDS:
            _send(self._target, {"alive": True})
            self._last = time.monotonic()


def _own_streams() -> tuple[int, int]:
    """Reserve standard input and output for the protocol: whatever else is printed goes to standard error.

    The process becomes the leader of its own group, so that it can end together with its children.

    Returns:
        The file descriptors of the protocol's input and output.
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
    """Put requests into a queue; when the stream closes, even during a measurement, end all processes at once."""
    decoder = Decoder(most_payload=MOST_PAYLOAD)
    try:
        while data := os.read(source, 2**20):
            decoder.feed(data)
            while (message := decoder.next()) is not None:
                arrived.put(message)
    except ProtocolError:
        arrived.put(None)
        return
    except OSError:
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _send(target: int, message: Message, payload: bytes = b"") -> None:
    """Send a message; where nobody reads it any longer, end all processes."""
    data = memoryview(encode(message, payload))
    try:
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        os.killpg(os.getpgrp(), signal.SIGKILL)
