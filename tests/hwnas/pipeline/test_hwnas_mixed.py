"""A search with `--precision mixed`: the precision of each block is found, measured, trained for and delivered."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from simulated_device import AdditiveBackend

import hwnas
from hwnas._errors import HwnasError
from hwnas._pipeline._retime import space_of_run
from hwnas._runs._run import Run
from hwnas.evaluators import make_evaluator
from hwnas.spaces import MixedPrecisionSpace, make_space, with_precision
from hwnas.tasks import make_task
from hwnas.training import quantized, score_onnx
from latency_tables import load_table, save_table
from profilers import build_onnx, int8_nodes

OPTIONS = {"data": "digits", "data_limit": 120, "epochs": 1, "minimize": "latency", "samples": 4, "seed": 1}


def space():
    return make_space("mobilenetv3", resolution=8, width=0.5, image_channels=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished search whose device is simulated; with what it told."""
    folder, told = tmp_path_factory.mktemp("mixed"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas._report._write._pictures", lambda shown: {})
        patch.chdir(folder)
        hwnas.profile(with_precision(space(), "mixed"), AdditiveBackend(1), out=folder / "prices.json", networks=2)
        more = {"table": folder / "prices.json", "offline": True, "precision": "mixed", "strategy": "random"}
        hwnas.search(space(), out=folder / "run", progress=told.append, **more, **OPTIONS)
    return folder / "run", told


def test_trials_say_that_their_metric_is_that_of_mixed_networks(run):
    path, told = run
    rows = [json.loads(line) for line in (path / "trials.jsonl").read_text().splitlines()]
    assert [row["precision"] for row in rows] == ["mixed"] * 4
    assert any(set(row["arch"].rpartition("@")[2]) == {"f", "i"} for row in rows)
    assert any("best mixed accuracy" in line for line in told)


def test_a_run_names_its_space_so_that_it_is_found_again(run):
    opened = Run.open(run[0])
    again = space_of_run(opened)
    assert isinstance(again, MixedPrecisionSpace)
    assert again.settings == {"space": "mobilenetv3", "settings": space().settings}


def test_delivered_files_quantise_the_int8_blocks_alone_and_do_what_was_said(run):
    path, _ = run
    settings = Run.open(path).settings
    task = make_task(None, "digits", seed=settings.seed, limit=120)
    made = with_precision(space(), "mixed")
    for network in Run.open(path).pareto():
        file = path / network["onnx"]
        graph = made.graph(made.parse(network["arch"]))
        model = onnx.load(file)
        kept = {item.name for item in model.graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
        floats = [n.name for n in model.graph.node if n.op_type == "Conv" and n.input[1] in kept]
        assert {name.rpartition(":")[0] in int8_nodes(graph) for name in floats} <= {False}
        assert network["accuracy"] == pytest.approx(score_onnx(file, task, "test"))
        assert network["validation_accuracy"] == pytest.approx(score_onnx(file, task, "validation"))


@pytest.mark.parametrize("name", ["supernet", "train"])
def test_the_value_of_a_trial_is_that_of_the_mixed_file(name, tmp_path):
    task = make_task(None, "digits", seed=0, limit=120)
    made = with_precision(make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4), "mixed")
    evaluator = make_evaluator(name, made, task, precision="mixed", epochs=1, batch_size=20, threads=1)
    evaluator.prepare(tmp_path)
    arch = made.sample(1, np.random.default_rng(0))[0]
    for letter in "fi":
        chosen = made.parse(made.format(arch)[:-1] + letter)
        graph = made.graph(chosen)
        model = quantized(
            build_onnx(graph, evaluator.trained_weights(chosen)), task, graph.input_shape, int8_nodes(graph)
        )
        assert (letter == "i") == any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        shipped = score_onnx(model.SerializeToString(), task, "validation")
        assert evaluator.evaluate(chosen).value == pytest.approx(shipped)


def test_an_evaluator_that_quantises_nothing_is_refused(tmp_path):
    with pytest.raises(HwnasError, match="--precision mixed needs an evaluator that quantises networks, synflow does"):
        hwnas.search(
            space(),
            data="digits",
            data_limit=60,
            precision="mixed",
            evaluator="synflow",
            finalize="train",
            out=tmp_path / "run",
        )


def test_a_table_of_another_precision_is_refused(run, tmp_path):
    given = load_table(run[0].parent / "prices.json")
    save_table(replace(given, identity={**given.identity, "dtype": "mixed"}), tmp_path / "t.json")
    with pytest.raises(HwnasError, match="is for mixed networks, this search uses int8; add --precision mixed"):
        hwnas.search(
            space(), table=tmp_path / "t.json", offline=True, precision="int8", out=tmp_path / "run", **OPTIONS
        )
