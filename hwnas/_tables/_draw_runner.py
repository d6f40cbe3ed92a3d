"""Times the networks beside this file and writes their latencies into measured.csv.

Usage: python3 runner.py [--threads N] [--rounds N]

Needs Python 3.9, numpy and onnxruntime. All networks are timed in turn, in shuffled rounds: a burst of other work hits
all of them alike. What counts is the 10th percentile over the rounds. Latencies are milliseconds.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 300e-6
PRIMING_RUNS = 3
NOISY = 0.05


class Network:
    """One session with its inputs."""

    def __init__(self, path: Path, threads: int) -> None:
        import numpy as np
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        self._feed: dict[str, Any] = {
            tensor.name: rng.standard_normal(tensor.shape).astype(np.float32) for tensor in self._session.get_inputs()
        }
        self.seconds: list[float] = []
        self.run(1)
        self._repeats = max(1, round(SAMPLE_SECONDS / max(1e-9, min(self.run(1) for _ in range(3)))))

    def run(self, repeats: int) -> float:
        """Return seconds of so many inferences."""
        began = time.perf_counter()
        for _ in range(repeats):
            self._session.run(None, self._feed)
        return time.perf_counter() - began

    def sample(self) -> None:
        """Take one more sample, with warm caches."""
        self.run(PRIMING_RUNS)
        self.seconds.append(self.run(self._repeats) / self._repeats)


def main(arguments: list[str]) -> int:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description="Time the networks beside this file.")
    parser.add_argument("--threads", type=int, default=1, help="threads inside an operator (default 1)")
    parser.add_argument("--rounds", type=int, default=40, help="timings of each network (default 40)")
    options = parser.parse_args(arguments)
    if options.threads < 1 or options.rounds < 5:
        parser.error("--threads must be 1 or more, --rounds 5 or more")
    import numpy as np

    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    getattr(onnxruntime, "disable_telemetry_events", lambda: None)()
    folder = Path(__file__).resolve().parent
    with (folder / "measured.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    networks = [Network(folder / "networks" / row["file"], options.threads) for row in rows]
    order = list(range(len(networks)))
    for number in range(options.rounds):
        random.Random(number).shuffle(order)
        for i in order:
            networks[i].sample()
        sys.stderr.write(f"\rround {number + 1} of {options.rounds}")
        sys.stderr.flush()
    sys.stderr.write("\n")
    differences = [abs(np.quantile(n.seconds[::2], 0.1) / np.quantile(n.seconds[1::2], 0.1) - 1) for n in networks]
    target = folder / "measured.csv.partial"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "file", "latency_ms"])
        for row, network in zip(rows, networks):  # noqa: B905 (Python 3.9)
            writer.writerow([row["arch"], row["file"], f"{np.quantile(network.seconds, 0.1) * 1e3:.6g}"])
    target.replace(folder / "measured.csv")
    noise = float(np.median(differences))
    sys.stdout.write(f"{len(networks)} latencies in measured.csv; two halves of the rounds differ by {noise:.1%}\n")
    if noise > NOISY:
        sys.stdout.write("that is a lot: something else used this machine; run it again on a quieter one\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
