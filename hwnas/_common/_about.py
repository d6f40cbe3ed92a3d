"""One line for each space, task, evaluator and strategy of ours, for help and `hwnas plugins`. Imports nothing."""

from __future__ import annotations

SPACES = {
    "declared": "a space of your own that a JSON file states: --space FILE.json",
    "mobilenetv3": "inverted residual blocks; elastic depth, kernels, expansions, width and resolution",
    "nasbench201": "cells of NAS-Bench-201: four nodes, five operations, stacked three times",
}
TASKS = {
    "image": "image classification, judged by accuracy (default)",
}
EVALUATORS = {
    "supernet": "trains one network with shared weights, cuts each candidate out of it (default)",
    "train": "trains each candidate from scratch; --halving ends hopeless ones early",
    "table:FILE": "looks accuracies up in a CSV file that somebody has published",
    "synflow": "score without training: products of weights along paths; no accuracy",
    "naswot": "score without training: how differently ReLUs see different images; no accuracy",
    "gradnorm": "score without training: size of the gradients on one batch; no accuracy",
    "parameters": "score without training: number of parameters; no accuracy",
}
STRATEGIES = {
    "lamoo": "learns regions that hold good trade-offs, and proposes by hypervolume inside and around them (default)",
    "qehvi": "expected hypervolume improvement over the whole space, with exact costs",
    "mutation": "changes one choice of a random network of the front at a time",
    "random": "random networks, none twice: what every other strategy must beat",
    "cmaes": "a categorical evolution strategy over the whole space (needs cmaes)",
    "nsga2": "genetic search, survival by rank and crowding (needs pymoo)",
    "nsga3": "genetic search, survival by rank and reference directions (needs pymoo)",
    "moead": "genetic search on many weighted combinations at once (needs pymoo)",
    "tpe": "Optuna's tree-structured Parzen estimator (needs optuna)",
    "optuna-nsga2": "Optuna's NSGA-II (needs optuna)",
    "qlognehvi": "BoTorch's noisy expected hypervolume improvement, costs learned (needs botorch)",
}
ABOUT = {"space": SPACES, "task": TASKS, "strategy": STRATEGIES, "evaluator": EVALUATORS}


def about_lines(kind: str) -> list[str]:
    """The names of a kind (``space``, ``task``, ``strategy``, ``evaluator``), each with its line."""
    return [f"  {name:16s} {text}" for name, text in ABOUT[kind].items()]
