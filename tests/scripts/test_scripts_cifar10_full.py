"""Scale full of the CIFAR-10 experiment: jobs, what each may see, and a smoke run."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_tables import made_table

from hwnas import HwnasError
from hwnas.data import load_data
from latency_tables import save_table

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng, file = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "noise.npz"
    arrays = {}
    for part, count in (("train", 20), ("test", 10)):
        arrays[f"x_{part}"] = rng.integers(0, 255, size=(count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(file, **arrays)
    return file


def test_jobs_come_after_what_they_need(monkeypatch):
    from _cifar_jobs import FRONTS, FULL, METHODS, Job, minutes, networks_of, phases_of

    phases = phases_of(FULL)
    jobs = [job for phase in phases for job in phase.jobs]
    phase_of = {job: number for number, phase in enumerate(phases) for job in phase.jobs}
    assert len({job.name for job in jobs}) == len(jobs)
    assert all(minutes(job, FULL) > 0 for job in jobs)
    for job in jobs:
        if job.kind == "found":
            search = Job("search", job.what, "" if job.what in FRONTS else job.goal, job.seed)
            assert phase_of[Job("supernet", seed=job.seed)] < phase_of[search]
            assert phase_of[search] < phase_of[Job("pick", seed=job.seed)]
            assert phase_of[Job("pick", seed=job.seed)] < phase_of[job] < phase_of[Job("measure")]
        if job.kind == "baseline":
            assert phase_of[Job("latency")] < phase_of[job]
    assert phases[-1].jobs == [Job("test")]
    assert all(phase.alone for phase in phases if phase.jobs[0].kind in ("latency", "search", "pick", "measure"))
    assert {job.what for job in networks_of(FULL) if job.kind == "found"} == set(METHODS)


def test_the_script_states_its_cost():
    import cifar10
    from _cifar_jobs import FULL, core_hours

    assert f"about {core_hours(FULL):.0f} core-hours" in " ".join((cifar10.__doc__ or "").split())


@pytest.mark.parametrize("goal", ["ResNet-50", "ResNet-8", "ResNet-8-0", "fast"])
def test_an_unknown_goal_is_refused(goal):
    from _cifar_jobs import FullScale

    with pytest.raises(HwnasError, match="must be 'best' or like 'ResNet-8-50'"):
        FullScale(goals=(goal,))


def test_rivals_serve_goals_and_mobilenets_are_narrowed_to_references():
    from _cifar_jobs import FullScale

    with pytest.raises(HwnasError, match="rival_goals: 'best' is none of ResNet-8-100"):
        FullScale(goals=("ResNet-8-100",), rival_goals=("best",))
    with pytest.raises(HwnasError, match="rival_goals: 'best' is no latency limit"):
        FullScale(rival_goals=("best",))
    with pytest.raises(HwnasError, match="narrowed_to: 'ResNet-20' is none of ResNet-8, ResNet-IC02"):
        FullScale(narrowed_to=("ResNet-20",))


def test_limits_are_shares_of_a_reference():
    from _cifar_jobs import FULL

    times = {"ResNet-8": 0.2, "ResNet-IC02": 0.5}
    assert FULL.limit_ms("ResNet-8-75", times) == pytest.approx(0.15)
    assert FULL.limit_ms("ResNet-IC02-100", times) == pytest.approx(0.5)
    assert FULL.limit_ms("best", times) == float("inf")


def test_the_choice_is_the_best_within_the_limit_or_the_fastest():
    from _cifar_full import chosen_network

    front = [{"arch": "a", "ms": 1.0, "validation": 0.5}, {"arch": "b", "ms": 2.0, "validation": 0.7}]
    front.append({"arch": "c", "ms": 1.9, "validation": 0.6})
    assert chosen_network(front, 1.95)["arch"] == "c"
    assert chosen_network(front, float("inf"))["arch"] == "b"
    over = chosen_network(front, 0.9)
    assert (over["arch"], over["within_limit"]) == ("a", False)


def test_only_the_last_job_sees_test_images(data):
    from _cifar_full import Parts

    images = load_data(str(data))
    parts = Parts.divide(images)
    held = {image.tobytes() for image in images.test.images}
    shape = parts.search.input_shape
    for task in (parts.search, parts.final):
        for part in ("train", "validation", "test"):
            seen = task.inputs(part, np.arange(task.size(part)), shape)
            judged = parts.test.inputs("test", np.arange(parts.test.size("test")), shape)
            assert not any((image == other).all() for image in seen for other in judged)
    assert len(held) == parts.test.size("test") == 10
    assert parts.final.size("train") == 20
    assert parts.search.size("train") + parts.search.size("validation") == 20


def test_the_networks_that_are_trained_are_judged_so_far(data, tmp_path, monkeypatch):
    import write_cifar10
    from _cifar_experiment import run_jobs
    from _cifar_jobs import SMOKE, Job, networks_of, settings_of
    from _jobs import Results

    scale = replace(SMOKE, goals=("ResNet-8-100",), narrowed_to=())
    monkeypatch.setattr("_cifar_experiment.JOB_SCALES", {"smoke": scale})
    given = {"scale": "smoke", "change": [], "plan": False, "device": "cpu", "data": str(data), "json": None}
    args = SimpleNamespace(**given, only=["baseline-ResNet-8"], so_far=False, workdir=tmp_path / "w", workers=1)
    run_jobs(args)
    for only in ([], ["plain"]):
        args.only, args.so_far = only, False
        run_jobs(args) if only else None
        args.so_far = True
        run_jobs(args)
        record = json.loads((args.workdir / "table.json").read_text())
        assert [network["kind"] for network in record["networks"]] == ["baseline", *only]
        assert record["networks_left"] == len(networks_of(scale)) - len(record["networks"])
        assert f"{record['networks_left']} networks are not trained yet" in write_cifar10.page({"full": record})
    results = Results(args.workdir, {"scale": settings_of(scale)})
    assert results.get(Job("test")) is None


def finished_searches(results, scale):
    """Keep searches as another machine would have left them: two networks each."""
    from _cifar_jobs import FRONTS, METHODS, Job

    space = scale.space()
    archs = [space.format(arch) for arch in space.sample(2, np.random.default_rng(0))]
    front = [{"arch": arch, "validation": 0.1 * k} for k, arch in enumerate(archs)]
    results.put(Job("supernet", seed=0), {"images": 1, "seconds": 1.0, "core_seconds": 1.0})
    for method in FRONTS:
        results.put(Job("search", method, seed=0), {"front": front, "seconds": 1.0, "core_seconds": 1.0})
    chosen = {"chosen": {"arch": archs[0], "within_limit": True}}
    for method in METHODS.keys() - set(FRONTS):
        job = Job("search", method, "ResNet-8-100", 0)
        results.put(job, {"front": front, **chosen, "seconds": 1.0, "core_seconds": 1.0})


def test_a_smoke_run_but_its_searches(data, tmp_path, monkeypatch):
    from _cifar_experiment import run_jobs
    from _cifar_full import Experiment
    from _cifar_jobs import SMOKE, Job, networks_of, settings_of
    from _jobs import Results

    monkeypatch.setattr("_cifar_experiment.JOB_SCALES", {"smoke": (scale := replace(SMOKE, goals=("ResNet-8-100",)))})
    monkeypatch.setattr("_cifar_measure.WIDTHS", (0.05, 0.25, 0.5))
    given = {"scale": "smoke", "change": [], "only": [], "plan": False, "so_far": False, "device": "cpu"}
    args = SimpleNamespace(**given, data=str(data), workdir=tmp_path / "w", workers=1, json=tmp_path / "full.json")
    results = Results(args.workdir, {"scale": settings_of(scale)})
    finished_searches(results, scale)
    run_jobs(args)

    record = json.loads(args.json.read_text())
    trained = [result for job in networks_of(scale) if "none" not in (result := results.need(job))]
    assert len(record["networks"]) == len(trained) >= 6
    assert {network["images"] for network in record["networks"]} == {20}  # one epoch of the whole train set
    assert all(0 < row["median_ms"] <= row["p90_ms"] and row["int8_median_ms"] > 0 for row in record["rows"])
    assert record["test_images"] == 10
    assert sorted(record["reference_ms"]) == ["ResNet-8", "ResNet-IC02"]
    assert 0 < record["reference_ms"]["ResNet-8"] < record["reference_ms"]["ResNet-IC02"]
    assert results.need(Job("found", "random", "ResNet-8-100", 0))["same_as"].startswith("found-latency")
    recipes = [result["recipe"] for result in trained if result["job"]["kind"] != "plain"]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert "ResNet-IC02" in (args.workdir / "table.md").read_text()
    assert (args.workdir / "table.png").stat().st_size > 5000

    monkeypatch.setattr(Experiment, "do", None)  # what is kept is not done again: not even the data are read
    args.data = "absent"
    run_jobs(args)
    assert json.loads(args.json.read_text()) == record

    import write_cifar10

    page = write_cifar10.page({"full": record})
    assert "judged once on 10 test images" in " ".join(page.split())
    assert "There are no results" not in page


def test_searches_share_the_supernet_and_deliver_a_front_or_the_best_within_a_goal(data, tmp_path, monkeypatch):
    import _cifar_full
    from _cifar_full import Experiment, Parts
    from _cifar_jobs import METHODS, SMOKE, Job
    from _jobs import Results, do_job

    save_table(made_table(SMOKE.space(), None), tmp_path / "table.json")
    offline = {**METHODS["macs"], "measure": None, "table": tmp_path / "table.json", "offline": True}
    within = {**METHODS["within"], "measure": None, "table": tmp_path / "table.json", "offline": True}
    monkeypatch.setattr(_cifar_full, "METHODS", {"macs": offline, "within": within})
    results = Results(tmp_path, {})
    results.put(Job("latency"), {"ms": {"ResNet-8": 1e3}})
    experiment = Experiment(Parts.divide(load_data(str(data))), results, SMOKE, "cpu")
    own = Job("search", "within", "ResNet-8-100", 0)
    for job in (Job("supernet", seed=0), Job("search", "macs", seed=0), own):
        do_job(results, experiment.do, job)
    chosen = results.need(own)["chosen"]
    assert chosen["within_limit"]
    best = max(results.need(own)["front"], key=lambda network: network["validation"])
    assert chosen["arch"] == best["arch"]
    found = results.need(Job("search", "macs", seed=0))
    assert found["trials"] == SMOKE.samples
    assert 1 <= len(found["front"]) <= SMOKE.samples
    assert all(SMOKE.space().parse(network["arch"]) for network in found["front"])
    assert not list((tmp_path / "search-macs-seed0").rglob("supernet.pt"))
