"""What an earlier version wrote is read, shown and gone on with; what it priced has the same price."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from hwnas._cli import main
from hwnas.spaces import make_space
from latency_tables import load_table

HERE = Path(__file__).resolve().parent
FORMAT_2 = HERE / "fixtures" / "run-format-2"
SHIPPED = HERE.parent / "latency_tables" / "data"
PRICES = json.loads(gzip.decompress((FORMAT_2 / "prices.json.gz").read_bytes()))


def keys_of(graph):
    """A digest of the op keys of a graph, each as often as it occurs."""
    return hashlib.sha256("\n".join(sorted(op.key for op in graph.op_counts.elements())).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", PRICES)
def test_shipped_tables_price_200_networks_as_before(name):
    table = load_table(SHIPPED / f"{name}.json")
    space = make_space(table.space["name"], **table.space["settings"])
    for text, ms, keys in PRICES[name]:
        graph = space.graph(space.parse(text))
        assert keys_of(graph) == keys, text
        assert table.price(graph).value_ms == pytest.approx(ms, rel=1e-9), text


def test_every_shipped_table_has_recorded_prices():
    assert set(PRICES) == {path.stem for path in SHIPPED.glob("*.json")}


def trials_of(run):
    rows = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    return [(row["arch"], row["codes"], row["values"]) for row in rows]


def test_a_table_is_shown(capsys):
    assert main(["table", "show", str(FORMAT_2 / "table.json")]) == 0
    assert "84" in capsys.readouterr().out


def test_a_finished_run_is_listed_compared_and_exported(tmp_path, capsys):
    run = tmp_path / "runs" / "done"
    shutil.copytree(FORMAT_2 / "done", run)
    assert main(["runs", str(run.parent), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["trials"] == 8
    assert main(["compare", str(run), str(run), "-o", str(tmp_path / "compare.html")]) == 0
    assert main(["export", str(run), "--pick", "t0002", "-o", str(tmp_path / "net.onnx")]) == 0
    assert (tmp_path / "net.onnx").read_bytes() == (run / "models" / "t0002.onnx").read_bytes()


def test_an_interrupted_search_goes_on_to_the_same_end(tmp_path):
    run = tmp_path / "part"
    shutil.copytree(FORMAT_2 / "part", run)
    options = ["--resolution", "8", "--width", "0.5", "--evaluator", "train", "--epochs", "1", "--data-limit", "120"]
    options += ["--samples", "8", "--minimize", "latency,params", "--quiet"]
    assert main(["search", *options, "--table", str(FORMAT_2 / "table.json"), "--out", str(run)]) == 0
    assert trials_of(run) == trials_of(FORMAT_2 / "done")
