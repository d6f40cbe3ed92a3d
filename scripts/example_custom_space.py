#!/usr/bin/env python3
"""Define a space and an evaluator, profile the space, search it and print the front. Takes under a minute."""

import sys

import hwnas


class Plain(hwnas.ChoiceGraphSpace):
    """Two convolutions of elastic width and kernel, and a classifier."""

    name = "plain"

    def state(self):
        """State the network, with its choices."""
        graph = hwnas.ChoiceGraph()
        x = graph.read(3, 16, 16)
        for i in "12":
            width, kernel = graph.choice(f"width{i}", (4, 8, 12)), graph.choice(f"kernel{i}", (1, 3, 5))
            x = graph.add(f"conv{i}", hwnas.ops.conv, x, channels=width, kernel=kernel, stride=2, act="relu")
        return graph.finish(graph.add("classes", hwnas.ops.linear, x, features=10))


class Guess(hwnas.Evaluator):
    """Scores wide layers and large kernels best; a real evaluator trains the network of an architecture."""

    name, measure, settings = "guess", "score", property(lambda self: {"version": 1})

    def evaluate(self, arch):
        """Return the score of an architecture; larger is better."""
        return hwnas.Evaluation(sum(value**0.5 for value in arch.values))


out = sys.argv[1] if len(sys.argv) > 1 else "runs/plain"
table = hwnas.profile(Plain(), out=f"{out}-table.json", networks=10, progress=print)
run = hwnas.search(Plain(), evaluator=Guess(), table=table, budgets={"latency": "1ms"}, samples=30, out=out)
for trial in sorted(run.front, key=lambda trial: trial.values["latency_ms"]):
    print(f"{trial.values['latency_ms']:.4f} ms, score {trial.values['score']:.2f}: {trial.text}")
print(run.report)
