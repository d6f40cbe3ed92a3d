"""A profile that is carried: written here as a folder, run on the device by hand, and brought back as one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from latency_tables import LatencyTable, Op, OpGraph, content_hash, read_json, write_atomic
from profilers._division import cores_of
from profilers._errors import EnergyUnavailableError, ProfilerError, UnsupportedGraphError
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._onnxruntime import PROTOCOL, random_model, runtime_identity, sweep_bytes
from profilers._operators._base import FloatArray
from profilers._plan import Network, Plan, design_plan
from profilers._profile import make_table
from profilers._remote._archive import runner_archive
from profilers._remote._facts import (
    DeviceFacts,
    read_energy,
    read_facts,
    read_samples,
    read_sampling,
    read_setting,
)
from profilers._remote._job import HASH, JOB, RESULT, VERSION
from profilers._remote._store import digest_of
from profilers._sampling import SamplingSettings
from profilers._session import PROVIDER

_UNHASHED = 3
"""The version of results that had no hash."""
_README = """A profile to be measured on a device.

1. Copy this folder there. The device needs Python 3.9 or newer with numpy, onnxruntime and psutil.
2. Run there, in this folder, with nothing else running:

       python3 runner.pyz job

   It goes on where it stopped when it is run again, and writes result.json.
3. Bring result.json back, and run where hwnas is installed:

       hwnas profile --import result.json -o table.json
"""


@dataclass(frozen=True)
class CarriedRunnable:
    """What stands for a session on a device that is not here."""

    digest: str
    seed: int
    sweep_bytes: int = 0

    def run(self, repeats: int) -> float:
        """Nothing runs here."""
        raise UnsupportedGraphError("a bundle is measured on its device")


class CarriedBackend:
    """A device that is not here: it writes models for it, or speaks for it from what was brought back.

    Args:
        setting: ``threads``, ``batch``, ``image_channels``, ``precision``, ``core_cache_bytes``.
        folder: where models are written; None to write none.
        facts: of the device, once they are known.
        provider: full name of the execution provider, once it is known.
    """

    protocol: ClassVar[str] = PROTOCOL
    fusion: Fusion = CONVOLUTION_FUSION

    def __init__(
        self,
        setting: Mapping[str, Any],
        *,
        folder: Path | None = None,
        facts: DeviceFacts | None = None,
        provider: str = "",
    ) -> None:
        self.setting, self.folder, self.facts, self.provider = setting, folder, facts, provider
        self._written: set[str] = set()
        self.image_channels, self.batch = int(setting["image_channels"]), int(setting["batch"])
        self.element_bytes = 1 if setting["precision"] == "int8" else 4
        self.fast_cache_bytes = int(setting["core_cache_bytes"])
        self.cores = cores_of(
            threads=int(setting["threads"]), batch=self.batch, provider=PROVIDER, precision=str(setting["precision"])
        )

    def identity(self) -> dict[str, object]:
        """Stable facts of the device that was measured."""
        assert self.facts is not None
        named = {name: self.setting[name] for name in ("threads", "batch", "precision")}
        return runtime_identity(self.facts.cpu, self.facts.runtime_version, provider=self.provider, **named)

    def environment(self) -> dict[str, object]:
        """Volatile facts of the device when it was measured."""
        assert self.facts is not None
        return dict(self.facts.environment)

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> CarriedRunnable:
        """Write the ONNX file of a graph."""
        assert self.folder is not None
        content = random_model(graph, seed, tied, batch=self.batch, precision=str(self.setting["precision"]))
        digest = digest_of(content)
        if digest not in self._written:
            write_atomic(self.folder / f"{digest}.onnx", content)
            self._written.add(digest)
        swept = sweep_bytes(self.fast_cache_bytes, int(self.setting["threads"])) if cold else 0
        return CarriedRunnable(digest, seed, swept)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> CarriedRunnable:
        """Not carried."""
        raise UnsupportedGraphError("a bundle holds no trained networks")

    def energy_counter(self) -> Any:
        """Not here."""
        raise EnergyUnavailableError("energy is unavailable: the device is not here")

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """Not known."""
        return [None] * len(models)

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """That nothing was compared."""
        return ["measured from a bundle: it was not checked whether the device executes networks as they are priced"]

    def warnings(self) -> list[str]:
        """Nothing was watched beside the calibration op."""
        return []


def write_bundle(
    folder: Path,
    setting: Mapping[str, Any],
    targets: Sequence[Op],
    networks: Sequence[Network],
    *,
    about: Mapping[str, object],
    settings: SamplingSettings | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> int:
    """Write a profile job: runner, models, ``job.json`` and a README.

    Args:
        folder: made where absent.
        setting: as `CarriedBackend` takes it, and ``provider`` as the user names it.
        targets: the ops to price.
        networks: whole networks.
        about: what whoever brings the result back needs to make the same plan again.
        settings: of the sampling.
        progress: receives lines for people.

    Returns:
        How many models it holds.

    Raises:
        OSError: it cannot be written.
    """
    models = folder / "job" / "models"
    models.mkdir(parents=True, exist_ok=True)
    backend = CarriedBackend(setting, folder=models)
    plan = design_plan(backend, targets, networks)
    progress(f"writing {len(plan.probes) + 2 * len(plan.pairs)} probes and {2 * len(networks)} networks into {folder}")
    passes = [_written(plan, backend, number) for number in (1, 2)]
    job = {
        "format": JOB,
        "version": VERSION,
        **setting,
        "about": dict(about),
        "settings": (settings or SamplingSettings()).as_dict(),
        "plan": plan.digest(),
        "care": plan.care,
        "passes": passes,
    }
    write_atomic(folder / "job" / "job.json", json.dumps({**job, HASH: content_hash(job)}) + "\n")
    write_atomic(folder / "runner.pyz", runner_archive())
    write_atomic(folder / "README.txt", _README)
    return len({model["digest"] for one in passes for model in one.values()})


def _written(plan: Plan, backend: CarriedBackend, number: int) -> dict[str, dict[str, Any]]:
    """The runnables of pass 1 or 2 by name, written as files."""
    loaded = plan.load_pass(backend, number, plan.load_probes(backend, number))
    return {
        name: {"digest": one.digest, "seed": one.seed, "sweep": one.sweep_bytes}
        for name, one in loaded.items()
        if isinstance(one, CarriedRunnable)
    }


def read_result(path: Path) -> dict[str, Any]:
    """What was brought back from a device.

    Raises:
        ProfilerError: it is no result of a job, or of another version.
    """
    try:
        result = read_json(path)
    except OSError as error:
        raise ProfilerError(f"cannot read {path}: {error.strerror}; bring result.json back from the device") from None
    except ValueError:
        raise ProfilerError(f"{path} is damaged; bring result.json back from the device again") from None
    if not isinstance(result, dict) or result.get("format") != RESULT or not isinstance(result.get("job"), dict):
        raise ProfilerError(f"{path} is not the result of a job; `python3 runner.pyz job` writes it on the device")
    version = result.get("version")
    if type(version) is not int or version not in (_UNHASHED, VERSION):
        raise ProfilerError(f"{path} was written by another version of hwnas (result format {version!s:.20})")
    found = result.pop(HASH, None)
    if found != (content_hash(result) if version == VERSION else None):
        raise ProfilerError(
            f"{path} was changed after it was measured (its content hash does not fit); bring result.json back from "
            "the device again"
        )
    return dict(result)


def table_of_result(
    result: Mapping[str, Any],
    targets: Sequence[Op],
    networks: Sequence[Network],
    *,
    space: Mapping[str, object],
    source: str,
) -> LatencyTable:
    """The table that follows from a result.

    Args:
        result: as `read_result` gives it.
        targets: the ops to price.
        networks: the whole networks of the job.
        space: name and settings of the space.
        source: where the result was read, for people.

    Raises:
        ProfilerError: it is damaged, or belongs to another plan than this version of hwnas makes.
    """
    job = result["job"]
    try:
        facts = read_facts(result["facts"], source)
        if result["provider"] not in facts.providers:
            raise ValueError("measured with a provider that is not there")
        backend = CarriedBackend(read_setting(job), facts=facts, provider=result["provider"])
        settings = read_sampling(job["settings"])
        plan = design_plan(backend, targets, networks)
        if plan.digest() != job["plan"]:
            raise ProfilerError(f"{source} is of a bundle of another version of hwnas; make the bundle anew")
        return make_table(
            backend,
            plan,
            targets,
            read_samples(result["samples"], plan.names, source),
            space=space,
            settings=settings,
            energy=read_energy(result["energy"]),
        )
    except (KeyError, TypeError, ValueError):
        raise ProfilerError(f"{source} is damaged; bring result.json back from the device again") from None
