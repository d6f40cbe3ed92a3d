"""A task of somebody else's, with a metric that is minimised, from the search to the exported file."""

import importlib
import json
import math
import sys

import onnx
import pytest
from own_plugins import install

import hwnas
from hwnas._cli import main
from hwnas.tasks import Metric, make_task
from hwnas.testing import check_evaluator, check_space, check_task
from profilers import graph_params

MODULE = '''
import numpy as np
import hwnas
from hwnas.tasks import Metric, Output, Scorer, Task
from simulated_device import AdditiveBackend


class SquaredError(Scorer):
    def __init__(self):
        self.total, self.count = 0.0, 0

    def add(self, outputs, targets):
        self.total += float(np.square(outputs[0].astype(np.float64) - targets).sum())
        self.count += targets.size

    def value(self):
        return self.total / self.count


class Halves(Task):
    """Tells how bright the left and the right half of a field are."""

    name, metric = "halves", Metric("mse", "min", unit="lx", low=0.0)
    fingerprint, data_name, input_shape = "0a", "fields", (1, 8, 8)
    outputs = (Output("brightness", 2, ("left", "right")),)

    def __init__(self, data, *, seed=0, limit=None):
        rng, size = np.random.default_rng(seed), limit or int(data)
        self._parts = {}
        for part in ("train", "validation", "test"):
            x = rng.random((size, 1, 8, 8), dtype=np.float32) + rng.random((size, 1, 1, 1), dtype=np.float32)
            self._parts[part] = x, np.stack([x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))], axis=1)

    def size(self, part):
        return len(self._parts[part][0])

    def require_fit(self, space):
        graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
        if (graph.input_shape, graph.output_shape) != (self.input_shape, (2,)):
            raise hwnas.HwnasError("give networks of 1x8x8 inputs and 2 outputs")

    def misfit(self, input_shape):
        return None if tuple(input_shape[1:]) == self.input_shape else "is no field"

    def inputs(self, part, indices, input_shape, device="cpu"):
        import torch

        return torch.from_numpy(self._parts[part][0][indices]).to(device)

    def targets(self, part, indices):
        return self._parts[part][1][indices]

    def default_recipe(self):
        return {"epochs": 1, "batch_size": 20}

    def loss(self, outputs, targets, settings):
        return (outputs[0] - targets).square().mean()

    def distillation_loss(self, outputs, teacher):
        return (outputs[0] - teacher[0]).square().mean()

    def scorer(self):
        return SquaredError()

    def metadata(self, input_shape):
        return {"unit": "lx"}


class Small(hwnas.Space):
    name = "small"

    @property
    def settings(self):
        return {}

    choices = (hwnas.Choice("width", (2, 3, 4, 6, 8, 12)), hwnas.Choice("kernel", (1, 3, 5)))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((1, 8, 8)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((1, 8, 8), *arch.values, stride=2, act="relu"), x)
        return builder.build(builder.add("out", hwnas.ops.linear(builder.shape(x), 2), x))


class Guess(hwnas.Evaluator):
    name = "guess"

    def __init__(self, space, data, *, task):
        assert data is task.data
        self.task, self.metric = task, task.metric

    settings = property(lambda self: {"data": self.task.fingerprint})

    def evaluate(self, arch):
        return hwnas.Evaluation(1 / sum(arch.values))


class Stopwatch(AdditiveBackend):
    batch = 1

    def identity(self):
        return {"device": "stopwatch"}

    def load_trained(self, graph, weights, file):
        return self.load(graph)


def stopwatch(*, image_channels):
    return Stopwatch(image_channels=image_channels)
'''
POINTS = {
    "tasks": {"halves": "halves:Halves"},
    "spaces": {"small": "halves:Small"},
    "evaluators": {"guess": "halves:Guess"},
    "profilers": {"stopwatch": "halves:stopwatch"},
}
MSE = Metric("mse", "min", unit="lx", low=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A distribution that brings a task, a space and a device is on the path; two searches were made with them."""
    site, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    install(site, "halves", POINTS)
    (site / "halves.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.chdir(work)
        assert main(["profile", "--space", "small", "--device", "stopwatch", "--networks", "2", "-o", "t.json"]) == 0
        for name in ("train", "supernet"):
            assert main(command(name, name)) == 0
        yield work
    sys.modules.pop("halves", None)


def command(evaluator, out, *more):
    found = ["search", "--task", "halves", "--data", "60", "--space", "small", "--device", "stopwatch"]
    found += ["--evaluator", evaluator, "--strategy", "random", "--samples", "9", "--table", "t.json"]
    return [*found, "--out", out, "--quiet", *more]


def trials(run):
    return [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]


def test_it_keeps_the_contract(folder):
    module = importlib.import_module("halves")
    task, space = module.Halves("30"), module.Small()
    check_task(task, space)
    check_space(space)
    check_evaluator(lambda: module.Guess(space, task.data, task=task), space, task)
    assert make_task("halves", "30", image_size=8, limit=12).size("test") == 12


@pytest.mark.parametrize("evaluator", ["train", "supernet"])
def test_the_search_minimises_it(folder, evaluator):
    run = folder / evaluator
    values = [(trial["values"]["mse"], trial["values"]["latency_ms"]) for trial in trials(run)]
    assert len({mse for mse, _ in values}) == 9
    networks = json.loads((run / "pareto.json").read_text())
    assert networks
    for network in networks:
        mse, ms = values[network["trial"]]
        assert not any(other < mse and cost < ms for other, cost in values)
        assert network["metric"] == MSE.as_dict()
        assert network["validation_mse"] == mse
        assert network["mse"] == pytest.approx(network["torch_mse"], rel=1e-3)
        assert not any("accuracy" in name for name in network)
        assert network["images"] == {"test": 60, "validation": 60}
        if network["dominated_by"] is None:
            assert not any(o["validation_mse"] < mse and o["latency_ms"]["measured"] < ms for o in networks)
    identity = json.loads((run / "settings.json").read_text())["identity"]
    assert (identity["measure"], identity["metric"]) == ("mse", MSE.as_dict())
    model = onnx.load(run / networks[0]["onnx"])
    assert {item.key: item.value for item in model.metadata_props}["hwnas.unit"] == '"lx"'


def test_the_report_and_the_lists_say_it(folder, capsys):
    page = (folder / "train" / "report.html").read_text()
    assert "<th>validation MSE</th>" in page
    assert "<th>test MSE</th>" in page
    assert "the best at validation MSE " in page
    assert "MSE against cost" in page
    for other in ("accuracy-column", "SVM accuracy", "is the table accurate?", "Is the table accurate?"):
        page = page.replace(other, "")  # of the latency table and of the regions, not of the networks
    assert "accura" not in page
    capsys.readouterr()
    assert main(["runs", ".", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    least = min(trial["values"]["mse"] for trial in trials(folder / "train"))
    assert (rows["train"]["measure"], rows["train"]["best"], rows["train"]["metric"]) == ("mse", least, MSE.as_dict())
    assert main(["runs", "."]) == 0
    assert f"{least:.4g} lx" in capsys.readouterr().out


def test_runs_are_compared_towards_less(folder, capsys):
    assert main(["compare", "train", "supernet", "-o", "both.png", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    worst = max(trial["values"]["mse"] for run in ("train", "supernet") for trial in trials(folder / run))
    assert found["reference"]["mse"] > worst
    for run in found["runs"]:
        values = [(trial["values"]["mse"], trial["values"]["latency_ms"]) for trial in trials(folder / run["name"])]
        assert run["best"][0]["value"] == min(mse for mse, _ in values)
        assert run["best"][0]["standard_error"] is None
        fronts = sorted((point["mse"], point["latency_ms"]) for point in run["front"])
        kept = [a for a in values if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in values)]
        assert fronts == sorted(kept)
        assert run["volumes"] == sorted(run["volumes"])
    assert main(["compare", "train", "supernet"]) == 0
    assert "best MSE, no budget" in capsys.readouterr().out


@pytest.mark.parametrize("pick", ["best", "most-accurate"])
def test_the_best_network_has_the_least_error(folder, capsys, pick):
    networks = [n for n in json.loads((folder / "train" / "pareto.json").read_text()) if n["dominated_by"] is None]
    best = min(networks, key=lambda n: n["validation_mse"])
    assert main(["export", "train", "--pick", pick, "-o", "best.onnx"]) == 0
    assert (folder / "best.onnx").read_bytes() == (folder / "train" / best["onnx"]).read_bytes()
    told = capsys.readouterr().out
    assert f"validation MSE {best['validation_mse']:.4g} lx, test MSE {best['mse']:.4g} lx, " in told


def test_a_search_goes_on_with_the_same_task_alone(folder, capsys):
    before = trials(folder / "supernet")
    assert main(command("supernet", "supernet", "--minimize", "latency")) == 0
    assert trials(folder / "supernet") == before
    capsys.readouterr()
    assert main(["search", "--data", "60", *command("supernet", "supernet")[5:]]) == 2
    assert 'contains a search with task "halves", this one has null' in capsys.readouterr().err


def test_python_takes_it_as_an_object(folder):
    module = importlib.import_module("halves")
    parts = {"data": module.Halves("60"), "table": "t.json", "device": module.stopwatch(image_channels=1)}
    parts |= {"evaluator": "train", "strategy": "random", "samples": 4, "out": "object"}
    result = hwnas.search(module.Small(), **parts)
    assert (result.settings.task, result.settings.data) == ("halves", "fields")
    before = [trial["values"]["mse"] for trial in trials(folder / "train")]
    assert [trial.values["mse"] for trial in result.trials] == before[:4]
    assert hwnas.search(module.Small(), **parts).trials == result.trials


def test_a_score_chooses_what_a_final_training_then_judges(folder):
    assert main(command("parameters", "score", "--finalize", "train", "--final-epochs", "2")) == 0
    networks = json.loads((folder / "score" / "pareto.json").read_text())
    assert all(n["score"].keys() == {"log_parameters"} and n["validation_mse"] is None for n in networks)
    assert all(n["final_validation_mse"] > 0 and n["metric"]["direction"] == "min" for n in networks)
    assert (folder / "score" / "report.html").read_text().count(
        "log parameters (a score)"
    ) == 1  # the axis of the front
    assert main(["export", "score", "--pick", "best", "-o", "s.onnx"]) == 0


def test_an_evaluator_of_a_plug_in_may_take_the_task(folder):
    assert main(command("guess", "guess", "--finalize", "train", "--final-epochs", "1")) == 0
    networks = json.loads((folder / "guess" / "pareto.json").read_text())
    assert networks
    for network in networks:
        values = [int(part.partition("=")[2]) for part in network["arch"].split(",")]
        assert network["validation_mse"] == 1 / sum(values)
        assert network["final_validation_mse"] != network["validation_mse"]
        assert "score" not in network


def test_a_stand_in_of_which_more_is_better_points_the_same_way(folder):
    more = ["--strategy", "lamoo", "--cheap", "parameters", "--samples", "14"]
    assert main(command("train", "cheap", *more)) == 0
    looked = [trial for trial in trials(folder / "cheap") if trial.get("cheap")]
    assert len(looked) > 2
    space = importlib.import_module("halves").Small()
    for trial in looked:
        assert trial["values"]["mse"] == -math.log(graph_params(space.graph(space.parse(trial["arch"]))))
    assert all(trial["values"]["mse"] > 0 for trial in trials(folder / "cheap") if not trial.get("cheap"))


def test_plug_ins_are_listed_and_bad_input_is_one_line(folder, capsys):
    assert main(["plugins"]) == 0
    lines = capsys.readouterr().out.splitlines()
    text = "image classification, judged by accuracy (if the data suit no other task)"
    assert f"task       image                hwnas: {text}" in lines
    assert "task       halves               halves 1.0" in lines
    for more, why in (
        (["--task", "sound"], "unknown task 'sound'; known: dense, detection, image, signal, video, halves"),
        (["--space", "nasbench201", "--image-size", "12"], "give networks of 1x8x8 inputs and 2 outputs"),
        (
            ["--recipe", "cutout=0.5"],
            "training has no setting 'cutout'; known settings: epochs, batch_size, optimizer, ",
        ),
    ):
        assert main([*command("train", "bad"), *more]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert why in message
