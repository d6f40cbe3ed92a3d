"""The comparison of derived spaces: tuning to a latency, killed trainings, jobs, and the table."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.data import ImageData, Split
from hwnas.tasks import ImageClassification
from hwnas.training import default_recipe

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)

    def split(count):
        return Split(rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, count))

    parts = {"train": split(16), "validation": split(8), "test": split(8)}
    return ImageClassification(ImageData("noise", tuple("abcdefghij"), **parts, mean=(0.5,) * 3, std=(0.3,) * 3))


class Killed(Exception):
    pass


def trained(task, checkpoint, kill_at=None):
    from _derived_bases import FAMILIES
    from _derived_training import Training, train

    steps = []

    def count():
        steps.append(0)
        if len(steps) == kill_at:
            raise Killed

    torch.manual_seed(0)
    module = FAMILIES["inverted"](0.1, 4)
    recipe = default_recipe(task, epochs=3, batch_size=8, average=0.9, learning_rate=0.01)
    return train(module, Training(task, recipe, 1, checkpoint, (16, 16, 32), before_step=count)).state_dict()


def test_a_killed_training_ends_with_the_same_bits(task, tmp_path):
    whole = trained(task, tmp_path / "whole.pt")
    with pytest.raises(Killed):
        trained(task, tmp_path / "killed.pt", kill_at=4)  # in the second epoch
    again = trained(task, tmp_path / "killed.pt")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_checkpoint_of_other_settings_is_refused(task, tmp_path):
    from _derived_bases import FAMILIES
    from _derived_training import Training, train

    def run(seed):
        recipe = default_recipe(task, epochs=1, batch_size=8)
        train(FAMILIES["inverted"](0.1, 4), Training(task, recipe, seed, tmp_path / "c.pt", (16,)))

    run(0)
    with pytest.raises(SystemExit, match="other settings"):
        run(1)


@pytest.mark.parametrize("family", ["resnet20", "inverted"])
def test_a_network_takes_the_extents_of_a_state_dict(family):
    from _derived_bases import FAMILIES, resized

    narrow = FAMILIES[family](0.5, 4).eval()
    again = resized(family, narrow.state_dict()).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(narrow(x), again(x))


def test_bisection_finds_the_largest_size_within_the_limit():
    from _derived_rivals import bisected

    sizes = []

    def stairs(size):
        sizes.append(size)
        return 0.1 + 0.9 * np.ceil(size * 8) / 8  # whole blocks of channels

    found = bisected(stairs, 0.6, 0.0, 1.0, steps=12)
    assert found.ratio == pytest.approx(0.1 + 0.9 * 0.5)  # 0.6 lies between 4 and 5 of 8 blocks
    assert 0.49 < found.setting <= 0.5
    sizes.clear()
    assert bisected(lambda size: sizes.append(size) or size, 0.5, 0.0, 1.0).ratio == 0.5
    assert len(sizes) == 1  # close enough at once
    assert bisected(lambda size: 1.0, 0.5, 0.0, 1.0) is None


def test_latencies_are_relative_to_the_base_of_the_same_rounds(tmp_path):
    from _derived_bases import FAMILIES
    from _derived_rivals import Latencies, narrowed

    speeds = iter([1.0, 3.0, 0.5, 2.0, 1.5] * 10)

    def measured(files):
        speed, size = next(speeds), files[1].stat().st_size
        return [speed * 2e6, speed * size]

    base = tmp_path / "base.onnx"
    latencies = Latencies(base, tmp_path, measured=measured)
    network = FAMILIES["resnet20"](0.5, 8)
    first = latencies.ratio(network)
    assert latencies.ratio(FAMILIES["resnet20"](0.5, 8)) == first  # not measured again, at another speed
    found = narrowed("resnet20", 0.2, latencies, lambda text: None)
    assert 0.1 < found["ratio"] <= 0.2


def test_jobs_come_after_what_they_need_and_are_kept(tmp_path):
    from _derived_jobs import SMOKE, Job, Scale, jobs_of, minutes
    from _jobs import Results

    jobs = jobs_of(["resnet20", "inverted"], Scale())
    place = {job: number for number, job in enumerate(jobs)}
    assert len({job.name for job in jobs}) == len(jobs)
    for job in jobs:
        assert minutes(job, Scale(), 40_000, {"resnet20": 1000.0, "inverted": 400.0}) > 0
        if job.kind == "ours":
            assert place[job.other("elastic", share=None)] < place[job]
        if job.kind == "sparse":
            assert place[job.other("sparse-training", share=None)] < place[job.other("tune-sparse")] < place[job]
        if job.kind.startswith("narrow"):
            assert place[job.other("tune-narrow", seed=None)] < place[job]
    for base in ("resnet20", "inverted"):
        assert [job.kind for job in jobs if job.base == base][-1] == "measure"

    results = Results(tmp_path, {"scale": SMOKE.as_dict()})
    with pytest.raises(SystemExit, match="must be done first"):
        results.need(jobs[0])
    results.put(jobs[0], {"ms": 1.5})
    assert Results(tmp_path, {"scale": SMOKE.as_dict()}).need(jobs[0])["ms"] == 1.5
    with pytest.raises(SystemExit, match="choose another --out"):
        Results(tmp_path, {"scale": Scale().as_dict()})
    assert results.get(Job("latency", "inverted")) is None


def test_bases_and_seeds_may_join_later_but_a_base_may_not_change(tmp_path):
    from _derived_jobs import SMOKE, Scale, jobs_of
    from _jobs import Results

    assert Scale(seeds=1).as_dict() == Scale(seeds=3, long=True, base_epochs=80).as_dict() != SMOKE.as_dict()

    def folder(**bases):
        return Results(tmp_path, {"bases": bases}, growing=("bases",))

    job = jobs_of(["resnet20"], SMOKE)[0]
    folder(resnet20="a").put(job, {"ms": 1.0})
    folder(inverted="b").put(job, {"ms": 1.0})
    assert json.loads((tmp_path / "settings.json").read_text())["bases"] == {"resnet20": "a", "inverted": "b"}
    with pytest.raises(SystemExit, match="choose another --out"):
        folder(resnet20="c")


def test_what_is_trained_can_be_measured_before_the_rest(tmp_path):
    from argparse import Namespace

    import bench_derived
    from _derived_jobs import SMOKE, Job, jobs_of
    from _jobs import Results

    results, jobs = Results(tmp_path, {}), jobs_of(["resnet20", "inverted"], SMOKE)
    so_far, all_of_them = Namespace(so_far=True, only=[]), Namespace(so_far=False, only=[])
    assert bench_derived.chosen_of(results, jobs, so_far) == []
    results.put(Job("ours", "resnet20", 0.5, 0), {"images": 1})
    (measure,) = bench_derived.chosen_of(results, jobs, so_far)
    assert measure == Job("measure", "resnet20")
    results.put(measure, {"left": 1})
    assert bench_derived.outdated(results, measure, all_of_them)  # it lacks networks
    results.put(measure, {"left": 0})
    assert not bench_derived.outdated(results, measure, all_of_them)
    assert bench_derived.chosen_of(results, jobs, all_of_them) == jobs


@pytest.mark.parametrize("half", [False, True])
def test_a_base_is_trained_and_its_speed_is_told(task, tmp_path, monkeypatch, half):
    from argparse import Namespace

    import train_bases

    monkeypatch.setattr(train_bases, "BATCH_SIZE", 8)
    options = Namespace(out=tmp_path, epochs=1, seed=0, sizes=[32], half=half, device="cpu", judge=True, speed=0.0)
    train_bases.train_base("resnet20", task, options)
    told = json.loads((tmp_path / "resnet20.json").read_text())
    assert told["recipe"].get("train_precision") == ("bf16" if half else None)
    assert 0 <= told["test"] <= 1
    assert (tmp_path / "resnet20.onnx").exists()
    assert train_bases.speed("resnet20", task, Namespace(speed=0.2), 32, half=half) > 0


def test_each_budget_gets_the_space_that_a_search_would_take(tmp_path, monkeypatch):
    from _derived_bases import FAMILIES, to_onnx
    from _derived_jobs import SMOKE, Job
    from _derived_work import Bench
    from _jobs import Results

    (tmp_path / "resnet20.onnx").write_bytes(to_onnx(FAMILIES["resnet20"](1.0, 1)))
    scale = dataclasses.replace(SMOKE, shares=(0.7, 0.5, 1e-5))
    results = Results(tmp_path / "out", {})
    bench = Bench("", None, tmp_path, results, scale, 1, "cpu", lambda text: None)
    results.put(Job("latency", "resnet20"), {"ms": 1000.0})
    for share in scale.shares:
        job = Job("space", "resnet20", share)
        results.put(job, bench.do(job))
    half, every = bench._spaces(Job("elastic", "resnet20", None, 0))
    assert (half["widths"], half["resolutions"]) == ([0.5, 0.75, 1.0], [32])
    assert (every["widths"][0], every["resolutions"]) == (0.25, [])


def test_all_rivals_see_the_same_number_of_images():
    from _derived_jobs import Scale

    scale = Scale(elastic_epochs=3, tune_epochs=5, base_epochs=20)
    ours = scale.epochs("elastic") + scale.epochs("ours")
    assert scale.epochs("pruned") == scale.epochs("narrow") == ours == 8
    assert scale.epochs("sparse-training") + scale.epochs("sparse") == ours
    assert scale.epochs("narrow-long") == 20 + ours


def network(method, share, test, ms, macs, seed=0):
    times = {"ms": ms, "low_ms": 0.98 * ms, "high_ms": 1.02 * ms, "ratio": ms}
    counts = {"macs": macs, "params": macs / 100, "images": 1000, "passes": 4000 if method == "ours" else 1000}
    names = {"name": f"{method}-{share}-{seed}", "base": "resnet20", "share": share, "method": method}
    return {**names, "test": test, "validation": test, **times, **counts}


def test_tables_of_different_times_are_one_comparison():
    from _derived_table import merged, misleading

    def table(seed, test, ms):
        networks = [network("ours", 0.5, test, 0.5 * ms, 9e6, seed), network("pruned", 0.5, 0.8, 0.6 * ms, 4e6, seed)]
        bases = {"resnet20": {**network("", 1.0, 0.9 - 0.02 * seed, ms, 4e7), "cpu": "any"}}
        hours = {"ours": 0.5, **({} if seed else {"sparse": 1.0})}
        settings = {"scale": {"tune_epochs": 8 + seed}}
        rest = {"left": 3 * seed, "core_hours": hours, "cpu": f"day {seed}", "settings": settings}
        return {"bases": bases, "networks": networks, **rest}

    joined = merged([table(0, 0.9, 1.0), table(1, 0.88, 10.0)])
    assert [row["tests"] for row in joined["rows"]] == [[0.9, 0.88], [0.8, 0.8]]
    assert joined["bases"]["resnet20"]["test"] == pytest.approx(0.89)
    assert joined["bases"]["resnet20"]["tests"] == pytest.approx([0.9, 0.88])
    assert (joined["core_hours"], joined["left"], joined["cpu"]) == ({"ours": 1.0, "sparse": 1.0}, 1, "day 1")
    assert merged([table(0, 0.9, 1.0)] * 2)["bases"]["resnet20"]["tests"] == [0.9]
    other = json.loads(json.dumps(table(0, 0.9, 1.0)).replace("resnet20", "inverted"))
    both = merged([table(0, 0.9, 1.0), table(1, 0.88, 10.0), {**other, "left": 4}])
    assert both["left"] == 5  # each base lacks networks of its own
    assert {name: base["scale"]["tune_epochs"] for name, base in both["bases"].items()} == {
        "resnet20": 9,
        "inverted": 8,
    }
    assert len(joined["misleading_macs"]) == 2  # each with the other network of its own day
    assert len(misleading(joined["networks"])) == 2


def test_the_table_has_means_leads_and_where_macs_lie():
    from _derived_table import leads, markdown, misleading, rows_of

    networks = [
        network("pruned", 0.5, 0.86, 0.50, 4e6),
        network("ours", 0.5, 0.90, 0.49, 9e6),
        network("ours", 0.5, 0.88, 0.49, 9e6, seed=1),
        network("narrow", 0.7, 0.80, 0.30, 5e6),
    ]
    rows = rows_of(networks)
    assert [(row["share"], row["method"]) for row in rows] == [(0.7, "narrow"), (0.5, "ours"), (0.5, "pruned")]
    assert rows[1]["test"] == pytest.approx(0.89)
    assert rows[1]["tests"] == [0.90, 0.88]
    (lead,) = leads(rows)
    assert (lead["rival"], lead["points"]) == ("pruned", pytest.approx(3.0))
    (pair,) = misleading(networks)  # 0.49 and 0.50 ms are too close to call
    assert (pair["fewer_macs"], pair["faster"]) == ("pruned-0.5-0", "narrow-0.7-0")
    page = markdown({"resnet20": network("", 1.0, 0.9, 1.0, 4e7)}, networks)
    assert "| resnet20, 50% | hwnas, derived space | 89.00% (90.00, 88.00) | 0.490 ms (0.480-0.500) |" in page
    assert "+3.00 against *torch-pruning, fine-tuned*" in page
    assert "MACs mislead in 1 pairs" in page


def test_the_table_is_written_from_finished_jobs(tmp_path):
    import bench_derived
    from _derived_jobs import SMOKE, Job, jobs_of
    from _jobs import Results

    results, jobs = Results(tmp_path, {"scale": SMOKE.as_dict()}), jobs_of(["resnet20"], SMOKE)
    bench_derived.write_tables(results, jobs, ["resnet20"])
    assert not (tmp_path / "table.md").exists()
    networks = [network("ours", 0.5, 0.9, 0.5, 9e6), network("narrow", 0.5, 0.8, 0.5, 5e6)]
    for job in (Job("tune-pruned", "resnet20", share) for share in (0.5, 0.7)):
        results.put(job, {"core_seconds": 1800.0})
    measured = {"base": network("", 1.0, 0.9, 1.0, 4e7), "networks": networks, "left": 2, "cpu": "a processor"}
    results.put(jobs[-1], measured)
    bench_derived.write_tables(results, jobs, ["resnet20"], tmp_path / "copy.json")
    table = json.loads((tmp_path / "table.json").read_text())
    assert table == json.loads((tmp_path / "copy.json").read_text())
    assert (table["left"], table["cpu"]) == (2, "a processor")
    assert table["core_hours"] == {"tune-pruned": 0.5, "measure": 0.0}  # 0.7 is no budget of this scale
    assert table["leads"][0]["points"] == pytest.approx(10.0)
    assert "narrowed, trained from scratch" in (tmp_path / "table.md").read_text()
