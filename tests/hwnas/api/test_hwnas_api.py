"""`hwnas.profile` and `hwnas.search` with a space, an evaluator and a strategy of the user's own."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cells import cut, trials_of
from cells import search as cell_search
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas._costs._space_costs import SpaceCosts
from profilers import graph_macs, graph_params, peak_memory_bytes

ROOT = Path(__file__).resolve().parents[3]


class Toy(hwnas.Space):
    name = "toy"

    def __init__(self, widths=(4, 8, 12), last=10):
        self.widths, self.last = widths, last

    @property
    def settings(self):
        return {"widths": list(self.widths)}

    @property
    def choices(self):
        kernels = (1, 3, 5)
        return tuple(hwnas.Choice(f"{n}{i}", v) for i in "12" for n, v in (("width", self.widths), ("kernel", kernels)))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((3, 8, 8)), hwnas.INPUT
        for i in range(2):
            width, kernel = arch.values[2 * i : 2 * i + 2]
            x = builder.add(f"conv{i}", hwnas.ops.conv(builder.shape(x), width, kernel, stride=2, act="relu"), x)
        x = builder.add("classes", hwnas.ops.linear(builder.shape(x), self.last), x)
        return builder.build(x).without_dead_code().fused()


class Score(hwnas.Evaluator):
    def __init__(self, measure="score", scale=1.0):
        self.name, self.measure, self.scale = "wide", measure, scale

    @property
    def settings(self):
        return {"scale": self.scale}

    def evaluate(self, arch):
        if arch.values == (4, 1, 4, 1):
            raise hwnas.NoValueError("evaluator wide: too small")
        return hwnas.Evaluation(self.scale * sum(value**0.5 for value in arch.values))


class Backwards:
    """Proposes the last candidates of a region."""

    name = "backwards"

    def sample(self, region, context, n, rng):
        return region.pool[::-1][:n]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.json"
    return hwnas.profile(Toy(), AdditiveBackend(noise=0.01), out=path, networks=6)


@pytest.fixture
def search(table, tmp_path):
    def run(**changes):
        settings = {"evaluator": Score(), "table": table, "device": AdditiveBackend(), "samples": 14}
        settings |= {"strategy": "mutation", "out": tmp_path / "run", **changes}
        space = settings.pop("space", Toy())
        return hwnas.search(space, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._report._write._pictures", lambda shown: {})
        yield run


def test_worker_processes_change_nothing(search, tmp_path):
    alone, together = search(), search(workers=2, out=tmp_path / "two")
    assert together.trials == alone.trials


def refused(search, **changes):
    with pytest.raises(hwnas.HwnasError) as caught:
        search(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_space_of_choices_and_graphs_has_all_the_rest():
    space = Toy()
    costs = SpaceCosts(space, None, batch=2)
    archs = space.sample(8, np.random.default_rng(0))
    codes = np.array([space.encode(arch) for arch in archs])
    graphs = [space.graph(arch) for arch in archs]
    assert costs.cost("macs")(codes).tolist() == [graph_macs(graph) for graph in graphs]
    assert costs.cost("params")(codes).tolist() == [graph_params(graph) for graph in graphs]
    assert costs.cost("peak_memory_bytes")(codes).tolist() == [peak_memory_bytes(graph, batch=2) for graph in graphs]
    assert {op for graph in graphs for op in graph.op_counts} <= set(space.ops())
    assert [space.parse(space.format(arch)) for arch in archs] == archs
    assert space.format(hwnas.Architecture((4, 1, 8, 3))) == "width1=4,kernel1=1,width2=8,kernel2=3"
    assert space.size == 81
    assert space.input_shape(archs[0]) == (3, 8, 8)


def test_the_fingerprint_tells_choices_and_ops_apart():
    prints = {Toy().fingerprint, Toy((4, 8)).fingerprint, Toy(last=9).fingerprint}
    assert len(prints) == 3
    assert Toy().fingerprint in prints


def test_a_search_with_objects_finds_a_front(search, table):
    found = search(budgets={"latency": 0.2})
    assert len(found.trials) == 14
    assert [trial.number for trial in found.trials] == list(range(14))
    values = [trial.values for trial in found.front]
    assert all(v["latency_ms"] <= 0.2 for v in values)
    for a in values:
        assert not any(b["score"] > a["score"] and b["latency_ms"] < a["latency_ms"] for b in values)
    space, costs = Toy(), SpaceCosts(Toy(), table)
    for trial in found.front:
        price = costs.latency_ms(space.encode(trial.arch)[None])[0]
        assert trial.values["latency_ms"] == pytest.approx(price, rel=0.01)  # measured, not priced
        assert space.format(trial.arch) == trial.text
    assert {n["trial"] for n in found.networks} <= {trial.number for trial in found.front}
    assert all(n["onnx"] is None and n["score"].keys() == {"score"} for n in found.networks)
    best = max(found.networks, key=lambda n: n["score"]["score"])
    assert found.pick("best") == best
    text = found.report.read_text()
    assert "Evaluator wide has no weights to export; networks were measured with random weights, on which " in text
    assert "<th>score</th>" in text


def test_the_same_call_goes_on_and_the_command_line_reads_the_run(search, capsys, tmp_path):
    whole = search()
    before = trials_of(whole.path)
    cut(whole.path, 6)
    assert search().trials == whole.trials
    assert trials_of(whole.path) == before
    assert len(search(samples=17).trials) == 17
    capsys.readouterr()
    assert main(["runs", str(tmp_path), "--json"]) == 0
    (info,) = json.loads(capsys.readouterr().out)
    assert (info["space"], info["data"], info["measure"], info["state"]) == ("toy", "none", "score", "finished")
    assert main(["export", str(whole.path)]) == 2
    assert capsys.readouterr().err == f"hwnas: error: {whole.path} has no ONNX files: evaluator wide has no weights\n"


def test_a_run_of_the_command_line_goes_on_in_python(csv, tmp_path):
    out = cell_search(csv, tmp_path / "run", samples=12)
    before = trials_of(out)
    options = {"evaluator_options": {"accuracy_column": "acc"}, "latency_column": "ms", "strategy": "mutation"}
    found = hwnas.search(
        "nasbench201", evaluator=f"table:{csv}", budgets={"latency": "8ms"}, samples=12, out=out, **options
    )
    assert trials_of(out) == before
    assert [trial.text for trial in found.trials] == [trial["arch"] for trial in before]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": Toy((4, 8))}, 'space_settings {"widths": [4, 8, 12]}, this one has {"widths": [4, 8]}; choose'),
        ({"space": Toy(last=9)}, "space.fingerprint"),
        ({"evaluator": Score(scale=2.0)}, "evaluator.scale 1.0, this one has 2.0; the data or the defaults have"),
        ({"evaluator": Score(measure="guess")}, 'measure "score", this one has "guess"; the data or the defaults have'),
        ({"seed": 1}, "seed 0, this one has 1; choose another --out"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(search, tmp_path, changes, told):
    search()
    assert refused(search, **changes).startswith(f"{tmp_path / 'run'} contains a search with {told}")


def test_a_sampler_of_the_users_inside_lamoo(search):
    strategy = hwnas.LaMOO(Backwards(), name="lamoo-backwards")
    found = search(strategy=strategy, samples=16)
    assert (len(found.trials), found.settings.strategy) == (16, "lamoo-backwards")
    assert search(strategy=strategy, samples=16).trials == found.trials
    cut(found.path, 12)
    message = refused(search, strategy=hwnas.LaMOO(Backwards(), name="lamoo-other"), samples=16)
    assert message.startswith(
        f'{found.path} contains a search with strategy "lamoo-backwards", this one has "lamoo-other"'
    )


def test_an_evaluator_without_weights_ships_what_is_trained_in_the_end(table, tmp_path, monkeypatch):
    from hwnas.data import load_data

    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})

    class Grey(Toy):
        def graph(self, arch):
            builder, x = hwnas.GraphBuilder((1, 8, 8)), hwnas.INPUT
            x = builder.add("conv", hwnas.ops.conv((1, 8, 8), arch.values[0], arch.values[1], act="relu"), x)
            x = builder.add("classes", hwnas.ops.linear(builder.shape(x), 10), x)
            return builder.build(x)

        @property
        def choices(self):
            return (hwnas.Choice("width", (2, 4)), hwnas.Choice("kernel", (1, 3)))

    grey, device = Grey(), AdditiveBackend(image_channels=1)
    prices = hwnas.profile(grey, device, out=tmp_path / "grey.json", networks=2)
    settings = {"data": load_data("digits", limit=60), "evaluator": Score(), "table": prices, "device": device}
    settings |= {"samples": 4, "out": tmp_path / "run", "offline": True}
    assert refused(lambda **more: hwnas.search(grey, **settings, **more)) == (
        "--evaluator wide trains no networks, so there are none to export; add --finalize train"
    )
    found = hwnas.search(grey, **settings, finalize="train", final_recipe={"epochs": 1})
    assert all((found.path / n["onnx"]).exists() and 0 <= n["accuracy"] <= 1 for n in found.networks)


class Nameless(Toy):
    name = "not a word"


class Forgetful(Toy):
    def ops(self):
        return super().ops()[:-1]


class Partial(Toy):
    @property
    def terms(self):
        return (hwnas.Term("one", (0, 1)), hwnas.Term("two", (2, 3)))


class Double(Partial):
    def term_graph(self, term, arch):
        return self.graph(hwnas.Architecture((4, 1, 4, 1)))

    def ops(self):
        return Toy().ops()


class Mute(Toy):
    def parse(self, text):
        return hwnas.Architecture((4, 1, 4, 1))


class Spaced(Toy):
    @property
    def choices(self):
        return tuple(hwnas.Choice(f"a b{i}", choice.values) for i, choice in enumerate(super().choices))


class Halves(Toy):
    """Two terms, cut between a convolution and the activation that runtimes fuse into it."""

    @property
    def terms(self):
        return (hwnas.Term("first", (0, 1)), hwnas.Term("second", (0, 2, 3)))

    def parts(self, arch):
        width = arch.values[0]
        builder = hwnas.GraphBuilder((3, 8, 8))
        first = builder.build(builder.add("conv", hwnas.ops.conv((3, 8, 8), width, 3), hwnas.INPUT))
        builder = hwnas.GraphBuilder((width, 8, 8))
        x = builder.add("relu", hwnas.ops.activation((width, 8, 8), "relu"), hwnas.INPUT)
        x = builder.add("wide", hwnas.ops.conv((width, 8, 8), arch.values[2], arch.values[3]), x)
        x = builder.add("pool", hwnas.ops.global_pool(builder.shape(x)), x)
        return first, builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 10), x))

    def term_graph(self, term, arch):
        return self.parts(arch)[term.name == "second"]

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((3, 8, 8)), hwnas.INPUT
        for part in self.parts(arch):
            x = builder.splice(part, at=x)
        return builder.build(x)

    def ops(self):
        archs = [self.decode(row) for row in np.indices(self.cardinalities).reshape(4, -1).T]
        graphs = [graph for arch in archs for graph in (self.graph(arch), *self.parts(arch))]
        return sorted({op for graph in graphs for op in graph.op_counts}, key=lambda op: op.key)


class Vast(Toy):
    @property
    def choices(self):
        return tuple(hwnas.Choice(f"c{i}", (1, 2, 3)) for i in range(12))


WRONG = [
    (Nameless(), "space Nameless: its name must be a word of letters, digits, . _ -, got 'not a word'"),
    (Forgetful(), "space toy: ops() lacks linear float32 8x2x2 -> 10 act=none of the network "),
    (Partial(), "space toy: it overrides terms; override term_graph too"),
    (Double(), "space toy: the terms of width1="),
    (Mute(), "space toy: parse cannot read what format returns, 'width1="),
    (Spaced(), "space toy: cannot write an architecture as 'a b0="),
    (Toy(widths=(4, 4)), "choice width1: needs one or more values, all different, got (4, 4)"),
    (
        Vast(),
        "space toy: 531441 architectures cannot be priced one by one, only 20000 can; state it as a choice graph, or "
        "override terms and term_graph",
    ),
    (Toy, "space must be a name or an instance of hwnas.Space, got <class"),
]


@pytest.mark.parametrize(("space", "message"), WRONG)
def test_a_space_that_does_not_fit_together_is_refused(search, space, message):
    assert refused(search, space=space).startswith(message)


def test_terms_that_are_cut_where_the_runtime_fuses_are_refused_for_their_latency(search):
    message = refused(search, space=Halves())
    assert "ms at made-up prices, its graph" in message
    assert message.endswith("so split them where the runtime fuses nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluator": Score}, f"evaluator must be a name or an instance of hwnas.Evaluator, got {Score!r}"),
        (
            {"strategy": Backwards},
            f"strategy must be a name or an instance with a method propose, got {Backwards!r}",
        ),
        ({"budgets": {"speed": 1}}, "unknown cost 'speed' in budgets; known costs: latency, macs, params, memory, rom"),
        ({"budgets": {"macs": 0}}, "budget macs must be a positive number, or text like '4ms' or '600k', got 0"),
        ({"budgets": {"latency": "0.3"}}, "the latency '0.3' has no unit; write 0.3ms or 0.3us"),
        ({"latency_budget": "0.3"}, "the latency '0.3' has no unit; write 0.3ms or 0.3us"),
        (
            {"latency_budget": float("nan")},
            "budget latency must be a positive number, or text like '4ms' or '600k', got nan",
        ),
        (
            {"budgets": {"latency": 1}, "latency_budget": 2},
            "budget latency is given twice, in budgets and as latency_budget; leave one out",
        ),
        ({"budgets": "4ms"}, "budgets must be a dictionary, got '4ms'"),
        ({"minimize": 3}, "minimize must be names, like 'latency' or 'latency,macs', got 3"),
        (
            {"minimize": "latency,speed"},
            "unknown cost 'speed' in --minimize; known costs: latency, macs, params, memory, rom",
        ),
        ({"samples": "3"}, "--samples must be a whole number, got '3'"),
        ({"seed": True}, "--seed must be a whole number, got True"),
        ({"epochs": 4}, "epochs needs the name of an evaluator; an object has its settings already"),
        ({"resolution": 8}, "resolution needs the name of a space; an object has its settings already"),
        ({"budgets": {"latency": "soon"}}, "cannot read the latency 'soon'; write it like 4ms, 250us or 0.1s"),
        ({"threads": 2}, "threads needs the name of a device; an object has its settings already"),
        ({"space_settings": {}}, "space_settings needs the name of a space; an object has its settings already"),
        (
            {"strategy": hwnas.LaMOO(Backwards()), "low_fidelity": "x"},
            "low_fidelity needs strategy='lamoo', got an object",
        ),
        (
            {"evaluator": Score(scale={1})},
            "evaluator wide: its settings cannot be written as JSON: Object of type set is not JSON serializable",
        ),
        ({"evaluator": "supernet"}, "evaluator supernet: it needs a data set"),
        ({"finalize": "train"}, "--finalize train needs a data set; --evaluator wide has none"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(search, changes, message):
    assert refused(search, **changes) == message


def test_an_unknown_setting_is_named_with_those_there_are(search):
    message = refused(search, sample=3)
    assert message.startswith(
        "search has no setting 'sample'; known settings: accuracy_column, batch, begin_with, channels_last, classes, "
    )


def test_percent_is_no_accuracy(search):
    message = refused(search, evaluator=Score(measure="accuracy"))
    assert message.startswith("evaluator wide: width1=")
    assert ": accuracy must be at least 0 and at most 1, got " in message
    assert message.endswith("; divide percent by 100, or give another metric")
    assert search(evaluator=Score(measure="accuracy", scale=0.01)).networks


def test_an_evaluator_with_weights_wants_data_to_test_them_on(search):
    class Trained(Score, hwnas.Trainer):
        def trained_weights(self, arch):
            return {}

        def test_value(self, arch):
            return 0.5

    assert refused(search, evaluator=Trained()) == (
        "evaluator wide trains networks, so the search needs data to test them on; pass data too"
    )


def test_an_evaluator_of_an_earlier_hwnas_works_or_is_told_what_to_change(search):
    class Trained(Score):
        trains = True

    assert refused(search, evaluator=Trained()) == (
        "evaluator wide: `trains = True` has no meaning any more; make it a subclass of hwnas.Trainer too, and call "
        "its test_accuracy test_value"
    )
    assert hwnas.NoAccuracyError is hwnas.NoValueError
    assert "NoAccuracyError" not in dir(hwnas)
    assert Score(measure="guess").metric == hwnas.Metric("guess", score=True)


def test_a_metric_that_is_minimised_needs_no_task(search, tmp_path):
    class Error(Score):
        metric = hwnas.Metric("error", "min", unit="mm", low=0.0)

    result = search(evaluator=Error(), out=tmp_path / "error")
    assert all(n["error"] is None and n["validation_error"] > 0 for n in result.networks)
    assert result.pick("best")["validation_error"] == min(n["validation_error"] for n in result.networks)
    best = min(trial.values["error"] for trial in result.trials if trial.failed is None)
    assert result.pick("best")["validation_error"] == best
    assert f"{best:.4g} mm" in result.report.read_text()
    again = search(evaluator=Error(), out=tmp_path / "error")
    assert again.trials == result.trials
    Error.metric = hwnas.Metric("error", "max", unit="mm", low=0.0)
    assert 'metric.direction "min", this one has "max"' in refused(search, evaluator=Error(), out=tmp_path / "error")
    Error.metric = hwnas.Metric("macs", "min")
    assert refused(search, evaluator=Error(), out=tmp_path / "other") == (
        "metric macs: a run's files use this name for something else; rename the metric"
    )


def test_a_table_is_loaded_and_saved(table, tmp_path):
    table.save(tmp_path / "copy.json")
    again = hwnas.LatencyTable.load(str(tmp_path / "copy.json"))
    assert again == dataclasses.replace(table, source=None)
    assert (tmp_path / "copy.json").read_bytes() == table.source.read_bytes()


def test_a_finished_profile_is_returned_as_it_is(table):
    assert hwnas.profile(Toy(), AdditiveBackend(noise=0.5), out=table.source) == table
    with pytest.raises(hwnas.HwnasError, match="holds the table of another space"):
        hwnas.profile(Toy(last=9), AdditiveBackend(), out=table.source)
    with pytest.raises(hwnas.HwnasError, match="--networks must be 2 or more, got 1"):
        hwnas.profile(Toy(), AdditiveBackend(), networks=1)


def test_spaces_of_one_name_have_tables_of_their_own():
    one, other = (hwnas.profile(Toy(last=last), AdditiveBackend(), networks=2) for last in (9, 10))
    assert one.source.parent == other.source.parent
    assert one.source != other.source


def test_every_public_name_is_there():
    code = "import hwnas, search; assert hwnas.search is not search; [getattr(hwnas, name) for name in hwnas.__all__]"
    code += "; assert search.Study and callable(hwnas.search)"
    code += "; assert hwnas._LAZY.keys() == set(hwnas.__all__) - {'__version__'}"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_example_runs(tmp_path):
    command = [sys.executable, "scripts/example_custom_space.py", str(tmp_path / "run")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == str(tmp_path / "run" / "report.html")
    scores = [float(found.group(1)) for line in lines if (found := re.search(r" ms, score ([0-9.]+): width1=", line))]
    assert 2 * (12**0.5 + 3**0.5) < max(scores) <= 11.41  # near that of the widest with the largest kernels
    assert (tmp_path / "run-table.json").exists()
