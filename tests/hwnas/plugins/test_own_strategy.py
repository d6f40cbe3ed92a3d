"""A strategy and a leaf sampler of somebody else's: checked, and used through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from own_plugins import install

import hwnas
from hwnas._cli import main
from hwnas._pipeline._strategies import make_strategy
from hwnas.testing import check_leaf_sampler, check_strategy


class Neighbours:
    """Proposes what lies next to the best trials."""

    name = "neighbours"
    options = (hwnas.StrategyOption("changes", 1, "choices that are changed", minimum=1, maximum=8),)

    def __init__(self, changes):
        self.changes = changes

    def propose(self, context, n, rng):
        parents = context.codes[context.archive]
        chosen = parents[rng.integers(len(parents), size=8 * n)]
        moved = context.problem.domain.mutate(chosen, rng, changes=self.changes)
        return hwnas.Suggestion(context.admit(moved)[:n])


class First:
    """Chooses what comes first in a region."""

    name = "first"

    def sample(self, region, context, n, rng):
        return region.pool[:n]


def lamoo_first():
    return hwnas.LaMOO(First(), name="lamoo-first")


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    strategies = {"neighbours": f"{__name__}:Neighbours", "lamoo-first": f"{__name__}:lamoo_first"}
    install(tmp_path / "site", "near", {"strategies": strategies})
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)


def test_both_keep_their_contracts():
    check_strategy(lambda: make_strategy("neighbours", changes=2))
    check_leaf_sampler(First)


@pytest.mark.parametrize(
    ("strategy", "options"), [("neighbours", ["--strategy-option", "changes=3"]), ("lamoo-first", [])]
)
def test_they_search_and_go_on(strategy, options, csv, monkeypatch):
    monkeypatch.setattr("hwnas._report.write_report", lambda *shown: None)
    columns = ["--accuracy-column", "acc", "--latency-column", "ms"]
    parts = ["search", "--space", "nasbench201", "--evaluator", f"table:{csv}", *columns, "--strategy", strategy]
    assert main([*parts, *options, "--samples", "20", "--out", "whole", "--quiet"]) == 0
    for samples in ("11", "20"):
        assert main([*parts, *options, "--samples", samples, "--out", "cut", "--quiet"]) == 0
    whole, cut = (
        [json.loads(t)["arch"] for t in Path(f"{r}/trials.jsonl").read_text().splitlines()] for r in ("whole", "cut")
    )
    assert whole == cut
    assert len(np.unique(whole)) == 20
    assert json.loads(Path("whole/settings.json").read_text())["settings"]["strategy"] == strategy
