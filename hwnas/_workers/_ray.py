"""Evaluations as tasks of an existing Ray cluster."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from hwnas._errors import HwnasError
from hwnas._version import __version__
from hwnas._workers._base import Attempts, Workers, in_order
from hwnas._workers._kit import PortableEvaluators
from hwnas._workers._messages import EvaluationJob, Outcome, Reply
from hwnas._workers._ray_task import answer
from hwnas.training._checkpoint import write_atomically
from profilers import TextProgress

_ANSWER_S = 5.0
"""What a cluster has to answer in."""


class RayWorkers(Workers):
    """Tasks of a cluster that is there; Ray places them, and hwnas repeats those that lose their worker or node.

    Args:
        portable: What they evaluate with; one copy goes into Ray's object store.
        address: Address of the cluster, as `ray.init` takes it.
        gpu: Whether an evaluation needs a GPU.
        progress: Receives a line for each worker that is lost.

    Raises:
        HwnasError: There is no cluster, or none with a node for an evaluation.
    """

    def __init__(
        self, portable: PortableEvaluators, address: str, progress: TextProgress, *, gpu: bool = False
    ) -> None:
        import ray
        import ray.exceptions

        self._ray: Any = ray
        self._portable, self._progress = portable, progress
        self._own = not self._ray.is_initialized()
        self._box: list[Any] = []
        self._digest = ""
        self._pending: dict[Any, EvaluationJob] = {}
        if self._own:
            _connect(self._ray, address)
        try:
            needs = {"CPU": float(portable.threads or 1), **({"GPU": 1.0} if gpu else {})}
            self.places = self._count_places(needs)
        except BaseException:
            self.close()
            raise
        self._task = self._ray.remote(answer).options(
            num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0.0), max_retries=0
        )

    def _count_places(self, needs: dict[str, float]) -> int:
        """Return how many evaluations fit on the cluster at once."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        places = sum(int(min(node.get(name, 0.0) // much for name, much in needs.items())) for node in nodes)
        if places == 0:
            wanted = " and ".join(f"{much:g} {name}" for name, much in needs.items())
            raise HwnasError(
                f"no node of the Ray cluster has {wanted} for an evaluation; add one, or change --evaluation-threads"
            )
        return places

    def evaluate(self, jobs: Sequence[EvaluationJob]) -> Iterator[Outcome]:
        """Return the outcomes of a batch."""
        return in_order(jobs, self._replies(jobs))

    def _replies(self, jobs: Sequence[EvaluationJob]) -> Iterator[tuple[EvaluationJob, Reply]]:
        """Yield the jobs' replies as they come."""
        if not self._box:
            packed = self._portable.pack()
            self._digest = hashlib.sha256(packed).hexdigest()
            self._box = [self._ray.put(packed)]  # in a list it stays a reference: a worker fetches it once
        attempts = Attempts(self._progress)
        for job in jobs:
            self._submit(job)
        while self._pending:
            (done, *_), _ = self._ray.wait(list(self._pending), num_returns=1)
            job = self._pending.pop(done)
            reply = self._fetch(done, job, attempts)
            if reply is None:
                self._submit(job)
                continue
            self._keep_files(job, reply)
            yield job, reply

    def _submit(self, job: EvaluationJob) -> None:
        self._pending[self._task.remote(self._digest, self._box, job, __version__)] = job

    def _fetch(self, done: Any, job: EvaluationJob, attempts: Attempts) -> Reply | None:
        """Return a task's reply; None where it is to be repeated.

        Raises:
            HwnasError: The cluster cannot evaluate.
        """
        errors = self._ray.exceptions
        try:
            reply = self._ray.get(done)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError) as e:
            return attempts.lost(job, type(e).__name__)
        except errors.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise HwnasError(
                f"the Ray cluster cannot evaluate ({lines[-1] if lines else type(error).__name__}); "
                f"every node needs hwnas {__version__} and its dependencies"
            ) from error
        assert isinstance(reply, Reply)
        return reply

    def _keep_files(self, job: EvaluationJob, reply: Reply) -> None:
        """Write what an evaluation left on its node where it would have left it here."""
        if reply.outcome is not None:
            for name, data in reply.outcome.files.items():
                write_atomically(self._portable.folder(job) / name, data)

    def close(self) -> None:
        """Cancel running evaluations, and leave the cluster as it was before."""
        for task in self._pending:
            self._ray.cancel(task, force=True)
        self._pending, self._box = {}, []
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Join a cluster.

    Raises:
        HwnasError: There is none at the address.
    """
    try:
        _require_listener(address if address != "auto" else os.environ.get("RAY_ADDRESS", ""))
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and others here
        where = "here" if address == "auto" else f"at {address}"
        why = str(error).strip().splitlines()
        raise HwnasError(
            f"found no Ray cluster {where} ({why[0].rstrip('.') if why else type(error).__name__}); start one with "
            "`ray start --head`, or give --ray-address"
        ) from None


def _require_listener(address: str) -> None:
    """Raise `OSError` where nobody answers at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
