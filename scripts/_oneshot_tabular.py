"""One-shot methods with known accuracies in place of training: the experiments of bench_oneshot_tabular."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _bench_search_problem import Benchmark, load_benchmark
from _conditioned import Conditioned

from hwnas.costs import SpaceCosts
from hwnas.evaluators import BenchmarkTable
from hwnas.oneshot import Solver, TabularExpectation, learn_tabular, make_method
from hwnas.spaces import Space, make_space
from latency_tables import LatencyTable

METRIC = "cifar10_test_acc"
DEVICES = ("2080ti_1_latency_ms", "gold_6240_latency_ms", "samsung_a50_latency_ms", "silver_4114_latency_ms")
PUBLISHED = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
"""The cell that DrNAS found on NAS-Bench-201 in each of its runs (arXiv 2006.10355, table 3)."""
EPOCHS, STEPS = 100, 20
SWEEP_EPOCHS = 50
WEIGHTS = np.geomspace(0.01, 0.3, 8).tolist()
BUDGETS = (0.1, 0.3, 0.5, 0.7, 0.9)
RATE = 3e-3
TABLES = Path(__file__).resolve().parent.parent / "latency_tables" / "data"


@dataclass(frozen=True)
class Known:
    """The benchmark.

    Attributes:
        path: Its file.
        space: The space.
        table: Its rows.
        metric: Accuracies as shares of 1.
    """

    path: Path
    space: Space
    table: BenchmarkTable
    metric: TabularExpectation

    @classmethod
    def load(cls, path: Path) -> Known:
        """Read the file."""
        space, table = make_space("nasbench201"), BenchmarkTable.load(path)
        return cls(path, space, table, TabularExpectation.of_rows(space, table.archs, table.column(METRIC) / 100))

    def column(self, name: str) -> TabularExpectation:
        """Return the expectation of a column."""
        return TabularExpectation.of_rows(self.space, self.table.archs, self.table.column(name))

    def percent(self, codes: list[int]) -> float:
        """Return the accuracy of an architecture in percent."""
        return 100 * self.metric.at(codes)


def likeliest(distribution: list[torch.Tensor]) -> list[int]:
    """Return the most probable value of each choice."""
    return [int(vector.argmax()) for vector in distribution]


def drnas(known: Known, seeds: int) -> dict[str, Any]:
    """Learn without costs, with the method's options as they are and with some changed."""
    variants: dict[str, dict[str, Any]] = {"default": {}, "one stage": {"stages": 1}, "KL": {"regulariser": "kl"}}
    result = {}
    for name, options in variants.items():
        began, cells, published = time.perf_counter(), Counter[str](), 0
        accuracies = []
        for seed in range(seeds):
            method = make_method("drnas", known.space, epochs=EPOCHS, **options)
            found = likeliest(learn_tabular(method, known.metric, steps=STEPS, rng=np.random.default_rng(seed)))
            text = known.space.format(known.space.decode(found))
            cells[text] += 1
            published += text == PUBLISHED
            accuracies.append(known.percent(found))
        result[name] = {
            "published": published,
            "accuracies": accuracies,
            "cells": dict(cells),
            "seconds": (time.perf_counter() - began) / seeds,
        }
    return {"seeds": seeds, "epochs": EPOCHS, "steps": STEPS, "best": 100 * known.metric.values.max(), **result}


def sweep(known: Known, seeds: int, device: str) -> dict[str, Any]:
    """Learn with several weights of the latency, and compare the cells with the true front."""
    benchmark, latency = load_benchmark(known.path, [METRIC], [device]), known.column(device)
    reference, shares, cells = float(np.median(latency.values)), [], []
    began = time.perf_counter()
    for seed in range(seeds):
        found = []
        for weight in WEIGHTS:
            method = make_method("drnas", known.space, epochs=SWEEP_EPOCHS, latency_weight=weight, goal="weight")
            rng = np.random.default_rng(seed)
            learned = learn_tabular(method, known.metric, steps=STEPS, rng=rng, cost=latency, budget=reference)
            found.append(likeliest(learned))
        shares.append(share_of_front(benchmark, found))
        cells.append([[known.percent(codes), latency.at(codes)] for codes in found])
    seconds = (time.perf_counter() - began) / seeds
    settings = {"weights": WEIGHTS, "epochs": SWEEP_EPOCHS, "steps": STEPS, "reference_ms": reference}
    return {**settings, "shares": shares, "cells": cells, "seconds": seconds, "front": len(benchmark.front)}


def share_of_front(benchmark: Benchmark, found: list[list[int]]) -> float:
    """Return the share of the true front's hypervolume that architectures reach."""
    rows = [benchmark.row(tuple(row)) for row in benchmark.problem.domain.canonical(np.array(found)).tolist()]
    return 1.0 - benchmark.gap([row for row in rows if row >= 0])


def conditioned(known: Known, seeds: int) -> dict[str, Any]:
    """Learn one network for all weights and all devices, in as many steps as the sweeps take together."""
    latencies = [known.column(device) for device in DEVICES]
    benchmarks = [load_benchmark(known.path, [METRIC], [device]) for device in DEVICES]
    steps = len(DEVICES) * len(WEIGHTS) * round(SWEEP_EPOCHS * STEPS * 0.8)
    shares: dict[str, list[float]] = {device: [] for device in DEVICES}
    dense: dict[str, list[float]] = {device: [] for device in DEVICES}
    began = time.perf_counter()
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = Conditioned(latencies, (WEIGHTS[0], WEIGHTS[-1]), RATE)
        network.learn(known.metric, steps, np.random.default_rng(seed))
        for number, device in enumerate(DEVICES):
            for weights, part in ((WEIGHTS, shares), (np.geomspace(WEIGHTS[0], WEIGHTS[-1], 64).tolist(), dense)):
                found = [likeliest(network.distribution(number, weight)) for weight in weights]
                part[device].append(share_of_front(benchmarks[number], found))
    return {
        "steps": steps,
        "lr": RATE,
        "shares": shares,
        "shares_of_64_weights": dense,
        "seconds": (time.perf_counter() - began) / seeds,
    }


def ddpnas(known: Known, seeds: int) -> dict[str, Any]:
    """Learn without costs; compare with the best of as many random cells."""
    accuracies, rivals = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        accuracies.append(known.percent(likeliest(_theta(known, rng))))
        drawn = [known.space.encode(arch).tolist() for arch in known.space.sample(42, rng)]
        rivals.append(max(known.percent(codes) for codes in drawn))
    return {"seeds": seeds, "epochs": 42, "accuracies": accuracies, "best_of_42_random": rivals}


def _theta(known: Known, rng: np.random.Generator) -> list[torch.Tensor]:
    """Learn a theta of DDPNAS without budgets."""
    return learn_tabular(make_method("ddpnas", known.space, epochs=42), known.metric, steps=1, rng=rng)


def ddpnas_budgets(known: Known, seeds: int, name: str) -> dict[str, Any]:
    """Solve every theta for budgets on a device with a measured table, and learn anew within each budget.

    Against enumeration: the most probable cell of the same theta within the budget, and the most accurate one of all.
    """
    costs = SpaceCosts(known.space, LatencyTable.load(TABLES / f"{name}.json"))
    counts = tuple(known.space.cardinalities)
    codes = np.stack(np.unravel_index(np.arange(known.metric.values.size), counts), axis=1)
    codes = codes[known.space.valid_codes(codes)]
    latency, accuracy = costs.latency_ms(codes), 100 * known.metric.values[tuple(codes.T)]
    solver, rows = Solver(costs), []
    thetas = [_theta(known, np.random.default_rng(seed)) for seed in range(seeds)]
    for quantile in BUDGETS:
        budget = float(np.quantile(latency, quantile))
        within = latency <= budget
        for seed, theta in enumerate(thetas):
            solution = solver.solve(theta, {"latency": budget})
            logs = sum(np.log(vector.numpy())[codes[:, c]] for c, vector in enumerate(theta))
            listed = int(np.argmax(np.where(within, logs, -np.inf)))
            constrained = make_method("ddpnas", known.space, epochs=42)
            constrained.constrain(solver, {"latency": budget})
            end = learn_tabular(constrained, known.metric, steps=1, rng=np.random.default_rng(seed))
            kept = list(solver.solve(end, {"latency": budget}).codes)
            rows.append(
                {
                    "quantile": quantile,
                    "seed": seed,
                    "budget_ms": budget,
                    "latency_ms": solution.costs["latency_ms"],
                    "accuracy": known.percent(list(solution.codes)),
                    "enumerated": float(accuracy[listed]),
                    "log_probability_missing": float(logs[listed]) - solution.log_probability,
                    "constrained": known.percent(kept),
                    "constrained_ms": float(costs.latency_ms(np.array([kept]))[0]),
                    "best": float(accuracy[within].max()),
                    "random_of_42": _best_of_random(accuracy, within, 42, seed),
                }
            )
    return {"table": name, "rows": rows}


def _best_of_random(accuracy: np.ndarray, within: np.ndarray, count: int, seed: int) -> float:
    """Return the best accuracy of random cells within a budget."""
    places = np.random.default_rng(seed).choice(np.flatnonzero(within), count, replace=False)
    return float(accuracy[places].max())
