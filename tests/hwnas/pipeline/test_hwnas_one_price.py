"""A search with several threads has one price a network: in its journal, its front, `hwnas predict` and its report."""

import json
from pathlib import Path

import pytest
from made_tables import made_table

import hwnas
from hwnas._cli import main
from hwnas._report import _time
from hwnas._report._time import CORE_CROSSINGS
from hwnas.spaces import make_space
from latency_tables import save_table

EXAMPLE = Path(__file__).resolve().parents[3] / "scripts" / "example_space.json"
SPACES = {
    "mobilenetv3": lambda: make_space("mobilenetv3", resolution=[8, 16], width=[0.5, 1.0]),
    "nasbench201": lambda: make_space("nasbench201", image_size=8, cells=1, channels=4),
    "declared": lambda: make_space(str(EXAMPLE), image_size=8),
}
EXACT = 1e-9
"""Relative difference of sums of the same prices in another order."""


class Shape(hwnas.Evaluator):
    """Scores networks by their choices; has no weights."""

    name, measure = "shape", "score"
    settings = property(lambda self: {})

    def __init__(self, space):
        self.space = space

    def evaluate(self, arch):
        return hwnas.Evaluation(float((self.space.encode(arch) * range(1, len(arch.values) + 1)).sum() % 17))


@pytest.mark.parametrize("name", SPACES)
def test_each_network_has_one_price(name, tmp_path, monkeypatch, capsys):
    space, spent = SPACES[name](), []
    table = made_table(space, "random")
    save_table(table, tmp_path / "table.json")

    def noted(*arguments):
        spent.extend(found := time_spent(*arguments))
        return found

    time_spent = _time.time_spent
    monkeypatch.setattr("hwnas._report._write.time_spent", noted)
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    parts = {"evaluator": Shape(space), "table": tmp_path / "table.json", "offline": True, "strategy": "random"}
    result = hwnas.search(space, **parts, samples=24, seed=1, out=tmp_path / "run")
    priced = {}
    for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines():
        trial = json.loads(line)
        priced[trial["arch"]] = trial["values"]["latency_ms"]
        whole = table.price(space.graph(space.parse(trial["arch"]))).value_ms
        assert priced[trial["arch"]] == pytest.approx(whole, rel=EXACT)
        prediction = hwnas.predict(tmp_path / "table.json", trial["arch"])
        assert prediction.latency_ms == pytest.approx(priced[trial["arch"]], rel=EXACT)
    networks = json.loads((tmp_path / "run" / "pareto.json").read_text())
    assert networks
    assert len(networks) == len(result.networks)
    for network in networks:
        assert network["latency_ms"]["predicted"] == float(f"{priced[network['arch']]:.6g}")  # the file rounds
    sums = {part.id: sum(part.parts.values()) for part in spent}
    assert sums == {n["id"]: pytest.approx(priced[n["arch"]], rel=EXACT) for n in networks}
    assert any(part.parts.get(CORE_CROSSINGS, 0) > 0 for part in spent)
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "table.json"), networks[0]["arch"], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["latency_ms"]["predicted"] == pytest.approx(priced[networks[0]["arch"]], rel=EXACT)
