"""Every check of `hwnas.testing` refuses what is broken, with one line that names the fault."""

import dataclasses

import numpy as np
import pytest
from simulated_device import AdditiveBackend, AdditiveRunnable

import hwnas
from hwnas import testing
from hwnas.data import load_data
from hwnas.spaces import Choice, Space, Term, make_space
from hwnas.tasks import ImageClassification
from latency_tables import Op
from profilers import Primitive, register_operator
from profilers._operators import _registry


def refused(check, *arguments, **options):
    with pytest.raises(AssertionError) as caught:
        check(*arguments, **options)
    (line,) = str(caught.value).splitlines()
    return line


class Doubled(Primitive):
    kind = "test_doubled"

    def infer(self, op):
        return op.inputs[0]

    def lower(self, op, emit, inputs, weights):
        return emit.node("Add", [inputs[0], inputs[0]])

    def forward(self, op, inputs, parameters, norm):
        return 2 * inputs[0]


class Tripled(Doubled):
    kind = "test_tripled"

    def forward(self, op, inputs, parameters, norm):
        return 3 * inputs[0]


class Summed(Doubled):
    kind = "test_summed"

    def forward(self, op, inputs, parameters, norm):
        return inputs[0].sum(dim=0, keepdim=True)


class Fractional(Doubled):
    kind = "test_fractional"

    def macs(self, op):
        return 0.5


@pytest.mark.parametrize(
    ("operator", "output", "fault"),
    [
        (Tripled, (4, 5), " at batch 1: torch and ONNX Runtime do not agree: they differ by up to "),
        (Summed, (4, 5), " at batch 1: torch and ONNX Runtime do not agree: they differ by up to "),
        (Fractional, (4, 5), "its macs must be an integer of 0 or more, got 0.5"),
        (Doubled, (4, 6), "the output must have the shape 4x5"),
    ],
)
def test_operators(operator, output, fault, monkeypatch):
    monkeypatch.setattr(_registry, "_OPERATORS", dict(_registry._OPERATORS))
    register_operator(operator)
    register_operator(Doubled)
    testing.check_operator(Op("test_doubled", ((4, 5),), (4, 5)))
    assert fault in refused(testing.check_operator, Op(operator.kind, ((4, 5),), output))
    assert refused(testing.check_operator) == "give at least one example op"


class Chain(Space):
    """Two convolutions; what is broken follows from the attributes of its subclasses."""

    name = "chain"
    choices = (Choice("width", (2, 4, 8)), Choice("kernel", (1, 3, 5)), Choice("act", ("relu", "hswish")))
    settings = property(lambda self: {})

    def graph(self, arch):
        width, kernel, act = arch.values
        builder, x = hwnas.GraphBuilder((3, 6, 6)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((3, 6, 6), width, kernel, act=act), x)
        return builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 4), x))


class Tuples(Chain):
    settings = property(lambda self: {"sizes": (1, 2)})

    def __init__(self, sizes=()):
        pass


class OtherSettings(Chain):
    def __init__(self, classes=3):
        self.settings_ = {"classes": classes}

    settings = property(lambda self: {"classes": 4, **({} if self.settings_["classes"] == 3 else {"more": 1})})


class Unsaid(Chain):
    """Takes a width that its settings lack."""

    def __init__(self, width=2):
        self.choices = (Choice("width", (width, 16)), *Chain.choices[1:])

    choices = None


class Unread(Chain):
    def parse(self, text):
        return super().parse(text.replace("kernel=5", "kernel=3"))


class Merged(Chain):
    """Says that the kernel does not matter, though it does."""

    def canonical_codes(self, codes):
        codes = np.array(codes)
        codes[:, 1] = 0
        return codes


class Forgetful(Chain):
    def ops(self):
        return super().ops()[::2]


class Apart(Chain):
    """Its only term lacks the classifier."""

    terms = (Term("conv", (0, 1, 2)),)

    def term_graph(self, term, arch):
        builder = hwnas.GraphBuilder((3, 6, 6))
        op = hwnas.ops.conv((3, 6, 6), arch.values[0], arch.values[1], act=arch.values[2])
        return builder.build(builder.add("conv", op, hwnas.INPUT))

    def ops(self):
        return Chain().ops()


class Beside(Chain):
    def input_shape(self, arch):
        return (3, 8, 8)


@pytest.mark.parametrize(
    ("space", "fault"),
    [
        (Tuples, "space chain: its settings must be read back from JSON as they are; use lists, not tuples"),
        (OtherSettings, "space chain: built again, it has the settings {'classes': 4, 'more': 1}"),
        (Unsaid, "do not build the same space again"),
        (Unread, "space chain: parse does not read what format writes, 'width="),
        (Merged, "has other ops than its canonical form"),
        (Forgetful, "space chain: ops() lacks conv "),
        (Apart, "terms must add up to the graph"),
        (Beside, "input_shape says (3, 8, 8)"),
    ],
)
def test_spaces(space, fault):
    testing.check_space(Chain())
    assert fault in refused(testing.check_space, space(3) if space is Unsaid else space())


class NoGradient(ImageClassification):
    def loss(self, outputs, targets, settings):
        return 0 * super().loss(outputs, targets, settings)


class ByBatch(ImageClassification):
    def inputs(self, part, indices, input_shape, device="cpu"):
        x = super().inputs(part, indices, input_shape, device)
        return x - x.mean()


def test_tasks():
    data, space = load_data("digits", limit=60), make_space("nasbench201", image_size=8, image_channels=1, cells=1)
    assert refused(testing.check_task, NoGradient(data), space) == "task image: loss must have gradients"
    fault = "task image: inputs of train must not depend on the other samples of a batch"
    assert refused(testing.check_task, ByBatch(data), space) == fault


class Rounded(hwnas.Metric):
    def format(self, value, error=None):
        return f"{value:.0f}"


class Boundless(hwnas.Metric):
    def holds(self, value):
        return True


def test_metrics():
    testing.check_metric(hwnas.Metric("error", "min", unit="mm", low=0.0))
    testing.check_metric(hwnas.Metric("share", unit="%", low=0.0, high=1.0))
    assert "parse does not read what format writes, '0'" in refused(testing.check_metric, Rounded("x", low=0.0))
    assert "`holds` must be false beyond the bound 0.0" in refused(testing.check_metric, Boundless("x", low=0.0))


class Last:
    """Proposes the last candidates, or others each time that it is asked."""

    name = "last"

    def __init__(self, remembers=False):
        self.remembers, self.calls = remembers, 0

    def propose(self, context, n, rng):
        self.calls += self.remembers
        return hwnas.Suggestion(context.random(64, rng)[self.calls :][:n])


class Outside:
    name = "outside"

    def sample(self, region, context, n, rng):
        return context.random(n, rng)


class Many(Outside):
    name = "many"

    def sample(self, region, context, n, rng):
        return region.pool[: n + 1]


def test_strategies_and_leaf_samplers():
    testing.check_strategy(Last, costly=True)
    fault = "strategy last: propose must give the same rows for the same arguments; keep no state between calls"
    assert refused(testing.check_strategy, lambda: Last(remembers=True)) == fault
    fault = "leaf sampler outside: sample must choose rows inside the region"
    assert refused(testing.check_leaf_sampler, Outside) == fault
    assert "leaf sampler many: sample must give at most" in refused(testing.check_leaf_sampler, Many)


class Width(hwnas.Evaluator):
    name, measure = "width", "width"
    settings = property(lambda self: {})

    def evaluate(self, arch):
        return hwnas.Evaluation(float(arch.values[0]))


class Restless(Width):
    def __init__(self):
        self.calls = 0

    def evaluate(self, arch):
        self.calls += 1
        return hwnas.Evaluation(float(self.calls))


class Endless(Width):
    def evaluate(self, arch):
        return hwnas.Evaluation(float("inf"))


class Beyond(Width):
    metric = hwnas.Metric("share", low=0.0, high=1.0)


class Local(Width):
    def __init__(self):
        self.score = lambda arch: arch.values[0]


class Busy(Width):
    def prepare(self, workdir, progress=None):
        if progress is not None:
            progress(1, 1, "trains again")


class Ready(Width, hwnas.Trainer):
    def trained_weights(self, arch):
        return {}

    def test_value(self, arch):
        return 1.0


@pytest.mark.parametrize(
    ("evaluator", "fault"),
    [
        (Restless, "; values must follow from the settings alone"),
        (Endless, "its value must be finite, got inf"),
        (Beyond, "share must be within the bounds of the metric, got "),
        (Local, "evaluator width: workers get pickled copies of it: "),
        (Busy, "evaluator width: prepare must use what its folder holds, it made 2 steps again"),
        (Ready, "evaluator width: evaluate must raise EvaluatorError before prepare was called"),
    ],
)
def test_evaluators(evaluator, fault):
    testing.check_evaluator(Width, Chain())
    assert fault in refused(testing.check_evaluator, evaluator, Chain())


class Device(AdditiveBackend):
    facts = {"device": "made-up"}  # noqa: RUF012

    def identity(self):
        return dict(self.facts)


class Anonymous(Device):
    facts = {"runtime": "1"}  # noqa: RUF012


class Mean(Device):
    """Gives the seconds of one repeat."""

    def load(self, graph, *, seed=0, tied=(), cold=False):
        runnable = AdditiveRunnable(self, 1e-3)
        runnable.run = lambda repeats: 1e-3
        return runnable


class Chatty(Device):
    def warnings(self):
        return "busy"


@pytest.mark.parametrize(
    ("backend", "fault"),
    [
        (Anonymous, "Anonymous: identity must name the device under 'device', got None"),
        (Mean, "Mean: run must return the seconds of all repeats together, got 0.001 s for 1 and 0.001 s for 50"),
        (Chatty, "Chatty: warnings must be a list of lines, got 'busy'"),
    ],
)
def test_backends(backend, fault):
    testing.check_backend(Device())
    assert refused(testing.check_backend, backend()) == fault


DEPTH = hwnas.Cost(
    name="depth",
    key="test_ops",
    title="operators",
    heading="ops",
    example="40",
    of_graph=lambda graph, batch: sum(graph.op_counts.values()),
)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"combine": "max"}, "; set combine, or choose a cost that follows from the parts of a network"),
        ({"of_graph": lambda graph, batch: -1.0}, "its value must be a finite number of 0 or more, got -1.0"),
        ({"of_graph": lambda graph, batch: 0.5}, "its value is whole (`whole`), got 0.5"),
        ({"format": lambda value: "1"}, "is written 1 and not read back"),
        ({"key": "macs"}, "cost depth with key macs: a cost of this name or key exists already"),
    ],
)
def test_costs(changes, fault):
    testing.check_cost(DEPTH, make_space("mobilenetv3", resolution=[8], width=[0.5]))
    assert fault in refused(testing.check_cost, dataclasses.replace(DEPTH, **changes))


def test_every_check_is_tested_here():
    assert sorted(testing.__all__) == [f"check_{name}" for name in (
        "backend", "cost", "evaluator", "leaf_sampler", "metric", "one_shot_method", "operator", "space", "strategy",
        "task",
    )]  # fmt: skip
