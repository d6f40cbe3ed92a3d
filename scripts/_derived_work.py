"""What each job of the comparison of derived spaces does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _derived_bases import FAMILIES, resized, to_onnx
from _derived_jobs import Job, Scale, jobs_of
from _derived_rivals import WAYS, Latencies, Pruner, narrowed, ranked_ms
from _derived_training import Training, judged, load_tensors, save_tensors, sizes_of, train
from _jobs import Results
from _shared_supernet import SharedSupernet, best_or_nearest
from torch import Tensor, nn

import hwnas
from hwnas.spaces import Derived, derive
from hwnas.tasks import Task
from hwnas.training import Recipe, Subnet, Teacher, default_recipe, fitted, native_precision, train_network
from latency_tables import write_atomic
from profilers import build_onnx, cpu_identity, read_onnx

AVERAGE = 0.999
NETWORKS_A_STEP = 4
"""Networks that a step of the elastic model trains: largest, smallest and two random ones."""


def bases_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what `train_bases.py` says of each trained base, by name.

    Raises:
        SystemExit: There is none.
    """
    bases = {}
    for name in FAMILIES:
        files = [folder / f"{name}.{suffix}" for suffix in ("json", "onnx", "pt")]
        if all(file.exists() for file in files):
            digest = hashlib.sha256(files[1].read_bytes()).hexdigest()
            bases[name] = {**json.loads(files[0].read_text(encoding="utf-8")), "sha256": digest}
    if not bases:
        raise SystemExit(f"{folder} holds no trained base; run scripts/train_bases.py first")
    return bases


@dataclass(frozen=True)
class Bench:
    """Does jobs.

    Attributes:
        data: Where the data set is.
        task: The same, loaded.
        bases: Folder of the trained bases.
        results: Files of finished jobs.
        scale: How much is done.
        threads: Torch's threads.
        device: What the trainings run on.
        say: Receives progress lines.
        so_far: Whether those networks are measured that are trained, and the others left out.
    """

    data: str
    task: Task
    bases: Path
    results: Results
    scale: Scale
    threads: int
    device: str
    say: Callable[[str], None]
    so_far: bool = False

    def do(self, job: Job) -> dict[str, Any]:
        """Do a job and return its result."""
        work = {
            "latency": self._latency,
            "space": self._space,
            "elastic": self._elastic,
            "search": self._search,
            "sparse-training": self._sparse_training,
            "tune-pruned": self._tune_pruned,
            "tune-sparse": self._tune_pruned,
            "tune-narrow": self._tune_narrow,
            "ours": self._ours,
            "measure": self._measure,
        }
        return work.get(job.kind, self._rival)(job)

    def file_of(self, job: Job) -> Path:
        """Return the ONNX file of a job's network."""
        return self.results.place(job) / "network.onnx"

    def _base_file(self, job: Job, suffix: str = "onnx") -> Path:
        return self.bases / f"{job.base}.{suffix}"

    def _base_state(self, job: Job) -> dict[str, Tensor]:
        return load_tensors(self._base_file(job, "pt"))

    def _base_module(self, job: Job) -> nn.Module:
        return resized(job.base, self._base_state(job)).eval()

    def _recipe(self, job: Job, rate: float, **changes: Any) -> Recipe:
        scale = self.scale
        batch = min(scale.batch_size, self.task.size("train"))
        common = {"batch_size": batch, "weight_decay": scale.weight_decay, "average": AVERAGE}
        common["train_precision"] = native_precision(self.device)
        return default_recipe(
            self.task, **{**common, "epochs": scale.epochs(job.kind), "learning_rate": rate, **changes}
        )

    # ---- latency

    def _latency(self, job: Job) -> dict[str, Any]:
        """Measure the base beside itself: its latency, and how steady a measurement is."""
        base, copy = self._base_file(job), self.results.place(job) / "copy.onnx"
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(copy, base.read_bytes())
        first, second = ranked_ms([base, copy])
        return {"ms": (first * second) ** 0.5, "again": second / first}

    def _measure(self, job: Job) -> dict[str, Any]:
        """Measure all trained networks of a base in the same rounds, and say what is known of each."""
        jobs = [other for other in jobs_of([job.base], self.scale) if other.kind in self.scale.trainings]
        done = [(other, result) for other in jobs if (result := self.results.get(other))]
        left = len(jobs) - len(done)
        if not done or (left and not self.so_far):
            raise SystemExit(f"{job.name}: {left} trainings are not done; run them first, or add --so-far")
        files = [self._base_file(job), *(self.file_of(other) for other, _ in done)]
        ranking = hwnas.rank(files, progress=self.say)
        by_file = {file.file: file for file in ranking.files}
        base = by_file[str(files[0])]
        networks = []
        for (other, result), file in zip(done, files[1:], strict=True):
            own = by_file[str(file)]
            times = {"ms": own.latency_ms, "low_ms": own.low_ms, "high_ms": own.high_ms}
            facts = {"name": other.name, "base": job.base, "share": other.share, "method": other.kind}
            model = file.read_bytes()
            known = {**result, **judged(model, self.task), **sizes_of(model)}
            networks.append({**known, **facts, "seed": other.seed, **times, "ratio": own.latency_ms / base.latency_ms})
            self.say(f"{other.name}: test accuracy {networks[-1]['test']:.2%}, {networks[-1]['ratio']:.1%} of the time")
        about, model = json.loads(self._base_file(job, "json").read_text(encoding="utf-8")), files[0].read_bytes()
        known = {**judged(model, self.task), **sizes_of(model), "images": about["images"]}
        times = {"ms": base.latency_ms, "low_ms": base.low_ms, "high_ms": base.high_ms}
        floor = {"noise_floor": ranking.noise_floor, "rounds": ranking.rounds, "cpu": cpu_identity()["cpu"]}
        return {"base": {**known, **times, "passes": about["images"]}, "networks": networks, "left": left, **floor}

    # ---- ours

    def _space(self, job: Job) -> dict[str, Any]:
        """Say how far below the base the space of a budget reaches, as a search within it would."""
        base = self._base_file(job)
        space = hwnas.derive(
            base, space_settings=self.scale.space, latency_budget=self._budget_ms(job), progress=self.say
        ).space
        return {"options": {name: value for name, value in space.settings.items() if name not in ("graph", "sha256")}}

    def _budget_ms(self, job: Job) -> float:
        return (job.share or 1.0) * float(self.results.need(Job("latency", job.base))["ms"])

    def _spaces(self, job: Job) -> list[dict[str, Any]]:
        """Return the options of the different spaces of the budgets of a job's base."""
        options = [self.results.need(Job("space", job.base, share))["options"] for share in self.scale.shares]
        return [each for i, each in enumerate(options) if each not in options[:i]]

    def elastic(self, job: Job, precision: str = "fp32") -> SharedSupernet:
        """Return the trained elastic model of a job's base, seed and budget, as an evaluator of a search.

        Args:
            job: The job.
            precision: What the networks are evaluated in, fp32 or int8.
        """
        trained = self.results.need(job.other("elastic", share=None))
        options = self.results.need(job.other("space", seed=None))["options"]
        return self._elastic_model(job, options, "cpu", trained["train_precision"], precision)

    def _elastic_model(
        self, job: Job, options: dict[str, Any], device: str, train_precision: str | None, precision: str = "fp32"
    ) -> SharedSupernet:
        scale = self.scale
        space = hwnas.derive(self._base_file(job), space_settings=options)
        derived = fitted(space, self.task, default_recipe(self.task))
        recipe = default_recipe(
            self.task,
            epochs=scale.elastic_epochs,
            batch_size=min(scale.batch_size, self.task.size("train")),
            weight_decay=scale.weight_decay,
            learning_rate=scale.elastic_rate,
            train_precision=train_precision,
        )
        return SharedSupernet(
            self.results.place(job.other("elastic", share=None)) / f"space{self._spaces(job).index(options)}",
            derived.space,
            self.task,
            recipe,
            seed=job.seed or 0,
            device=device,
            threads=self.threads,
            precision=precision,
            initial=derived.weights,
            initial_digest=str(derived.space.settings["sha256"]),
            teacher=self._base_teacher(job),
        )

    def _base_teacher(self, job: Job) -> Teacher:
        base = _derived(self._base_file(job))
        return Teacher.of(Subnet.of_arrays(base.graph, base.weights))

    def _elastic(self, job: Job) -> dict[str, Any]:
        """Train the elastic model of each space; budgets whose spaces are the same share one."""
        precision = native_precision(self.device)

        def tell(done: int, total: int, text: str) -> None:
            """Say where the training is, a few times."""
            if done % max(1, total // 10) == 0:
                self.say(f"{job.name}: {text}")

        for options in self._spaces(job):
            model = self._elastic_model(job, options, self.device, precision)
            model.prepare(self.results.place(job), tell)
        return {"images": self.scale.elastic_epochs * self.task.size("train"), "train_precision": precision}

    def _search(self, job: Job) -> dict[str, Any]:
        """Search within a budget."""
        budget_ms, run = self._budget_ms(job), self.results.place(job) / "run"
        options = self.results.need(job.other("space", seed=None))["options"]
        model = self.elastic(job)
        result = hwnas.search(
            model.space,
            data=self.task,
            evaluator=model,
            latency_budget=f"{budget_ms:.6g}ms",
            goal="best",
            measure="trials",
            seed=job.seed or 0,
            samples=self.scale.samples,
            out=run,
            evaluation_threads=self.threads,
            progress=self.say,
        )
        over, found = result.over_budget, best_or_nearest(result)
        write_atomic(self.results.place(job) / "network.onnx", (run / found["onnx"]).read_bytes())
        facts = {name: found.get(name) for name in ("arch", "accuracy", "validation_accuracy", "latency_ms")}
        return {**facts, "budget_ms": budget_ms, "over_budget": over, "space": options, "goal": result.settings.goal}

    def _ours(self, job: Job) -> dict[str, Any]:
        """Fine-tune the network that was found."""
        images = self.scale.elastic_epochs * self.task.size("train")
        found = self.results.need(job.other("search"))
        file, recipe = self.file_of(job.other("search")), self._recipe(job, self.scale.tune_rate)
        derived = fitted(_derived(file), self.task, recipe)
        network = train_network(
            derived.graph,
            self.task,
            recipe,
            seed=job.seed or 0,
            device=self.device,
            threads=self.threads,
            checkpoint=self.results.place(job) / "checkpoint.pt",
            start=derived.weights,
            teacher=self._base_teacher(job),
        )
        self._keep(job, build_onnx(network.graph, network.arrays()).SerializeToString())
        own = recipe.epochs * self.task.size("train")
        return {"images": images + own, "passes": NETWORKS_A_STEP * images + own, "found": found}

    # ---- rivals

    def _latencies(self, job: Job) -> Latencies:
        return Latencies(self._base_file(job), self.results.place(job))

    def _sparse_training(self, job: Job) -> dict[str, Any]:
        """Train the base with the regulariser that makes groups of channels sparse."""
        state = self._base_state(job)
        recipe = self._recipe(job, self.scale.elastic_rate)
        pruner = Pruner(job.base, state, self.task, recipe.task_settings)
        module = pruner.base()
        regularizer = pruner.regularizer(module)
        train(
            module,
            self._training(
                job,
                recipe,
                teacher=self._base_module(job),
                before_epoch=regularizer.update_regularizer,
                before_step=lambda: regularizer.regularize(module),
            ),
        )
        save_tensors(module.state_dict(), self.results.place(job) / "state.pt")
        return {"images": recipe.epochs * self.task.size("train")}

    def _tune_pruned(self, job: Job) -> dict[str, Any]:
        """Prune until the budget is kept."""
        state, ways = self._base_state(job), WAYS
        if job.kind == "tune-sparse":
            trained = job.other("sparse-training", share=None)
            self.results.need(trained)
            state = load_tensors(self.results.place(trained) / "state.pt")
            ways = tuple(way for way in WAYS if way[0] == "norm")  # what the regulariser makes small
        settings = default_recipe(self.task).task_settings
        pruner = Pruner(job.base, state, self.task, settings)
        module, how = pruner.tuned(job.share or 1.0, self._latencies(job), self.say, ways[: self.scale.ways])
        save_tensors(module.state_dict(), self.results.place(job) / "state.pt")
        return how

    def _tune_narrow(self, job: Job) -> dict[str, Any]:
        """Narrow until the budget is kept."""
        return narrowed(job.base, job.share or 1.0, self._latencies(job), self.say)

    def _rival(self, job: Job) -> dict[str, Any]:
        """Train a pruned or narrowed network."""
        count = self.task.size("train")
        torch.manual_seed(job.seed or 0)
        if job.kind.startswith("narrow"):
            how = self.results.need(job.other("tune-narrow", seed=None))
            module = FAMILIES[job.base](how["width"], how["step"])
            recipe, teacher, before = self._recipe(job, self.scale.scratch_rate), None, 0
        else:
            tuned = job.other(f"tune-{job.kind}", seed=job.seed if job.kind == "sparse" else None)
            self.results.need(tuned)
            module = resized(job.base, load_tensors(self.results.place(tuned) / "state.pt"))
            recipe, teacher = self._recipe(job, self.scale.elastic_rate), self._base_module(job)
            before = self.scale.elastic_epochs * count if job.kind == "sparse" else 0
        train(module, self._training(job, recipe, teacher=teacher))
        images = recipe.epochs * count + before
        self._keep(job, to_onnx(module))
        return {"images": images, "passes": images}

    def _training(self, job: Job, recipe: Recipe, **more: Any) -> Training:
        checkpoint = self.results.place(job) / "checkpoint.pt"

        def tell(text: str) -> None:
            """Say which job a line is of."""
            self.say(f"{job.name}: {text}")

        return Training(self.task, recipe, job.seed or 0, checkpoint, device=self.device, say=tell, **more)

    def _keep(self, job: Job, model: bytes) -> None:
        """Write a trained network."""
        file = self.file_of(job)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, model)


def _derived(file: Path) -> Derived:
    """Return the space of a file's network, with batch norms put back for training."""
    read = read_onnx(file)
    return derive(read.graph, read.weights)
