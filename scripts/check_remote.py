"""Check that what is measured over ssh, with a connection that is lost repeatedly, agrees with what is undisturbed.

scripts/check_remote.py [--kills 10] [--rounds 20] [--trials 60] [-o FILE.json]

The script starts its own OpenSSH server on loopback, profiles a small space on this machine, profiles it again through
ssh://, ends the connection at random moments of the second profile (on the client's and the server's side in turn), and
prints the differences between the two tables and the noise floor of each.

With --trials N, it then makes the same search of N measured trials three times through ssh://: twice undisturbed, and
once while connections end. It prints how far the measured latencies of the disturbed search, and of the second
undisturbed one, differ from those of the first, trial by trial.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from ssh_server import NAME, Killer, SshServer, gone, why_not

import hwnas
from hwnas.spaces import make_space
from hwnas.tables import draw_networks
from latency_tables import LatencyTable, save_table, write_atomic
from profilers import OnnxRuntimeBackend, SamplingSettings, SshBackend, profile_ops

SPACE = make_space("nasbench201", image_size=8, image_channels=1)


def main() -> None:
    """Compare a table measured over ssh with a local one, and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="connections to end (default 10)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of both profiles (default 20)")
    parser.add_argument("--trials", type=int, default=0, help="trials of the searches (default 0: no search)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(f"cannot start an ssh server on this machine: {reason}")
    with tempfile.TemporaryDirectory() as name:
        result = compare(Path(name), options.kills, options.rounds, options.trials)
    for key, value in result.items():
        print(f"{key:52s} {value:.2%}" if isinstance(value, float) else f"{key:52s} {value}")
    if options.output:
        write_atomic(options.output, json.dumps(result, indent=1) + "\n")


def compare(folder: Path, kills: int, rounds: int, trials: int) -> dict[str, Any]:
    """Profile locally and over ssh, and search over ssh; return the differences."""
    settings = SamplingSettings(min_rounds=rounds, max_rounds=rounds)
    here = profile(OnnxRuntimeBackend(image_channels=1), folder / "here.jsonl", settings)
    server = SshServer(folder)
    os.environ.update(server.environment(folder / "cache"))
    server.start()
    try:
        backend = SshBackend(f"ssh://{NAME}", image_channels=1, progress=say, waits_s=(0.1, *[1.0] * 20))
        killer = Killer(backend.device, server, kills, between=150, delay_s=0.2)
        killer.start()
        there = profile(backend, folder / "there.jsonl", settings)
        killer.over = True
        killer.join()
        backend.device.close()
        searched = compare_searches(folder, server, here, kills, trials) if trials else {}
        left = "no" if gone(folder / "cache") else "yes"
    finally:
        server.stop()
    save_table(there, folder / "there.json")
    lines = [json.loads(line) for line in (folder / "there.jsonl").read_text(encoding="utf-8").splitlines()]
    done = [line["round"] for line in lines if "round" in line]
    return {
        "identities agree": here.identity == there.identity,
        "connections ended": len(killer.killed),
        "connections ended on the server's side": killer.killed.count("server"),
        "rounds in the journal (False: some are missing)": done == [*range(rounds), *range(rounds)] and len(done),
        "runners left on the device": left,
        **differences(here, there),
        **searched,
    }


class Idle(hwnas.Evaluator):
    """Scores networks by their choices, after a moment in which it leaves the machine alone."""

    name, measure = "idle", "score"
    settings: ClassVar[dict[str, object]] = {}

    def evaluate(self, arch: hwnas.Architecture) -> hwnas.Evaluation:
        """Return the sum of the choices."""
        time.sleep(0.1)
        return hwnas.Evaluation(float(SPACE.encode(arch).sum()))


def compare_searches(folder: Path, server: SshServer, table: LatencyTable, kills: int, trials: int) -> dict[str, Any]:
    """Make one search three times; return how far measured latencies of its trials differ."""
    told = {}
    for name in ("first", "second", "disturbed"):
        backend = SshBackend(f"ssh://{NAME}", image_channels=1, progress=say, waits_s=(0.1, *[1.0] * 20))
        killer = Killer(backend.device, server, kills, between=150, delay_s=0.2)
        if name == "disturbed":
            killer.start()
        result = hwnas.search(
            SPACE,
            evaluator=Idle(),
            table=table,
            device=backend,
            strategy="random",  # which proposes the same networks whatever was measured
            samples=trials,
            measure="trials",
            out=folder / name,
            progress=say,
        )
        killer.over = True
        if name == "disturbed":
            killer.join()
        backend.device.close()
        told[name] = {trial.text: trial.values["latency_ms"] for trial in result.trials}
    summary = {
        "trials: connections ended": len(killer.killed),
        "trials: the same networks, all measured": len({tuple(sorted(t)) for t in told.values()}) == 1
        and len(told[name]),
    }
    for name in ("second", "disturbed"):
        ratios = np.array([told[name][text] / ms for text, ms in told["first"].items()])
        summary[f"trials: {name} relative to first, median"] = float(np.median(ratios) - 1)
        summary[f"trials: differences of {name}, median"] = float(np.median(np.abs(ratios - 1)))
        summary[f"trials: differences of {name}, 90th percentile"] = float(np.quantile(np.abs(ratios - 1), 0.9))
    return summary


def profile(backend: Any, journal: Path, settings: SamplingSettings) -> LatencyTable:
    """Profile the space with 20 networks."""
    networks = draw_networks(SPACE, 20, 0)
    space = {"name": SPACE.name, "settings": SPACE.settings}
    return profile_ops(backend, SPACE.ops(), networks, journal, space=space, settings=settings, progress=say)


def differences(here: LatencyTable, there: LatencyTable) -> dict[str, float]:
    """Compute relative differences of networks and prices between the tables, and within each table."""
    result = {}
    for name, table in (("here", here), ("there", there)):
        assert table.validation is not None
        result[f"noise floor {name}, median"] = table.validation.noise_floor.median
        result[f"noise floor {name}, 90th percentile"] = table.validation.noise_floor.p90
        result[f"error of predictions {name} (MAPE)"] = table.validation.predicted.mape
    other = {n.arch: n.latency_ms for n in there.networks}
    ratios = np.array([other[n.arch] / n.latency_ms for n in here.networks])
    result["networks there relative to here, median"] = float(np.median(ratios) - 1)
    away = np.abs(ratios / np.median(ratios) - 1)
    result["other differences of networks, median"] = float(np.median(away))
    result["other differences of networks, 90th percentile"] = float(np.quantile(away, 0.9))
    expensive = [op for op, entry in here.entries.items() if entry.q10_ms > 0.002]
    prices = np.array([there.entries[op].q10_ms / here.entries[op].q10_ms for op in expensive])
    result["differences of prices above 2 us, median"] = float(np.median(np.abs(prices - 1)))
    return result


def say(text: str, began: float = time.monotonic()) -> None:
    """Print a progress line with the seconds since the start."""
    print(f"[{time.monotonic() - began:7.1f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
