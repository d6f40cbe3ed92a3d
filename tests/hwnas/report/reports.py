"""A run of random trials, reported without a search."""

import shutil
from pathlib import Path

import numpy as np
from run_toys import create_run

from hwnas import SearchSettings
from hwnas._costs._space_costs import SpaceCosts
from hwnas._pipeline._deliver import known_costs
from hwnas._pipeline._problem import make_problem
from hwnas._pipeline._winner import Winner
from hwnas._report import write_report
from hwnas._runs._delivered import judge
from hwnas._runs._journal import TrialJournal, TrialRecord
from hwnas._tables._validate import space_of
from latency_tables import load_table
from search import Study, make_strategy

TABLES = Path(__file__).resolve().parents[3] / "latency_tables" / "data"
TINY = load_table(TABLES / "mobilenetv3-tiny-32px-1-thread-intel-xeon.json")
SPACE = space_of(TINY)
COSTS = SpaceCosts(SPACE, TINY)


def make_report(path, samples=40, batch=10, budgets=None, deliver=lambda entries: None, **more):
    """A run of random trials whose accuracy grows with MACs, with its report.

    Args:
        path: The run.
        samples: Number of trials.
        batch: How many are proposed at a time.
        budgets: Of the run, after the search.
        deliver: Changes the entries of ``pareto.json``, as a delivery would.
        more: Further settings of the run.
    """
    problem = make_problem(SPACE, {"latency_ms": COSTS.latency_ms}, ["latency"], {"latency_ms": 1.0})
    study = Study(problem, make_strategy("random"), seed=0, initial=batch, batch=batch)
    while len(study.trials) < samples:
        for proposal in study.ask():
            macs = float(COSTS.cost("macs")(np.array([proposal.codes]))[0])
            study.tell(proposal.number, {"accuracy": 1 - 3e4 / macs})
    budgets = budgets or {"latency_ms": 1.0}
    settings = SearchSettings(strategy="random", budgets=budgets, samples=samples, data="x" * 150, **more)
    run = create_run(path, settings, {"space": {"name": SPACE.name, **SPACE.settings}})
    shutil.copy(TINY.source, path / "table.json")
    journal = TrialJournal(path / "trials.jsonl")
    for trial in study.trials:
        more = {"arch": SPACE.format(SPACE.decode(trial.codes)), "seconds": 0.5 + trial.number}
        journal.append(TrialRecord.from_dict({**trial.to_json(), **more}))
    journal.close()
    front = sorted(study.front(), key=lambda trial: trial.values["latency_ms"])[:8]
    winners = [Winner(trial.number, SPACE.decode(trial.codes), dict(trial.values)) for trial in front]
    entries = [known_costs(winner, SPACE, COSTS) for winner in winners]
    deliver(entries)
    judge(entries, budgets, ["latency_ms"])
    run.write_pareto(entries)
    write_report(run, study, SPACE)
    return run, study


def measured(entries, slowness=1.12, statistic="median"):
    """Add what a delivery measures: a test value, a file, and latencies on a machine that is slower now."""
    for place, entry in enumerate(entries):
        latency = entry["latency_ms"]
        q10 = latency["predicted"] * (1.01 + 0.01 * place)
        times = {"q10": q10, "median": 1.02 * q10, "p90": 1.2 * q10, "p99": 1.5 * q10}
        latency |= {"at_table_speed": times, "raw": {name: slowness * ms for name, ms in times.items()}}
        latency |= {"measured": times[statistic], "measured_half_width": 0.01 * q10, "statistic": statistic}
        latency |= {"after_pause": 2 * q10, "slowness": slowness, "slowness_half_width": 0.01}
        entry["accuracy"] = entry["validation_accuracy"] - 0.01
        entry["images"] = {"test": 400, "validation": 300}
        entry["onnx"] = f"models/{entry['id']}.onnx"
