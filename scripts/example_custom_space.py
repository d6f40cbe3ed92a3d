#!/usr/bin/env python3
"""A space and an evaluator of one's own: profile the space, search it, print the front. Takes under a minute."""

import sys

import hwnas


class Plain(hwnas.Space):
    """Two convolutions of elastic width and kernel, and a classifier."""

    name = "plain"
    choices = tuple(hwnas.Choice(f"{n}{i}", v) for i in "12" for n, v in (("width", (4, 8, 12)), ("kernel", (1, 3, 5))))

    def graph(self, arch):
        """The network of an architecture."""
        builder, x = hwnas.GraphBuilder((3, 16, 16)), hwnas.INPUT
        for i, (width, kernel) in enumerate([arch.values[:2], arch.values[2:]]):
            x = builder.add(f"conv{i}", hwnas.ops.conv(builder.shape(x), width, kernel, stride=2, act="relu"), x)
        x = builder.add("classes", hwnas.ops.linear(builder.shape(x), 10), x)
        return builder.build(x)


class Guess(hwnas.Evaluator):
    """Says that width and kernels are good; a real evaluator trains the network of an architecture."""

    name, measure, settings = "guess", "score", property(lambda self: {"version": 1})

    def evaluate(self, arch):
        """More is better."""
        return hwnas.Evaluation(sum(value**0.5 for value in arch.values))


out = sys.argv[1] if len(sys.argv) > 1 else "runs/plain"
table = hwnas.profile(Plain(), out=f"{out}-table.json", networks=10, progress=print)
found = hwnas.search(Plain(), evaluator=Guess(), table=table, budgets={"latency": "1ms"}, samples=30, out=out)
for trial in sorted(found.front, key=lambda trial: trial.values["latency_ms"]):
    print(f"{trial.values['latency_ms']:.4f} ms, score {trial.values['score']:.2f}: {trial.text}")
print(found.report)
