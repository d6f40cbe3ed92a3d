"""The requests that a runner answers. Runs on devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from profilers._arena import arena_bytes
from profilers._energy import RaplCounter, energy_mj
from profilers._errors import (
    ArenaTimeoutError,
    EnergyUnavailableError,
    ProfilerError,
    UnsupportedGraphError,
)
from profilers._fingerprint import core_cache_bytes, cpu_environment, cpu_identity, usable_cores
from profilers._remote._store import ModelStore
from profilers._session import BoundSession, installed_providers, optimised_model, runtime_version

Answer = tuple[dict[str, Any], bytes]
KINDS = (
    (UnsupportedGraphError, "unsupported"),
    (EnergyUnavailableError, "energy"),
    (ArenaTimeoutError, "late"),
    (ProfilerError, "unavailable"),
)
"""Errors, and their names in the protocol."""
TIMED_RUNS = 3
"""Single runs, of which the fastest decides how often a runnable is repeated."""


class AbsentError(Exception):
    """This runner does not have the model or the session."""


class Requests:
    """Answers the requests to one runner, and holds its sessions.

    Args:
        models: The models that the device stores.
        alive: Called between two measurements of one request.
    """

    def __init__(self, models: ModelStore, alive: Callable[[], None]) -> None:
        self._models = models
        self._alive = alive
        self._sessions: dict[int, BoundSession] = {}
        self._counter: RaplCounter | None = None

    def answer(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Carry out a request; return the answer, or the error as an answer.

        Args:
            request: The message.
            payload: The bytes that followed it.
        """
        for name in request.get("drop", ()):
            self._sessions.pop(name, None)
        handlers = {
            "ping": lambda request, payload: ({}, b""),
            "facts": lambda request, payload: (device_facts(), b""),
            "has": self._has,
            "put": self._put,
            "open": self._open,
            "fastest": self._fastest,
            "round": self._round,
            "meter": self._meter,
            "energy": self._energy,
            "arena": self._arena,
            "optimised": self._optimised,
        }
        try:
            return handlers[str(request["do"])](request, payload)
        except AbsentError:
            return {"error": "absent"}, b""
        except ProfilerError as error:
            kind = next(kind for error_type, kind in KINDS if isinstance(error, error_type))
            return {"error": kind, "text": str(error)}, b""
        except OSError as error:
            return {"error": "unavailable", "text": f"the request failed on the device: {error}"}, b""
        except Exception as error:
            return {"error": "bug", "text": repr(error)}, b""

    def _has(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Check that the device has a model."""
        self._model(request["digest"])
        return {}, b""

    def _put(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Store a model."""
        self._models.put(request["digest"], payload)
        return {}, b""

    def _open(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Open a session on a model."""
        self._sessions[int(request["session"])] = BoundSession(
            str(self._model(request["digest"])),
            threads=int(request["threads"]),
            seed=int(request["seed"]),
            provider=str(request["provider"]),
            sweep_bytes=int(request["sweep"]),
        )
        return {}, b""

    def _fastest(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Warm up sessions; answer with the seconds of the fastest of three runs of each."""
        seconds = []
        for name in request["sessions"]:
            session = self._session(name)
            session.run(int(request["warmup"]))
            seconds.append(min(session.run(1) for _ in range(TIMED_RUNS)))
            self._alive()
        return {"seconds": seconds}, b""

    def _round(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Time a round; answer with the seconds of all repeats of each session."""
        seconds, priming = [], int(request["priming"])
        sessions = [self._session(name) for name in request["sessions"]]
        for i, repeats in enumerate(request["repeats"]):
            sessions[i].run(priming)
            seconds.append(sessions[i].run(int(repeats)))
            self._alive()
        return {"seconds": seconds}, b""

    def _meter(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Open the energy counter; answer with its name."""
        self._counter = RaplCounter()
        return {"name": self._counter.name}, b""

    def _energy(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Measure the energy of one inference of a session."""
        session = self._session(request["session"])
        self._counter = self._counter or RaplCounter()
        return {"mj": energy_mj(session, self._counter)}, b""

    def _arena(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Measure the arena of models."""
        return {"sizes": arena_bytes([self._model(digest) for digest in request["digests"]])}, b""

    def _optimised(self, request: Mapping[str, Any], payload: bytes) -> Answer:
        """Answer with the optimised graph of a model."""
        return {}, optimised_model(str(self._model(request["digest"])))

    def _model(self, digest: str) -> Path:
        """Return the path of a model.

        Raises:
            AbsentError: The device does not have it.
        """
        path = self._models.path(digest)
        if path is None:
            raise AbsentError
        return path

    def _session(self, name: int) -> BoundSession:
        """Return an open session.

        Raises:
            AbsentError: It is not open.
        """
        if name not in self._sessions:
            raise AbsentError
        return self._sessions[name]


def device_facts() -> dict[str, Any]:
    """Return all facts of this device that a table or a profile needs."""
    return {
        "cpu": cpu_identity(),
        "environment": cpu_environment(),
        "runtime_version": runtime_version(),
        "providers": installed_providers(),
        "usable_cores": usable_cores(),
        "core_cache_bytes": core_cache_bytes(),
    }
