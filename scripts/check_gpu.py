"""Check hwnas on a GPU: run the tests that need one, profile with both protocols, search on CIFAR-10, train.

The script is made for machines that are available for minutes only. Each step is a separate process with a time limit,
so that a failure does not stop the others; the most important come first, and `results.json` and `log.txt` are written
after each. No step needs a network.

    python scripts/check_gpu.py OUT --data cifar10.tar.xz     # one NVIDIA GPU, 12 minutes at most
    python scripts/check_gpu.py OUT --rehearse                # the same steps on this CPU, as small as possible

OUT then holds ``results.json`` (status and figures of each step), ``log.txt`` (all output), ``tables/*.json``
and ``run/`` (the search).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
HWNAS = (sys.executable, "-m", "hwnas")
LEAST_SECONDS = 15
"""Seconds that must be left for another step to begin."""


@dataclass(frozen=True)
class Step:
    """One process.

    Attributes:
        name: Name in the results.
        command: Command line of the step.
        seconds: Time limit of the step.
        figures: Reads the step's figures after it succeeded.
        needs: File without which the step is skipped.
    """

    name: str
    command: Sequence[str]
    seconds: float
    figures: Callable[[], object] = field(default=lambda: None)
    needs: Path | None = None


def main() -> int:
    """Run all steps; return 0 if all of them succeeded."""
    options = _options()
    if options.measure_training:
        return measure_training(options.data, "cpu" if options.rehearse else "cuda", quick=options.rehearse)
    out = Path(options.out).resolve()
    (out / "tables").mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, (out / "log.txt").open("ab") as log:
        data = _unpacked(options.data, Path(scratch))
        steps = rehearsal(out) if options.rehearse else gpu_steps(out, data)
        wanted = tuple(options.only.split(",")) if options.only else ("",)
        for step in (step for step in steps if step.name.startswith(wanted)):
            results.append(run(step, deadline - time.monotonic(), log))
            _write(out / "results.json", results)
            print(_line(results[-1]), flush=True)
    print(f"results: {out / 'results.json'}")
    return int(any(result["status"] != "ok" for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="gpu-check", help="folder for results (default gpu-check)")
    parser.add_argument("--data", default="digits", help="CIFAR-10: a folder, or a .tar or .tar.xz archive of it")
    parser.add_argument("--minutes", type=float, default=12, help="minutes after which every step ends (default 12)")
    parser.add_argument("--only", help="run only steps whose names begin with one of these, like search,training")
    parser.add_argument("--rehearse", action="store_true", help="run the steps on the CPU with the smallest settings")
    parser.add_argument("--measure-training", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def gpu_steps(out: Path, data: str) -> Iterator[Step]:
    """Yield the steps that need a GPU, most important first; a table is validated and verified once it is made."""
    marked = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if _has_gpu_tests(path)]
    pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "filterwarnings=default", "-rA")
    yield Step("devices", (*HWNAS, "devices"), 60)
    yield Step("gpu tests", (*pytest, "-m", "gpu", *marked), 150)
    spaces = {"tiny": ("--space", "mobilenetv3", "--preset", "tiny"), "nasbench201": ("--space", "nasbench201")}
    table = {
        (space, protocol, precision): out / "tables" / f"{space}-{protocol}-{precision}.json"
        for space in spaces
        for protocol in ("kernel", "host")
        for precision in ("fp32", "bf16")
    }

    def profile(space: str, protocol: str, precision: str, seconds: float) -> Step:
        path = table[space, protocol, precision]
        what = ("--device", "cuda", "--protocol", protocol, "--precision", precision)
        command = (*HWNAS, "profile", *what, *spaces[space], "-o", str(path))
        return Step(f"profile {path.stem}", command, seconds, lambda: table_figures(path))

    def validate(space: str, protocol: str) -> Step:
        path = table[space, protocol, "fp32"]
        command = (*HWNAS, "validate", str(path), "--networks", "20", "--seed", "5", "--json")
        return Step(f"validate {path.stem}", command, 60, needs=path)

    def verify(space: str, protocol: str) -> Step:
        path = table[space, protocol, "fp32"]
        return Step(f"verify {path.stem}", (*HWNAS, "verify", str(path)), 60, needs=path)

    def checked(space: str, protocol: str, seconds: float) -> Iterator[Step]:
        yield profile(space, protocol, "fp32", seconds)
        yield validate(space, protocol)
        yield verify(space, protocol)

    yield from checked("tiny", "kernel", 150)
    kernel = table["tiny", "kernel", "fp32"]
    place = ("--device", "cuda", "--protocol", "kernel", "--table", str(kernel), *spaces["tiny"], "--resolution", "32")

    def search(name: str, seconds: float, *options: str) -> Step:
        run = out / name.replace(" ", "-")
        command = (*HWNAS, "search", *place, "--data", data, "--out", str(run), *options)
        return Step(name, command, seconds, lambda: run_figures(run), needs=kernel)

    trials, ending = ("--samples", "20", "--proposals", "10"), ("--finalize", "train", "--final-epochs", "1")
    # no training in the search, so that trials are measured within seconds: the first steps of a supernet take minutes,
    # and those of each network to deliver 5 to 16 seconds
    yield search("search by size", 200, "--evaluator", "parameters", "--data-limit", "1000", *trials, *ending)
    training = ("--data-limit", "12000", "--epochs", "5", "--recipe", "batch_size=512")
    yield search("search", 400, "--samples", "40", *training)
    yield from checked("nasbench201", "kernel", 150)
    yield from checked("tiny", "host", 210)
    yield from checked("nasbench201", "host", 200)
    yield Step("training", (sys.executable, __file__, "--measure-training", "--data", data), 90)
    yield profile("tiny", "kernel", "bf16", 120)
    yield profile("nasbench201", "kernel", "bf16", 150)
    yield profile("tiny", "host", "bf16", 120)
    yield profile("nasbench201", "host", "bf16", 150)


def rehearsal(out: Path) -> Iterator[Step]:
    """Yield the same steps as small as possible, on the CPU, to check the script and its commands."""
    path, space = out / "tables" / "rehearsal.json", ("--preset", "tiny", "--resolution", "8", "--width", "0.5")
    yield Step("devices", (*HWNAS, "devices"), 60)
    profile = (*HWNAS, "profile", *space, "--image-channels", "1", "--networks", "5", "-o", str(path))
    yield Step("profile", profile, 120, lambda: table_figures(path))
    training = ("--epochs", "1", "--samples", "12", "--data-limit", "200")
    search = (*HWNAS, "search", *space, "--table", str(path), *training, "--out", str(out / "run"))
    yield Step("search", search, 120, lambda: run_figures(out / "run"), needs=path)
    yield Step("training", (sys.executable, __file__, "--measure-training", "--rehearse"), 120)
    yield Step("validate", (*HWNAS, "validate", str(path), "--networks", "4", "--json"), 60, needs=path)


def run(step: Step, left: float, log: Any) -> dict[str, Any]:
    """Run one step, with its output in the log; return its status and figures."""
    log.write(f"\n=== {step.name}: {' '.join(step.command)}\n".encode())
    log.flush()
    if left < LEAST_SECONDS:
        return {"step": step.name, "status": "no time left"}
    if step.needs is not None and not step.needs.exists():
        return {"step": step.name, "status": "skipped", "reason": f"{step.needs.name} is missing"}
    paths = filter(None, [os.environ.get("PYTHONPATH")])
    began = time.monotonic()
    process = subprocess.Popen(
        step.command,
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *paths]), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        code = process.wait(min(step.seconds, left))
        status = "ok" if code == 0 else f"exit code {code}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        status = "timed out"
    result = {"step": step.name, "status": status, "seconds": round(time.monotonic() - began, 1)}
    if status == "ok":
        try:
            result["figures"] = step.figures()
        except Exception as error:  # a step that succeeded must not fail because of its figures
            result["status"] = f"no figures: {type(error).__name__}: {error}"
    return result


def table_figures(path: Path) -> dict[str, object]:
    """Return the number of prices, the facts and the validation of a table."""
    from latency_tables import load_table

    table = load_table(path)
    assert table.validation is not None
    return {
        "prices": len(table.entries),
        "identity": dict(table.identity),
        "environment": dict(table.environment),
        "validation": table.validation.lines(),
        "notes": list(table.notes),
    }


def run_figures(run_folder: Path) -> list[dict[str, object]]:
    """Return the networks that a search delivered."""
    networks = json.loads((run_folder / "pareto.json").read_text(encoding="utf-8"))
    return [{name: item.get(name) for name in ("arch", "accuracy", "latency_ms", "energy_mj")} for item in networks]


def measure_training(data_name: str, device: str, *, quick: bool) -> int:
    """Print images per second of two trainings and of a supernet's, after one epoch of warm-up."""
    import numpy as np

    from hwnas.spaces import make_space
    from hwnas.tasks import make_task
    from hwnas.training import Supernet, default_recipe, train_network, train_supernet

    task = make_task("image", data_name, limit=200 if quick else None)
    channels = task.input_shape[0]
    size = 8 if quick else 32
    mobile = make_space("mobilenetv3", preset="tiny", resolution=[size], width=[0.5], image_channels=channels)
    cells = make_space("nasbench201", image_size=size, image_channels=channels)
    recipe = default_recipe(task, epochs=1, batch_size=64 if quick else 512)

    def report(name: str, work: Callable[[], object]) -> None:
        work()
        began = time.perf_counter()
        work()
        rate = task.size("train") / (time.perf_counter() - began)
        print(json.dumps({"training": name, "device": device, "images_per_second": round(rate)}), flush=True)

    for name, space in {"mobilenetv3": mobile, "nasbench201": cells}.items():
        if quick and name == "nasbench201":
            continue
        graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
        report(f"{name} network", lambda graph=graph: train_network(graph, task, recipe, device=device))
    report("mobilenetv3 supernet", lambda: train_supernet(Supernet(mobile), task, recipe, device=device))
    return 0


def _has_gpu_tests(path: Path) -> bool:
    return "pytest.mark.gpu" in path.read_text(encoding="utf-8")


def _unpacked(data: str, scratch: Path) -> str:
    """Unpack an archive and return its folder; return anything else unchanged."""
    if ".tar" not in Path(data).name:
        return data
    with tarfile.open(data) as archive:
        archive.extractall(scratch, filter="data")
    return str(next((path.parent for path in sorted(scratch.rglob("train"))), next(scratch.iterdir(), scratch)))


def _write(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    from latency_tables import write_atomic

    write_atomic(path, json.dumps(results, indent=1) + "\n")


def _line(result: Mapping[str, Any]) -> str:
    seconds = f", {result['seconds']:g} s" if "seconds" in result else ""
    return f"{result['step']}: {result['status']}{seconds}"


if __name__ == "__main__":
    sys.exit(main())
