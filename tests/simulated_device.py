"""A device whose true prices are known."""

import hashlib

import numpy as np

from latency_tables import SESSION
from profilers import Backend, UnsupportedGraphError
from profilers._working_set import Sizes


def true_price(op):
    """A made-up cost in seconds: between 1 and 100 microseconds, the same for equal ops."""
    digest = hashlib.sha256(op.key.encode()).digest()
    return 1e-6 * (1 + int.from_bytes(digest[:2], "big") % 100)


class AdditiveBackend(Backend):
    """A device on which the time of a graph is exactly the sum of its ops' prices.

    `slower` gives for each op how many times longer than that it takes. Beyond a cache, every megabyte of the working
    set costs 30 microseconds more.
    """

    notes = ()

    def __init__(self, image_channels=3, noise=0.0, fail_after=None, refuses=None, fast_cache_bytes=0, slower=None):
        self.image_channels, self.noise, self.fail_after = image_channels, noise, fail_after
        self.refuses, self.fast_cache_bytes = refuses, fast_cache_bytes
        self.slower = slower or (lambda op: 1.0)
        self.rng, self.samples = np.random.default_rng(0), 0

    def identity(self):
        return {"device": "simulated"}

    def execution_notes(self, networks):
        self.checked = (self.samples, dict(networks))
        return self.notes

    def load(self, graph, *, seed=0, tied=(), cold=False):
        if self.refuses is not None and any(self.refuses(op) for op in graph.op_counts):
            raise UnsupportedGraphError("no kernel for it")
        counts = [(SESSION, 1), *graph.op_counts.items()]
        seconds = sum(true_price(op) * self.slower(op) * n for op, n in counts)
        if self.fast_cache_bytes:
            seconds += 30e-12 * self.fetched_bytes(graph, tied, cold)
        return AdditiveRunnable(self, seconds)

    def fetched_bytes(self, graph, tied, cold):
        """What an execution fetches from slower memory."""
        return max(0.0, Sizes().working_bytes(graph, 8000, tied) - self.fast_cache_bytes)


class AdditiveRunnable:
    def __init__(self, backend, seconds):
        self.backend, self.seconds = backend, seconds

    def run(self, repeats):
        self.backend.samples += 1
        if self.backend.fail_after is not None and self.backend.samples > self.backend.fail_after:
            raise KeyboardInterrupt
        return repeats * self.seconds * (1 + self.backend.noise * self.backend.rng.exponential())
