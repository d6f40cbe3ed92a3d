"""Every command and every error of the command line, whole lines."""

import json
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cells import as_version_1, trials_of
from PIL import Image

from hwnas._cli import main
from hwnas.spaces import make_space
from latency_tables import IdentityMismatchError, load_table
from profilers import BoundSession, EnergyUnavailableError, graph_macs

SPACE = ["--space", "mobilenetv3", "--resolution", "8", "--width", "0.5"]
SMALL = [*SPACE, "--measure", "winners"]
"""Such a search is the same each time; measured trials are not."""

QUICK = ["--space", str(Path(__file__).resolve().parents[3] / "scripts" / "example_space.json"), "--image-size", "8"]
"""A space of few ops, which are quickly measured."""


@pytest.fixture(scope="module")
def table_file(tmp_path_factory):
    """A table of a small space, measured here."""
    path = tmp_path_factory.mktemp("profile") / "small.json"
    assert main(["profile", *SPACE, "--image-channels", "1", "--networks", "6", "-o", str(path)]) == 0
    return path


@pytest.fixture
def fails(capsys):
    """Run a command that must fail; returns its one line."""

    def run(*arguments):
        code = 0
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        assert code == 2, captured
        lines = [line for line in captured.err.splitlines() if not line.startswith("[")]
        assert len(lines) == 1, captured.err
        assert captured.out == ""
        return lines[0]

    return run


def kill_when(command, file, lines):
    """Run a command and kill it as soon as a file has some lines."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (file.exists() and file.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None, "the command ended before it could be killed"
        time.sleep(0.005)  # the command needs the processor
    process.kill()
    process.wait()


def picture(path, size=(8, 8), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_profile_writes_a_validated_table_and_does_not_measure_twice(table_file, capsys):
    table = load_table(table_file)
    assert table.validation.networks == 6
    assert table.identity["device"] == "cpu"
    before = table_file.read_bytes()
    code = main(["profile", *SPACE, "--image-channels", "1", "--networks", "6", "-o", str(table_file)])
    captured = capsys.readouterr()
    assert code == 0
    assert "is already measured" in captured.err
    assert "noise floor" in captured.out
    assert table_file.read_bytes() == before


def test_predict(table_file, capsys):
    arch = "w0.5_r8_k3e2_k3e2_k3e2_k3e2_k3e2"
    assert main(["predict", str(table_file), arch, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    latency = found["latency_ms"]
    assert 0 < latency["low"] < latency["predicted"] < latency["high"]
    assert main(["predict", str(table_file), "w0.5_r8_k7e6+k7e6_k3e2_k3e2_k3e2_k3e2", "--json"]) == 0
    slower = json.loads(capsys.readouterr().out)
    assert slower["latency_ms"]["predicted"] > latency["predicted"]
    assert slower["macs"] > found["macs"]
    assert main(["predict", str(table_file), arch]) == 0
    assert capsys.readouterr().out.startswith(f"latency {latency['predicted']:.4g} ms (q10; 90 % interval ")


def test_validate_measures_networks_that_the_table_has_not_seen(table_file, capsys):
    assert main(["validate", str(table_file), "--networks", "5", "--seed", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["networks"], found["calibration_networks"]) == (5, 10)
    assert {"spearman", "kendall", "mape", "within_5", "within_10", "interval_coverage"} <= found.keys()
    assert found["noise_floor"].keys() == {"median", "p90"}
    seen = {n.arch for n in load_table(table_file).networks}
    for network in found["measurements"]:
        assert network["arch"] not in seen
        assert 0.3 < network["predicted_ms"] / network["measured_ms"] < 3
        assert network["repeat_ms"] > 0
    assert main(["validate", str(table_file), "--networks", "3"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert re.match(r"this machine is .*; predictions are off by .*% as measured, and by .*% at the table's", shown[0])
    assert shown[1].startswith("is the table accurate? ")
    assert shown[2].startswith("validated on 3 held-out networks (noise floor: median ")
    assert shown[-1].startswith("quality of the table: ")


def test_table_show(table_file, capsys):
    assert main(["table", "show", str(table_file)]) == 0
    text = capsys.readouterr().out
    assert "space mobilenetv3" in text
    assert "noise floor" in text
    dearest = max(load_table(table_file).entries.values(), key=lambda entry: entry.q10_ms)
    assert dearest.op.key in text


def test_devices(capsys):
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.startswith("cpu ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "fp8"], "--precision fp8 is not available on device cpu; choose from fp32, int8, mixed"),
        (["--precision", "fp16"], "--precision fp16 is not available on device cpu; choose from fp32, int8, mixed"),
        (
            ["--protocol", "host"],
            "--protocol and --channels-last are options of GPUs; leave them out with --device cpu",
        ),
        (["--channels-last"], "--protocol and --channels-last are options of GPUs; leave them out with --device cpu"),
        (
            ["--device", "cuda", "--precision", "int8"],
            "--precision int8 is not available on device cuda; choose from fp32, fp16, bf16",
        ),
        (
            ["--device", "cuda", "--threads", "2"],
            "--provider and --threads are options of --device cpu; leave them out with --device cuda",
        ),
        (["--device", "cuda:0", "--protocol", "slow"], "--protocol must be host or kernel, got 'slow'"),
    ],
)
def test_options_of_measuring_that_do_not_fit(fails, tmp_path, options, message):
    for command in (["profile", "-o", tmp_path / "t.json"], ["search", "--out", tmp_path / "run"]):
        assert fails(*command, *SPACE, *options) == f"hwnas: error: {message}"
    assert list(tmp_path.iterdir()) == []


def test_fit_writes_a_table_that_predicts(tmp_path, capsys):
    space = make_space("nasbench201")
    rng = np.random.default_rng(0)
    rows = {space.format(arch): graph_macs(space.graph(arch)) / 1e7 + 2 for arch in space.sample(14, rng)}
    source, target = tmp_path / "m.csv", tmp_path / "t.json"
    source.write_text("arch,phone_ms\n" + "".join(f"{arch},{ms:.4f}\n" for arch, ms in rows.items()))
    command = ["fit", str(source), "--space", "nasbench201", "--latency-column", "phone_ms", "--device", "phone"]
    assert main([*command, "-o", str(target)]) == 0
    assert f"prices from {len(rows)} networks in {target}" in capsys.readouterr().out
    arch, ms = next(iter(rows.items()))
    assert main(["predict", str(target), arch, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latency_ms"]["predicted"] == pytest.approx(ms, rel=0.1)


def test_fit_says_what_is_wrong_with_its_input(fails, tmp_path):
    source = tmp_path / "m.csv"
    source.write_text("arch,ms\n|none~0|,1\n")
    command = ["fit", source, "--space", "nasbench201", "--device", "phone", "-o", tmp_path / "t.json"]
    assert "cannot read '|none~0|'" in fails(*command, "--latency-column", "ms")
    space = make_space("nasbench201")
    archs = {space.format(arch) for arch in space.sample(14, np.random.default_rng(0))}
    source.write_text("arch,ms\n" + "".join(f"{arch},1\n" for arch in archs))
    assert "watts" in fails(*command, "--latency-column", "watts")
    source.write_text(f"arch,ms\n{min(archs)},1\n")
    assert "1 connected networks; a fit needs 10 or more" in fails(*command, "--latency-column", "ms")
    assert not (tmp_path / "t.json").exists()


def test_unknown_names(fails, tmp_path, benchmark_csv):
    out = ["--out", tmp_path / "run"]
    assert fails("search", "--device", "tpu", *out) == (
        "hwnas: error: unknown device 'tpu'; known devices: cpu, cuda, cuda:N (see `hwnas devices`), "
        "ssh://[user@]host[:port]"
    )
    assert fails("search", "--space", "alexnet", *out) == (
        "hwnas: error: unknown space 'alexnet'; known spaces: convnet1d, dash1d, dash2d, dscnn, "
        "fpn, mobilenetv3, nasbench201, resnet, unet, "
        "video, or FILE.json"
    )
    assert fails("search", "--strategy", "luck", *out).startswith("hwnas: error: unknown strategy 'luck'")
    assert fails("search", "--evaluator", "guess", *out) == (
        "hwnas: error: unknown evaluator 'guess'; known: gradnorm, naswot, parameters, supernet, synflow, "
        "table:FILE, train"
    )
    assert fails("search", "--minimize", "speed", *out) == (
        "hwnas: error: unknown cost 'speed' in --minimize; known costs: latency, macs, params, memory, rom"
    )
    table = ["--space", "nasbench201", "--evaluator", f"table:{benchmark_csv}"]
    line = fails("search", *table, "--accuracy-column", "acc", "--latency-column", "zz", *out)
    assert line == f"hwnas: error: table {benchmark_csv}: no column 'zz' of numbers; it has acc, early, phone_ms"
    line = fails("search", *table, "--accuracy-column", "yy", "--latency-column", "phone_ms", *out)
    assert line == f"hwnas: error: table {benchmark_csv}: no column 'yy' of numbers; it has acc, early, phone_ms"
    assert not (tmp_path / "run").exists()


def test_options_out_of_range(fails, tmp_path):
    out = ["--out", tmp_path / "run"]
    assert fails("search", "--samples", "0", *out) == "hwnas: error: --samples must be 1 or more, got 0"
    assert fails("search", "--batch", "0", *out) == "hwnas: error: --batch must be 1 or more, got 0"
    assert "usable cores, got 4096" in fails("profile", "--threads", "4096")
    assert fails("profile", "--networks", "1") == "hwnas: error: --networks must be 2 or more, got 1"
    assert fails("search", "--latency-budget", "soon", *out) == (
        "hwnas: error: cannot read the latency 'soon'; write it like 4ms, 250us or 0.1s"
    )
    assert fails("search", "--latency-budget", "0.3", *out) == (
        "hwnas: error: the latency '0.3' has no unit; write 0.3ms or 0.3us"
    )
    assert fails("search", "--params-budget", "few", *out) == (
        "hwnas: error: cannot read the number 'few'; write it like 600k, 2M or 1.5G"
    )
    assert fails("profile", "--resolution", "8,x") == (
        "hwnas: error: cannot read --resolution '8,x'; write numbers with commas between, like 16,32"
    )
    assert fails("profile", "--space", "nasbench201", "--preset", "tiny") == (
        "hwnas: error: --preset is not an option of space nasbench201; known options: image_size, classes, "
        "image_channels, cells, channels"
    )
    assert fails("search", "--latency-column", "x", *out) == (
        "hwnas: error: --latency-column needs --evaluator table:FILE"
    )
    assert fails("search", "--final-epochs", "3", *out) == (
        "hwnas: error: --final-epochs and --final-recipe need --finalize finetune, distil or train"
    )
    assert fails("search", "--evaluator", "train", "--supernet-sampling", "bestup", *out) == (
        "hwnas: error: --supernet-sampling is not an option of evaluator train; leave it out"
    )
    assert (
        fails("search", "--halving", "3", *out)
        == "hwnas: error: --halving is not an option of evaluator supernet; leave it out"
    )
    assert fails("search", "--evaluator", "naswot", *out) == (
        "hwnas: error: --evaluator naswot trains no networks, so there are none to export; add --finalize train"
    )
    assert fails("search", "--evaluator", "naswot", "--finalize", "finetune", *out) == (
        "hwnas: error: --finalize finetune needs weights to start from; --evaluator naswot has none: "
        "use --finalize train"
    )
    assert fails("search", "--supernet-sampling", "luck", *out) == (
        "hwnas: error: training: unknown sampling 'luck'; known: uniform, bestup, worstup"
    )
    assert fails("search", "--recipe", "cutout", *out) == (
        "hwnas: error: cannot read --recipe 'cutout'; write each setting once, like cutout=0.5,mixup=0.2"
    )
    assert fails("search", "--recipe", "cutout=2", *out) == ("hwnas: error: training: cutout must be 0 to 1, got 2")
    assert fails("profile", "--seed", "-1") == "hwnas: error: --seed must be 0 or more, got -1"
    assert fails("profile", "--image-size", "16") == (
        "hwnas: error: --image-size is not an option of space mobilenetv3; known options: preset, classes, "
        "resolution, width, image_channels, frontend, length, sample_rate, window_ms, hop_ms, bands, high_hz"
    )
    assert fails("validate", "t.json", "--networks", "1") == ("hwnas: error: --networks must be 2 or more, got 1")
    assert fails("fly").startswith("hwnas: error: argument COMMAND: invalid choice: 'fly'")
    assert fails("search", "--samples", "many").startswith(
        "hwnas: error: argument --samples: must be a whole number, got 'many'"
    )


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU here")
def test_no_cuda(fails, tmp_path):
    for command in (["profile"], ["search", "--out", tmp_path / "run"]):
        line = fails(*command, "--device", "cuda")
        assert line.startswith("hwnas: error: device cuda is not usable: ")
        assert "torch" in line


def test_broken_tables(fails, table_file, tmp_path):
    arch = "w0.5_r8_k3e2_k3e2_k3e2_k3e2_k3e2"
    text = table_file.read_text()
    broken = tmp_path / "table.json"
    broken.write_text(text[: len(text) // 2])
    assert fails("predict", broken, arch) == (
        f"hwnas: error: {broken} is truncated or not JSON; measure it again with `hwnas profile`"
    )
    broken.write_text(text.replace('"batch": 1', '"batch": 8'))
    assert fails("predict", broken, arch) == (
        f"hwnas: error: {broken} was changed after it was measured (its content hash does not match); measure it again"
    )
    assert fails("predict", tmp_path / "no.json", arch) == (
        f"hwnas: error: cannot read the latency table {tmp_path / 'no.json'}: No such file or directory"
    )
    assert fails("predict", table_file, "nonsense").startswith(
        "hwnas: error: space mobilenetv3: cannot read 'nonsense'; it must look like"
    )


def test_a_table_of_another_device_or_thread_count(fails, table_file, tmp_path):
    threads = load_table(table_file)
    with pytest.raises(IdentityMismatchError):
        threads.require_identity({**threads.identity, "threads": 2})
    cores = len(threads.identity["core_mask"])
    if cores < 2:
        pytest.skip("one core only")
    line = fails("search", *SMALL, "--threads", 2, "--table", table_file, "--out", tmp_path / "run")
    assert line == (
        f"hwnas: error: {table_file} was measured with threads 1, but threads is 2 here; "
        "give --threads 1, or measure a table for it with `hwnas profile`, or search on its predictions alone "
        "with --offline"
    )


def test_an_unreachable_budget_is_refused_before_training(fails, table_file, tmp_path):
    run = tmp_path / "run"
    line = fails("search", *SMALL, "--table", table_file, "--latency-budget", "1us", "--out", run)
    start = "hwnas: error: no network of the space meets --latency-budget 0.001 ms: the cheapest network, w0.5_r8_k"
    assert line.startswith(start)
    assert line.endswith("ms")
    assert not (run / "evaluator").exists()
    line = fails("search", *SMALL, "--table", table_file, "--params-budget", "10", "--out", run)
    assert line.startswith(
        "hwnas: error: no network of the space meets --params-budget 10: the cheapest network, w0.5_r8_k"
    )
    both = ["--params-budget", "9k", "--macs-budget", "80k"]
    line = fails("search", *SMALL, "--table", table_file, *both, "--out", run)
    assert line.startswith("hwnas: error: no network of the space ")
    assert not (run / "evaluator").exists()


def test_a_table_of_another_space_is_refused_before_training(fails, table_file, tmp_path):
    line = fails("search", "--resolution", "8,16", "--table", table_file, "--out", tmp_path / "run")
    assert line.startswith("hwnas: error: the latency table has no price for ")
    assert not (tmp_path / "run" / "evaluator").exists()


def test_folders_of_images(fails, tmp_path):
    out = ["--out", tmp_path / "run"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert fails("search", "--data", empty, *out).startswith(f"hwnas: error: data {empty}: ")
    one = tmp_path / "one"
    for i in range(6):
        picture(one / "train" / "cat" / f"{i}.png")
    assert fails("search", "--data", one, *out).startswith(f"hwnas: error: data {one}")
    bad = tmp_path / "bad"
    for name in ("cat", "dog"):
        for i in range(6):
            picture(bad / "train" / name / f"{i}.png")
    (bad / "train" / "dog" / "3.png").write_bytes(b"not an image")
    line = fails("search", "--data", bad, *out)
    assert str(Path("train") / "dog" / "3.png") in line
    assert fails("search", "--data", tmp_path / "nowhere", *out).startswith("hwnas: error: data ")
    assert not (tmp_path / "run").exists()


def test_folders_that_are_no_runs(fails, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_text("mine")
    assert fails("search", "--out", tmp_path / "x") == (
        f"hwnas: error: {tmp_path / 'x'} is not a run of hwnas (no settings.json); choose another folder"
    )
    assert fails("export", tmp_path / "x") == (
        f"hwnas: error: {tmp_path / 'x'} is not a run of hwnas (no settings.json); choose another folder"
    )
    assert (tmp_path / "x" / "file").read_text() == "mine"


def test_places_that_cannot_be_written(fails, table_file):
    if not Path("/proc/version").exists():
        pytest.skip("needs a folder that nobody may write to")
    line = fails("profile", *SPACE, "-o", "/proc/hwnas/table.json")
    assert line == "hwnas: error: cannot write into /proc/hwnas: No such file or directory; choose another place"
    line = fails("search", *SMALL, "--table", table_file, "--out", "/proc/hwnas")
    assert line == "hwnas: error: cannot write into /proc/hwnas: No such file or directory; choose another --out"


@pytest.fixture(scope="module")
def benchmark_csv(tmp_path_factory):
    """A made-up benchmark of all cells."""
    from hwnas.spaces import make_space

    space = make_space("nasbench201")
    grid = np.array(np.meshgrid(*[np.arange(5)] * 6, indexing="ij")).reshape(6, -1).T
    grid = np.unique(space.canonical_codes(grid[space.valid_codes(grid)]), axis=0)
    rng = np.random.default_rng(0)
    weights = np.array([[0, 1, 4, 9, 2]]) / 60
    score = np.take_along_axis(np.repeat(weights, len(grid), 0), grid, 1).sum(1)
    path = tmp_path_factory.mktemp("benchmark") / "cells.csv"
    with path.open("w") as file:
        file.write("arch,acc,early,phone_ms\n")
        for row, s, noise in zip(grid, score, rng.random(len(grid)), strict=True):
            early, late = 0.4 + s / 3 + noise / 100, 0.5 + s / 2 + noise / 50
            file.write(f"{space.format(space.decode(row))},{late:.4f},{early:.4f},{1 + 9 * s + noise:.4f}\n")
    return path


def search_on_benchmark(benchmark_csv, out, samples=40, **process):
    columns = ["--accuracy-column", "acc", "--latency-column", "phone_ms", "--latency-budget", "8ms"]
    command = ["search", "--space", "nasbench201", "--evaluator", f"table:{benchmark_csv}", *columns]
    return [sys.executable, "-m", "hwnas", *command, "--samples", str(samples), "--seed", "3", "--out", str(out)]


@pytest.fixture(scope="module")
def unbroken(benchmark_csv, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    subprocess.run(search_on_benchmark(benchmark_csv, out), check=True, capture_output=True)
    return out


def test_a_search_on_a_benchmark_keeps_its_budget_and_repeats_nothing(unbroken):
    trials = trials_of(unbroken)
    assert len(trials) == len({trial["arch"] for trial in trials}) == 40
    assert all(trial["values"]["latency_ms"] <= 8 for trial in trials)
    front = json.loads((unbroken / "pareto.json").read_text())
    assert 1 <= len(front) <= 10
    assert all(n["onnx"] is None and n["accuracy"] is None for n in front)
    assert (unbroken / "report.html").exists()


def test_a_search_that_looks_cheaply_first_counts_full_samples_and_resumes(benchmark_csv, tmp_path):
    out = tmp_path / "run"
    command = [*search_on_benchmark(benchmark_csv, out, samples=21), "--low-fidelity", "early"]
    subprocess.run(command, check=True, capture_output=True)
    trials = trials_of(out)
    cheap = [trial for trial in trials if trial.get("cheap")]
    assert len(trials) - len(cheap) == 21
    assert len(cheap) >= 11
    assert (
        f"21 architectures evaluated with lamoo, {len(cheap)} more with the low-fidelity evaluator early"
        in (out / "report.html").read_text()
    )
    lines = (out / "trials.jsonl").read_text().splitlines(keepends=True)
    place = next(i for i, trial in enumerate(trials) if trial.get("cheap")) + 3
    (out / "trials.jsonl").write_text("".join(lines[:place]))
    subprocess.run(command, check=True, capture_output=True)
    assert trials_of(out) == trials


def test_a_cheap_stand_in_must_be_one(fails, benchmark_csv, tmp_path):
    out = ["--out", tmp_path / "run"]
    assert fails("search", "--low-fidelity", "synflow", "--strategy", "nsga2", *out) == (
        "hwnas: error: --low-fidelity needs --strategy lamoo, got --strategy nsga2"
    )
    assert fails("search", "--low-fidelity", "supernet", *out) == (
        "hwnas: error: --low-fidelity supernet cannot stand in for --evaluator supernet; name a cheaper evaluator"
    )
    assert fails("search", "--low-fidelity", "guess", "--evaluator", "train", *out).startswith(
        "hwnas: error: unknown evaluator 'guess'"
    )
    table = ["--space", "nasbench201", "--evaluator", f"table:{benchmark_csv}", "--accuracy-column", "acc"]
    assert fails("search", *table, "--latency-column", "phone_ms", "--low-fidelity", "zz", *out) == (
        f"hwnas: error: table {benchmark_csv}: no column 'zz' of numbers; it has acc, early, phone_ms"
    )


@pytest.mark.parametrize("kill_at", [3, 17])
def test_a_killed_search_goes_on_and_ends_with_the_same_trials(benchmark_csv, unbroken, tmp_path, kill_at):
    out = tmp_path / "run"
    command = search_on_benchmark(benchmark_csv, out)
    journal = out / "trials.jsonl"
    kill_when(command, journal, kill_at)
    before = journal.read_bytes()
    assert before.count(b"\n") < 40
    subprocess.run(command, check=True, capture_output=True)
    assert journal.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert trials_of(out) == trials_of(unbroken)
    assert (out / "pareto.json").read_bytes() == (unbroken / "pareto.json").read_bytes()


def test_a_full_disk_loses_no_finished_trial(benchmark_csv, unbroken, tmp_path):
    out = tmp_path / "run"
    limit = (unbroken / "trials.jsonl").stat().st_size // 2

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = search_on_benchmark(benchmark_csv, out)
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_disk, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"hwnas: error: cannot write {out / 'trials.jsonl'}: File too large; the trials before this one are safe"
    )
    subprocess.run(command, check=True, capture_output=True)
    assert trials_of(out) == trials_of(unbroken)


def test_a_journal_of_another_search_is_refused(benchmark_csv, unbroken, tmp_path, fails):
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)

    def swap(record, trials):
        trials[20]["codes"], trials[21]["codes"] = trials[21]["codes"], trials[20]["codes"]

    as_version_1(out, swap)
    line = fails(*search_on_benchmark(benchmark_csv, out)[3:])
    assert line.startswith(f"hwnas: error: {out / 'trials.jsonl'} does not belong to this search: ")


@pytest.fixture(scope="module")
def run(table_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "run"
    command = ["search", *SMALL, "--table", str(table_file), "--epochs", "2", "--samples", "14", "--out", str(out)]
    assert main(command) == 0
    return out


def test_a_killed_profile_goes_on_and_loses_no_round(tmp_path):
    path = tmp_path / "table.json"
    journal = tmp_path / "table.json.unfinished.samples.jsonl"
    command = [sys.executable, "-m", "hwnas", "profile", *QUICK, "--networks", "4", "-o", str(path)]
    kill_when(command, journal, 6)
    before = journal.read_bytes()
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "continuing after " in result.stderr
    after = (tmp_path / "table.json.samples.jsonl").read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    assert load_table(path).validation.networks == 4
    assert not journal.exists()


@pytest.mark.slow
def test_a_search_killed_while_it_trains_and_while_it_samples_ends_as_the_unbroken_one(run, table_file, tmp_path):
    out = tmp_path / "run"
    options = [*SMALL, "--table", str(table_file), "--epochs", "2", "--samples", "14", "--out", str(out)]
    command = [sys.executable, "-m", "hwnas", "search", *options]
    for marker, lines in (("evaluator/supernet.pt", 1), ("trials.jsonl", 4)):
        kill_when(command, out / marker, lines)
    subprocess.run(command, check=True, capture_output=True)
    assert trials_of(out) == trials_of(run)


class TestWholeSearch:
    """The main job on digits, small: profile, supernet, LaMOO, delivery, report, export."""

    def test_pareto_file(self, run):
        networks = json.loads((run / "pareto.json").read_text())
        assert 1 <= len(networks) <= 10
        for n in networks:
            assert n["accuracy"] == pytest.approx(n["torch_accuracy"], abs=0.002)
            latency = n["latency_ms"]
            assert 0 < latency["low"] <= latency["predicted"] <= latency["high"]
            assert latency["measured"] > 0
            assert (run / n["onnx"]).is_file()
            assert min(n["macs"], n["params"], n["peak_memory_bytes"]) > 0
            assert 0.5 < n["arena_bytes"] / n["peak_memory_bytes"] < 3
        predicted = [n["latency_ms"]["predicted"] for n in networks]
        assert predicted == sorted(predicted)

    def test_onnx_files_carry_what_a_user_needs(self, run):
        import onnx

        n = json.loads((run / "pareto.json").read_text())[0]
        model = onnx.load(run / n["onnx"])
        onnx.checker.check_model(model, full_check=True)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert metadata["hwnas.arch"] == n["arch"]
        assert json.loads(metadata["hwnas.classes"]) == [str(d) for d in range(10)]
        preprocessing = json.loads(metadata["hwnas.preprocessing"])
        assert preprocessing["size"] == 8
        assert preprocessing["steps"][0] == "divide pixels by 255"

    def test_report_and_pictures(self, run):
        page = (run / "report.html").read_text()
        assert page.count("data:image/png;base64,") == 6
        assert "://" not in page  # which no picture in base64 can hold
        for name in ("front", "time", "hypervolume", "hypervolume_time", "latency", "partition"):
            assert (run / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        for n in json.loads((run / "pareto.json").read_text()):
            assert n["arch"] in page

    def test_starting_again_evaluates_nothing_twice(self, run, table_file):
        before = (run / "trials.jsonl").read_bytes()
        command = ["search", *SMALL, "--table", str(table_file), "--epochs", "2", "--samples", "14", "--out", str(run)]
        assert main(command) == 0
        assert (run / "trials.jsonl").read_bytes() == before

    def test_energy_is_measured_where_there_is_a_counter_and_else_its_absence_said_once(
        self, run, table_file, tmp_path, monkeypatch, capsys
    ):
        class TenWatts:
            name = "a counter"

            def read_mj(self):
                return 10e3 * time.process_time()  # not of other work on this machine

        def none(backend):
            raise EnergyUnavailableError("energy is unavailable: no counter")

        out = tmp_path / "run"
        shutil.copytree(run, out)
        command = ["search", *SMALL, "--table", str(table_file), "--epochs", "2", "--samples", "14", "--out", str(out)]
        for open_counter in (lambda backend: TenWatts(), none):
            monkeypatch.setattr("profilers.OnnxRuntimeBackend.energy_counter", open_counter)
            assert main(command) == 0
            networks = json.loads((out / "pareto.json").read_text())
            page = (out / "report.html").read_text()
            absent = capsys.readouterr().err.count("energy is unavailable: no counter")
            if open_counter is none:
                assert absent == 1
                assert all(n["energy_mj"] is None for n in networks)
            else:
                assert absent == 0
                for n in networks:
                    assert 0.5 < n["energy_mj"] / (10 * n["latency_ms"]["measured"]) < 5
                    assert f"{n['energy_mj']:.4g} mJ" in page

    @pytest.mark.parametrize("finalize", ["distil", "train"])
    def test_a_finished_run_gets_a_final_training(self, run, table_file, tmp_path, finalize):
        import onnx

        out = tmp_path / "run"
        shutil.copytree(run, out)
        command = ["search", *SMALL, "--table", str(table_file), "--epochs", "2", "--samples", "14", "--out", str(out)]
        assert main([*command, "--finalize", finalize, "--final-epochs", "1", "--final-recipe", "average=0.9"]) == 0
        assert (out / "trials.jsonl").read_bytes() == (run / "trials.jsonl").read_bytes()
        networks = json.loads((out / "pareto.json").read_text())
        assert any((run / n["onnx"]).exists() for n in networks)
        for n in networks:
            assert n["accuracy"] == pytest.approx(n["torch_accuracy"], abs=0.003)
            assert n["latency_ms"]["measured"] > 0
            if not (run / n["onnx"]).exists():  # another measurement chose another network
                continue
            before, after = (onnx.load(place / n["onnx"]) for place in (run, out))
            assert onnx.checker.check_model(after, full_check=True) is None
            weights = [{i.name: i.raw_data for i in model.graph.initializer} for model in (before, after)]
            assert weights[0].keys() == weights[1].keys()
            assert weights[0] != weights[1]

    @pytest.mark.parametrize(
        ("evaluator", "measure"),
        [
            (["naswot"], "naswot"),
            (["train", "--epochs", "3", "--halving", "3", "--train-precision", "fp32"], "accuracy"),
        ],
    )
    def test_other_evaluators_end_in_tested_networks(self, table_file, tmp_path, evaluator, measure):
        out = tmp_path / "run"
        samples = 40 if measure == "naswot" else 12
        command = ["search", *SMALL, "--table", str(table_file), "--samples", str(samples), "--data-limit", "200"]
        final = ["--finalize", "train", "--final-epochs", "1"] if measure == "naswot" else []
        assert main([*command, "--evaluator", *evaluator, *final, "--out", str(out)]) == 0
        trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
        assert [trial["seed"] for trial in trials] == [0] * samples
        assert all(measure in trial["values"] and trial["seconds"] > 0 for trial in trials)
        if measure == "accuracy":
            assert {trial["known"]["epochs"] for trial in trials} == {1.0, 3.0}
        for n in json.loads((out / "pareto.json").read_text()):
            assert n["accuracy"] == pytest.approx(n["torch_accuracy"], abs=0.03)
            assert (n["validation_accuracy"] is None) == (measure == "naswot")
        assert ("naswot" in (out / "report.html").read_text()) == (measure == "naswot")
        assert (out / "partition.png").exists() or measure == "accuracy"

    def test_attentive_sampling_goes_by_the_runs_own_table(self, table_file, tmp_path):
        import torch

        out = tmp_path / "run"
        command = ["search", *SMALL, "--table", str(table_file), "--samples", "4", "--data-limit", "200"]
        assert main([*command, "--epochs", "1", "--supernet-sampling", "worstup", "--out", str(out)]) == 0
        stored = torch.load(out / "evaluator" / "supernet.pt", weights_only=True)
        assert stored["identity"]["cost"].startswith("latency_ms of table ")

    def test_another_seed_in_the_same_folder_is_refused(self, run, table_file, fails):
        command = ["search", *SMALL, "--table", table_file, "--epochs", "2", "--samples", "14", "--out", run]
        assert fails(*command, "--seed", "9") == (
            f"hwnas: error: {run} contains a search with seed 0, this one has 9; choose another --out"
        )

    @pytest.mark.parametrize("pick", ["fastest", "knee", "most-accurate"])
    def test_export(self, run, tmp_path, pick, capsys):
        target = tmp_path / "network.onnx"
        assert main(["export", str(run), "--pick", pick, "-o", str(target)]) == 0
        assert capsys.readouterr().out.startswith(f"{target}: w0.5_r8_")
        assert BoundSession(str(target), threads=1).run(1) > 0

    def test_export_of_an_unknown_network(self, run, fails):
        assert fails("export", run, "--pick", "t9999").startswith("hwnas: error: the run has no network 't9999'; pick ")


@pytest.mark.parametrize(
    "command", [[], ["profile"], ["search"], ["export"], ["predict"], ["devices"], ["validate"], ["table"]]
)
def test_every_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "example: hwnas" in text or not command
