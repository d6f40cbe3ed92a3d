"""A remote device: lost connections are made again, and unfinished requests are sent again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profilers._errors import ArenaTimeoutError, DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError
from profilers._remote._address import Address, device_cache, device_python
from profilers._remote._facts import DeviceFacts, read_facts
from profilers._remote._greeting import require_runner
from profilers._remote._link import SILENCE_S, Link, LinkLostError, LinkRefusedError, printable, start_order
from profilers._remote._protocol import Message
from profilers._remote._store import digest_of
from profilers._timing import TextProgress

WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds to wait before each attempt to reconnect; after the last, the device is given up."""
REST_S = 240.0
"""A connection that was unused for this many seconds is made again: the runner may have ended by itself."""
_FINAL = ("Host key verification failed", "Permission denied", "Bad configuration")
"""What ssh says where another attempt is useless."""
_ERRORS = {"unsupported": UnsupportedGraphError, "energy": EnergyUnavailableError, "late": ArenaTimeoutError}


@dataclass(frozen=True)
class Model:
    """What a session on the device is opened with.

    Attributes:
        digest: Hash of the ONNX file.
        content: Makes the file again, where the device no longer has it.
        seed: Seeds the inputs.
        sweep_bytes: Bytes of other memory that the device reads before each inference.
    """

    digest: str
    content: Callable[[], bytes]
    seed: int
    sweep_bytes: int = 0


class RemoteDevice:
    """A device at an address.

    Args:
        address: Where it is.
        threads: Threads inside an operator.
        progress: Receives a line for each lost connection.
        waits_s: Seconds to wait before each attempt to reconnect.
        silence_s: Seconds without an answer after which the connection is lost.

    Attributes:
        facts: What the device states about itself.
        lost: How often the connection was lost.

    Raises:
        DeviceUnavailableError: The device cannot be reached, or lacks a package.
    """

    def __init__(
        self,
        address: Address,
        *,
        threads: int,
        progress: TextProgress = lambda text: None,
        waits_s: Sequence[float] = WAITS_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.address, self.threads, self.provider = address, threads, ""
        self.lost = 0
        self._progress, self._waits_s, self._silence_s = progress, tuple(waits_s), silence_s
        self._away_s = 0.0
        self._numbered = 0
        self._models: dict[int, Model] = {}
        self._open: set[int] = set()
        self._dropped: list[int] = []
        self._fresh: dict[str, bytes] = {}
        self._link: Link | None = None
        try:
            self._link = self._connect()
            self.facts = self._read_facts(self._link)
        except LinkLostError as error:
            self.close()
            raise DeviceUnavailableError(f"cannot reach {address}: {error}{self._hint(str(error))}") from None

    def close(self) -> None:
        """End the connection; the next request makes a new one."""
        self._open.clear()
        self._dropped.clear()
        if self._link is not None:
            self._link.close()
            self._link = None

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def seconds_away(self) -> float:
        """Return the seconds in which the device could not be reached."""
        return self._away_s

    def add(self, model: Model, content: bytes) -> int:
        """Open a session; return its number.

        Args:
            model: What to open it with.
            content: The bytes of the model's file.

        Raises:
            UnsupportedGraphError: The runtime there cannot execute the model.
            DeviceUnavailableError: The connection is lost.
        """
        self._numbered += 1
        number = self._numbered
        self._models[number], self._fresh = model, {model.digest: content}
        try:
            self.ask("ping", needs=[number])
        except BaseException:
            self.forget(number)
            raise
        finally:
            self._fresh = {}
        return number

    def forget(self, number: int) -> None:
        """Close a session; the next request tells the device."""
        self._models.pop(number, None)
        if number in self._open:
            self._open.discard(number)
            self._dropped.append(number)

    def ask(
        self,
        request: str,
        fields: Mapping[str, object] | None = None,
        *,
        needs: Sequence[int] = (),
        models: Sequence[tuple[str, Callable[[], bytes]]] = (),
        most_payload: int = 0,
    ) -> tuple[Message, bytes]:
        """Send a request, and repeat it after a lost connection.

        Args:
            request: Name of the request.
            fields: Fields of the request.
            needs: Numbers of the sessions that must be open for it.
            models: Digests of the files that it needs there, and functions that make them again.
            most_payload: Most bytes that may come with the answer.

        Returns:
            The answer and its payload.

        Raises:
            UnsupportedGraphError, EnergyUnavailableError: The device reports it.
            DeviceUnavailableError: The connection is lost, or the device answers with another error.
        """
        failures, began = 0, 0.0
        while True:
            started = time.monotonic()
            try:
                link = self._ready()
                for digest, content in models:
                    self._upload(link, digest, content)
                for number in needs:
                    self._require_open(link, number)
                ready = time.monotonic()
                answer = self._once(link, {**(fields or {}), "do": request}, most_payload=most_payload)
                if answer[0].get("error") == "absent":
                    raise LinkLostError("the runner on the device lost its models or sessions")
                if failures:
                    self._away_s += ready - began  # the request itself is no loss, those that were lost are
                return answer
            except LinkLostError as error:
                began = began if failures else started
                self._wait(failures, str(error))
                failures += 1

    def _wait(self, failures: int, why: str) -> None:
        """After a lost connection, report it and wait.

        Raises:
            DeviceUnavailableError: There were too many attempts, or another one is useless.
        """
        self.close()
        if failures >= len(self._waits_s) or any(text in why for text in _FINAL):
            raise DeviceUnavailableError(
                f"the connection to {self.address} was lost ({why}); all samples so far are kept, run the same command "
                "again to resume"
            )
        self.lost += not failures
        wait = self._waits_s[failures]
        self._progress(
            f"connection to {self.address} lost ({why}); reconnecting in {wait:g} s, "
            f"attempt {failures + 1} of {len(self._waits_s)}"
        )
        time.sleep(wait)

    def _ready(self) -> Link:
        """Return a connection to the same device as before.

        Raises:
            DeviceUnavailableError: Another device or runtime answers now.
        """
        if self._link is not None and time.monotonic() - self._link.asked > REST_S:
            self.close()
        if self._link is None:
            self._link = self._connect()
            facts = self._read_facts(self._link)
            if (facts.cpu, facts.runtime_version) != (self.facts.cpu, self.facts.runtime_version):
                self.close()
                raise DeviceUnavailableError(
                    f"{self.address} now has another processor or ONNX Runtime; run the command with --force"
                )
        return self._link

    def _connect(self) -> Link:
        """Start ssh and the runner on the device.

        Raises:
            LinkLostError: The connection ended.
            DeviceUnavailableError: Ssh cannot be started, or the device lacks a package.
        """
        order, archive = start_order(device_cache())
        try:
            link = Link(self.address.command(), silence_s=self._silence_s)
        except LinkRefusedError as error:
            raise DeviceUnavailableError(f"cannot reach {self.address}: {error}") from None
        try:
            require_runner(link.greet(order, archive), self.address)
        except BaseException:
            link.close()
            raise
        return link

    def _read_facts(self, link: Link) -> DeviceFacts:
        """Ask the device for its facts."""
        return read_facts(self._once(link, {"do": "facts"})[0], str(self.address))

    def _require_open(self, link: Link, number: int) -> None:
        """Open a session unless this connection has; the model is sent only where the device does not have it."""
        if number in self._open:
            return
        model = self._models[number]
        request = {"do": "open", "session": number, "digest": model.digest, "seed": model.seed}
        request |= {"threads": self.threads, "provider": self.provider, "sweep": model.sweep_bytes}
        if self._once(link, request)[0].get("error") == "absent":
            self._put(link, model.digest, model.content)
            self._require(self._once(link, request)[0])
        self._open.add(number)

    def _upload(self, link: Link, digest: str, content: Callable[[], bytes]) -> None:
        """Send a model unless the device has it."""
        if self._once(link, {"do": "has", "digest": digest})[0].get("error") == "absent":
            self._put(link, digest, content)

    def _put(self, link: Link, digest: str, content: Callable[[], bytes]) -> None:
        """Send a model.

        Raises:
            DeviceUnavailableError: Its content has changed, or the device cannot store it.
        """
        data = self._fresh.get(digest) or content()
        if digest_of(data) != digest:
            raise DeviceUnavailableError(
                f"a model file changed while it was measured on {self.address}; run the same command again"
            )
        self._require(self._once(link, {"do": "put", "digest": digest}, data)[0])

    def _once(
        self, link: Link, request: Mapping[str, Any], payload: bytes = b"", *, most_payload: int = 0
    ) -> tuple[Message, bytes]:
        """Send a request over one connection; raise the error of its answer, unless a model or session is absent."""
        dropped, self._dropped = self._dropped, []
        message = {**request, **({"drop": dropped} if dropped else {})}
        answer, content = link.ask(message, payload, most_payload=most_payload)
        if answer.get("error") not in (None, "absent"):
            self._require(answer)
        return answer, content

    def _require(self, answer: Message) -> None:
        """Raise the error that an answer states, if any.

        Raises:
            UnsupportedGraphError, EnergyUnavailableError, DeviceUnavailableError: The answer states it.
        """
        error = answer.get("error")
        if error is not None:
            text = printable(answer.get("text", error))
            kind = _ERRORS.get(str(error))
            raise kind(text) if kind is not None else DeviceUnavailableError(f"{self.address}: {text}")

    def _hint(self, why: str) -> str:
        """Return what the user can do about a failure of ssh, as the end of a sentence."""
        if "Host key verification failed" in why:
            command = self.address.for_people("true")
            return f"; its host key is unknown on this machine or has changed: run `{command}` once and compare the key"
        if "Permission denied" in why:
            return "; set up a key (ssh-copy-id), or name the user: ssh://user@host"
        if "exit code 127" in why:
            return f"; install Python 3.9 or newer there as {device_python()}, or name one with HWNAS_DEVICE_PYTHON"
        return ""
