"""One connection to a device: an ssh process whose input and output carry the protocol; every wait has a time-out."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import TypeVar

from latency_tables import strict_json
from profilers._remote._archive import runner_archive
from profilers._remote._protocol import GREETING, VERSION, Decoder, Message, ProtocolError, encode
from profilers._remote._store import digest_of

SILENCE_S = 180.0
"""Seconds without a message, while a request is pending, after which the connection is lost."""
GREETING_S = 60.0
"""Seconds within which the greeting must arrive."""
MOST_SILENCES = 20
"""An answer must arrive within this many times the silence, whatever else arrives."""
_SLOWEST = 10_000.0
"""Bytes per second below which a transfer is too slow."""
_MOST_NOISE = 2**16
"""Most bytes that a login shell may print before the greeting."""
_MOST_ANSWER, _MOST_STEP = 2**18, 64
"""Most bytes of an answer, and how many more each session or file of its request allows."""
_MOST_SAID = 2**24
"""Most bytes on standard error."""
_SSH_FAILED = 255
_ENDING_S = 2.0
_T = TypeVar("_T")


class LinkLostError(Exception):
    """The connection was lost; the text says why. Another attempt may succeed."""


class LinkRefusedError(Exception):
    """The connection cannot be started; another attempt is useless."""


class Link:
    """A connection: a started command that speaks the protocol.

    Args:
        command: The command line.
        silence_s: Seconds without a message after which the connection is lost.

    Attributes:
        process: The started command.
        asked: Moment of the last answer, of `time.monotonic`.

    Raises:
        LinkRefusedError: The command cannot be started.
    """

    def __init__(self, command: Sequence[str], *, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._decoder = Decoder()
        self._count = 0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the link)
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise LinkRefusedError(f"cannot start {command[0]!r}: {error.strerror}; install OpenSSH") from None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        os.set_blocking(self._input.fileno(), False)
        self.asked = time.monotonic()

    def greet(self, order: Mapping[str, object], payload: bytes = b"") -> Message:
        """Send the bootstrap and its order; return the greeting.

        Args:
            order: The order for the bootstrap.
            payload: Bytes that follow it.

        Raises:
            LinkLostError: The connection ended, or no greeting came in time.
        """
        source = (Path(__file__).parent / "_bootstrap.py").read_text(encoding="utf-8")
        with contextlib.suppress(BrokenPipeError):  # the device's answer says more
            self._write(repr(source).encode("ascii") + b"\n" + json.dumps(order).encode("ascii") + b"\n" + payload)
        deadline, skipped = time.monotonic() + GREETING_S, 0
        self._decoder.most_line = _MOST_NOISE
        while True:
            line = self._decoded(self._decoder.line)
            if line is None:
                self._read(deadline)
            elif line.startswith(GREETING):
                return _greeting(line)
            elif (skipped := skipped + len(line)) > _MOST_NOISE:
                raise LinkLostError("the device sent output that is not a greeting of the runner")

    def ask(
        self, message: Mapping[str, object], payload: bytes = b"", *, most_payload: int = 0
    ) -> tuple[Message, bytes]:
        """Send a request and wait for its answer.

        Args:
            message: The request.
            payload: Bytes that follow it.
            most_payload: Most bytes that may follow the answer.

        Returns:
            The answer and its payload.

        Raises:
            LinkLostError: The connection ended, or the answer is late, damaged or too long.
        """
        self._count += 1
        steps = _steps(message)
        self._decoder.most_line, self._decoder.most_payload = _MOST_ANSWER + _MOST_STEP * steps, most_payload
        try:
            self._write(encode({**message, "id": self._count}, payload))
        except BrokenPipeError:
            raise LinkLostError(self._why()) from None
        silent = time.monotonic() + self._silence_s
        whole = time.monotonic() + self._silence_s * min(steps + 1, MOST_SILENCES) + most_payload / _SLOWEST
        while True:
            answer = self._decoded(self._decoder.next)
            if answer is None:
                self._read(whole if self._decoder.in_payload else min(silent, whole))
            elif type(answer[0].get("id")) is int and answer[0]["id"] == self._count:
                self.asked = time.monotonic()
                return answer
            elif answer == ({"alive": True}, b""):
                silent = time.monotonic() + self._silence_s
            else:
                raise LinkLostError("the device answered a request that is not pending")

    def close(self) -> None:
        """End the connection, and with it the runner on the device."""
        for stream in (self._input, self._output):
            with contextlib.suppress(OSError):
                stream.close()
        try:
            self.process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()

    def _decoded(self, read: Callable[[], _T]) -> _T:
        """Call a method of the decoder.

        Raises:
            LinkLostError: The device does not speak the protocol.
        """
        try:
            return read()
        except ProtocolError as error:
            raise LinkLostError(f"the device does not speak the runner's protocol: {error}") from None

    def _write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            LinkLostError: They cannot be sent in time.
            BrokenPipeError: The connection has ended.
        """
        rest = memoryview(data)
        deadline = time.monotonic() + self._silence_s + len(data) / _SLOWEST
        with selectors.DefaultSelector() as selector:
            selector.register(self._input, selectors.EVENT_WRITE)
            while rest:
                if not selector.select(min(self._silence_s, max(0.0, deadline - time.monotonic()))):
                    raise LinkLostError(f"no data could be sent for {self._silence_s:g} s")
                if time.monotonic() > deadline:
                    raise LinkLostError("the device receives data too slowly")
                rest = rest[os.write(self._input.fileno(), rest[: 2**16]) :]

    def _read(self, deadline: float) -> None:
        """Wait for data until `deadline`, a moment of `time.monotonic`, and pass it to the decoder.

        Raises:
            LinkLostError: None came in time, the connection ended, or the device writes too many errors.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LinkLostError("the device did not answer in time")
                if os.fstat(self._said.fileno()).st_size > _MOST_SAID:
                    raise LinkLostError("the device writes too much to standard error")
                if selector.select(min(left, 1.0)):
                    break
        data = os.read(self._output.fileno(), 2**18)
        if not data:
            raise LinkLostError(self._why())
        self._decoder.feed(data)

    def _why(self) -> str:
        """Return why the connection ended: what ssh says, or else how the process on the device ended."""
        try:
            code = self.process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return "the device closed the connection"
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 2000))
        lines = [printable(line) for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        last = lines[-1] if lines else ""
        if code < 0:
            return f"ssh was stopped by signal {-code}"
        if code == _SSH_FAILED or code == 0:
            return last or "the connection was closed"
        return f"the process there ended with exit code {code}" + (f": {last}" if last else "")


def start_order(cache: str) -> tuple[dict[str, object], bytes]:
    """Return the order and the payload that make the bootstrap start a runner.

    Args:
        cache: The cache folder on the device.
    """
    archive = runner_archive()
    name = f"runner-{digest_of(archive)[:16]}.pyz"
    return {"do": "serve", "cache": cache, "name": name, "size": len(archive)}, archive


def printable(text: object, most: int = 300) -> str:
    """Return foreign text for people: one line without control characters, of at most `most` characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in str(text)).split())[:most]


def _steps(message: Mapping[str, object]) -> int:
    """Count the sessions or files of a request: the device may say that it is alive between two of them."""
    counted = [value for name in ("sessions", "digests") if isinstance(value := message.get(name), Sized)]
    return max(1, *map(len, counted)) if counted else 1


def _greeting(line: bytes) -> Message:
    """Read a greeting.

    Raises:
        LinkLostError: It is damaged or of another version.
    """
    try:
        greeting = strict_json(line)
    except ValueError:
        raise LinkLostError("the device's greeting is damaged") from None
    if type(greeting["hwnas-runner"]) is not int or greeting.get("hwnas-runner") != VERSION:
        raise LinkLostError("the device's greeting has another version of the protocol")
    return dict(greeting)
