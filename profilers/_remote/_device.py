"""A device that comes back: connections are made again where they are lost, and what was unfinished is asked again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profilers._errors import DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError
from profilers._remote._address import Address, device_cache, device_python
from profilers._remote._facts import DeviceFacts, read_facts
from profilers._remote._greeting import require_runner
from profilers._remote._link import SILENCE_S, Link, LinkLostError, LinkRefusedError, printable, start_order
from profilers._remote._protocol import Message
from profilers._remote._store import digest_of

WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""How long to wait before each new try; behind the last, the device is given up."""
REST_S = 240.0
"""A connection that was not used for so long is made anew: the runner may have ended by itself."""
_FINAL = ("Host key verification failed", "Permission denied", "Bad configuration")
_ERRORS = {"unsupported": UnsupportedGraphError, "energy": EnergyUnavailableError}
TextProgress = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """What a session on the device is opened with.

    Attributes:
        digest: of the ONNX file.
        content: makes the file again, wherever the device has it no longer.
        seed: of the inputs.
        sweep_bytes: how much other memory the device reads before each inference.
    """

    digest: str
    content: Callable[[], bytes]
    seed: int
    sweep_bytes: int = 0


class RemoteDevice:
    """A device at an address.

    Args:
        address: where it is.
        threads: threads inside an operator.
        progress: receives a line for each connection lost.
        waits_s: seconds before each new try.
        silence_s: the time-out of answers.

    Raises:
        DeviceUnavailableError: it cannot be reached, or lacks something.
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
        """Seconds in which it could not be reached."""
        return self._away_s

    def add(self, model: Model, content: bytes) -> int:
        """Open a session; returns its number.

        Args:
            model: what to open it with.
            content: of the model's file, as it has just been made.

        Raises:
            UnsupportedGraphError: the runtime there cannot execute the model.
            DeviceUnavailableError: the device is lost.
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
        """Close a session, together with the next request."""
        self._models.pop(number, None)
        if number in self._open:
            self._open.discard(number)
            self._dropped.append(number)

    def ask(
        self,
        what: str,
        fields: Mapping[str, object] | None = None,
        *,
        needs: Sequence[int] = (),
        models: Sequence[tuple[str, Callable[[], bytes]]] = (),
        most_payload: int = 0,
    ) -> tuple[Message, bytes]:
        """Ask for something, as often as it takes.

        Args:
            what: the request.
            fields: of the request.
            needs: numbers of the sessions that must be open for it.
            models: digests of files that it needs there, and what makes each again.
            most_payload: bytes that may come with the answer.

        Raises:
            UnsupportedGraphError, EnergyUnavailableError: the device says so.
            DeviceUnavailableError: it is lost, or does not do what it should.
        """
        failures, began = 0, 0.0
        while True:
            try:
                link = self._ready()
                for digest, content in models:
                    self._upload(link, digest, content)
                for number in needs:
                    self._require_open(link, number)
                answer = self._once(link, {**(fields or {}), "do": what}, most_payload=most_payload)
                if answer[0].get("error") == "absent":
                    raise LinkLostError("the runner there has lost what it had")
                if failures:
                    self._away_s += time.monotonic() - began
                return answer
            except LinkLostError as error:
                began = began if failures else time.monotonic()
                self._wait(failures, str(error))
                failures += 1

    def _wait(self, failures: int, why: str) -> None:
        """Behind a lost connection, say so and wait."""
        self.close()
        if failures >= len(self._waits_s) or any(text in why for text in _FINAL):
            raise DeviceUnavailableError(
                f"the connection to {self.address} was lost ({why}); what was measured so far is kept, "
                "run the same command again to go on"
            )
        self.lost += not failures
        wait = self._waits_s[failures]
        self._progress(
            f"connection to {self.address} lost ({why}); trying again in {wait:g} s, "
            f"{failures + 1} of {len(self._waits_s)}"
        )
        time.sleep(wait)

    def _ready(self) -> Link:
        """A connection to the same device as ever."""
        if self._link is not None and time.monotonic() - self._link.asked > REST_S:
            self.close()
        if self._link is None:
            self._link = self._connect()
            facts = self._read_facts(self._link)
            if (facts.cpu, facts.runtime_version) != (self.facts.cpu, self.facts.runtime_version):
                self.close()
                raise DeviceUnavailableError(
                    f"{self.address} is another device, or has another ONNX Runtime, than before"
                )
        return self._link

    def _connect(self) -> Link:
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
        return read_facts(self._once(link, {"do": "facts"})[0], str(self.address))

    def _require_open(self, link: Link, number: int) -> None:
        """Open a session where this connection has not; the model travels only where the device does not hold it."""
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
        if self._once(link, {"do": "has", "digest": digest})[0].get("error") == "absent":
            self._put(link, digest, content)

    def _put(self, link: Link, digest: str, content: Callable[[], bytes]) -> None:
        data = self._fresh.get(digest) or content()
        if digest_of(data) != digest:
            raise DeviceUnavailableError(f"a model changed while it was measured on {self.address}; start again")
        self._require(self._once(link, {"do": "put", "digest": digest}, data)[0])

    def _once(
        self, link: Link, request: Mapping[str, Any], payload: bytes = b"", *, most_payload: int = 0
    ) -> tuple[Message, bytes]:
        """Ask one connection; errors that the device states are raised, but for what it does not have."""
        dropped, self._dropped = self._dropped, []
        told = {**request, **({"drop": dropped} if dropped else {})}
        answer, content = link.ask(told, payload, most_payload=most_payload)
        if answer.get("error") not in (None, "absent"):
            self._require(answer)
        return answer, content

    def _require(self, answer: Message) -> None:
        error = answer.get("error")
        if error is not None:
            text = printable(answer.get("text", error))
            known = _ERRORS.get(str(error))
            raise known(text) if known is not None else DeviceUnavailableError(f"{self.address}: {text}")

    def _hint(self, why: str) -> str:
        """What helps against a failure of ssh's, as the end of a sentence."""
        if "Host key verification failed" in why:
            command = self.address.for_people("true")
            return f"; its host key is unknown here or has changed: run `{command}` once and compare the key"
        if "Permission denied" in why:
            return "; let it in with a key (ssh-copy-id), or name the user: ssh://user@host"
        if "exit code 127" in why:
            return f"; install Python 3.9 or newer there as {device_python()}, or name one with HWNAS_DEVICE_PYTHON"
        return ""
