"""Does a table that was measured through ssh, over a connection that keeps dying, agree with one measured here?

scripts/check_remote.py [--kills 10] [--rounds 20] [-o FILE.json]

Starts an OpenSSH server of its own on loopback, profiles a small space on this machine, profiles it again through
ssh://, ends the connection at random moments of the second profile (on the client's and on the server's side in turn),
and prints how far the two tables differ, beside the noise floor of each.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from ssh_server import NAME, Killer, SshServer, gone, why_not

from hwnas.spaces import make_space
from hwnas.tables import draw_networks
from latency_tables import LatencyTable, save_table, write_atomic
from profilers import OnnxRuntimeBackend, SamplingSettings, SshBackend, profile_ops

SPACE = make_space("nasbench201", image_size=8, image_channels=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="connections to end (default 10)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of both profiles (default 20)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(f"there can be no ssh server here: {reason}")
    with tempfile.TemporaryDirectory() as name:
        found = compare(Path(name), options.kills, options.rounds)
    for key, value in found.items():
        print(f"{key:42s} {value:.2%}" if isinstance(value, float) else f"{key:42s} {value}")
    if options.output:
        write_atomic(options.output, json.dumps(found, indent=1) + "\n")


def compare(folder: Path, kills: int, rounds: int) -> dict[str, Any]:
    """Both profiles, and what they differ by."""
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
        left = "no" if gone(folder / "cache") else "yes"
    finally:
        server.stop()
    save_table(there, folder / "there.json")
    lines = [json.loads(line) for line in (folder / "there.jsonl").read_text(encoding="utf-8").splitlines()]
    done = [line["round"] for line in lines if "round" in line]
    return {
        "identities agree": here.identity == there.identity,
        "connections ended": len(killer.killed),
        "of them on the server's side": killer.killed.count("server"),
        "rounds in the journal, none missing": done == [*range(rounds), *range(rounds)] and len(done),
        "runners left on the device": left,
        **differences(here, there),
    }


def profile(backend: Any, journal: Path, settings: SamplingSettings) -> LatencyTable:
    networks = draw_networks(SPACE, 20, 0)
    space = {"name": SPACE.name, "settings": SPACE.settings}
    return profile_ops(backend, SPACE.ops(), networks, journal, space=space, settings=settings, progress=say)


def differences(here: LatencyTable, there: LatencyTable) -> dict[str, float]:
    """Relative differences of networks and of prices between the tables, and within each."""
    found = {}
    for name, table in (("here", here), ("there", there)):
        assert table.validation is not None
        found[f"noise floor {name}, median"] = table.validation.noise_floor.median
        found[f"noise floor {name}, 90th percentile"] = table.validation.noise_floor.p90
        found[f"error of predictions {name} (MAPE)"] = table.validation.predicted.mape
    other = {n.arch: n.latency_ms for n in there.networks}
    ratios = np.array([other[n.arch] / n.latency_ms for n in here.networks])
    found["networks there over here, median"] = float(np.median(ratios) - 1)
    away = np.abs(ratios / np.median(ratios) - 1)
    found["networks apart beside that, median"] = float(np.median(away))
    found["networks apart beside that, 90th percentile"] = float(np.quantile(away, 0.9))
    dear = [op for op, entry in here.entries.items() if entry.q10_ms > 0.002]
    prices = np.array([there.entries[op].q10_ms / here.entries[op].q10_ms for op in dear])
    found["prices above 2 us apart, median"] = float(np.median(np.abs(prices - 1)))
    return found


def say(text: str, began: float = time.monotonic()) -> None:
    print(f"[{time.monotonic() - began:7.1f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
