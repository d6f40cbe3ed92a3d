"""A simulated device whose times are known, a table of it, and searches that measure their trials on it."""

from pathlib import Path

import numpy as np
import pytest
from simulated_device import AdditiveBackend, true_price

import hwnas
from hwnas._costs._draw import draw_spread
from hwnas._pipeline._measuring_cost import MeasuringCost
from hwnas.spaces import make_space
from latency_tables import CORRECTION_SPLIT, SESSION, Entry, LatencyTable, NetworkMeasurement
from profilers import REFERENCE_TAILS, STATISTICS

SPACE = make_space(str(Path(__file__).resolve().parents[2] / "scripts" / "example_space.json"), image_size=8)
"""468 networks, which are priced and enumerated in no time."""

DELIVERY = 10_000
"""Seeds from here on are those of the winners' sessions."""


class Device(AdditiveBackend):
    """Additive; everything takes `slowness` times as long, and each graph of the search is counted as it is loaded."""

    def __init__(self, slowness=1.0, **more):
        super().__init__(**more)
        self.slowness, self.loaded = slowness, []

    def load(self, graph, *, seed=0, tied=(), cold=False):
        runnable = super().load(graph, seed=seed)
        runnable.seconds *= self.slowness
        if seed < DELIVERY:
            self.loaded.append((graph, seed))
        return runnable


def true_ms(arch, slower=lambda op: 1.0):
    """What a network takes, in words or as an architecture, at the table's speed."""
    graph = SPACE.graph(SPACE.parse(arch) if isinstance(arch, str) else arch)
    counts = [(SESSION, 1), *graph.op_counts.items()]
    return 1e3 * sum(true_price(op) * slower(op) * n for op, n in counts)


def exact_table(slower=lambda op: 1.0, references=10, identity=None):
    """True prices; `slower` is what networks took longer than these say, already when the table was made."""

    def entry(op):
        ms = 1e3 * true_price(op)
        return Entry(op, "ok", ms, ms, ms, ms, ms, 20, "converged")

    archs = draw_spread(SPACE, references, np.random.default_rng(0)) if references else []
    times = {SPACE.format(arch): true_ms(arch, slower) for arch in archs}
    return LatencyTable(
        identity=identity or {"device": "simulated"},
        environment={REFERENCE_TAILS: dict.fromkeys(STATISTICS, 1.0)},
        settings={},
        space={"name": SPACE.name, "settings": SPACE.settings},
        entries={op: entry(op) for op in (SESSION, *SPACE.ops())},
        networks=tuple(NetworkMeasurement(arch, CORRECTION_SPLIT, ms, ms, ms) for arch, ms in times.items()),
    )


def ignore(arch):
    """Do nothing."""


class Shape(hwnas.Evaluator):
    """Scores networks by their choices; has no weights."""

    name, measure = "shape", "score"
    settings = property(lambda self: {})

    def __init__(self, on_evaluate=ignore):
        self.on_evaluate = on_evaluate

    def evaluate(self, arch):
        self.on_evaluate(arch)
        return hwnas.Evaluation(float((SPACE.encode(arch) * range(1, len(arch.values) + 1)).sum() % 17))


def search(out, device, table=None, *, evaluator=None, lines=None, **more):
    """A search in this process, without pictures and report."""
    options = {"samples": 20, "strategy": "mutation", "measure": "trials", **more}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._report.write_report", lambda *shown: None)
        return hwnas.search(
            SPACE,
            evaluator=evaluator or Shape(),
            table=table or exact_table(),
            device=device,
            out=out,
            progress=(lines if lines is not None else []).append,
            **options,
        )


@pytest.fixture(scope="module", autouse=True)
def unhurried():
    """Measuring may cost what it wants: how many rounds there are does not depend on other work on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeasuringCost, "allowance_s", lambda cost, trials: 1e6)
        yield
