"""A bundle: a profile written as a folder here, run by hand on the device, and brought back as one file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_tables import LatencyTable, Op, OpGraph, content_hash, read_json, write_atomic
from profilers._backend import Backend
from profilers._division import cores_of
from profilers._errors import EnergyUnavailableError, ProfilerError, UnsupportedGraphError
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._onnxruntime import random_model, runtime_identity, sweep_bytes
from profilers._operators._base import FloatArray
from profilers._plan import Network, Plan, design_plan
from profilers._profile import make_table
from profilers._remote._archive import runner_archive
from profilers._remote._bundled_profile import (
    HASH,
    NOISE_WEIGHTS,
    PROFILE_FORMAT,
    RESULT_FORMAT,
    VERSION,
)
from profilers._remote._facts import (
    DeviceFacts,
    read_energy,
    read_facts,
    read_samples,
    read_sampling,
    read_setting,
)
from profilers._remote._store import digest_of
from profilers._session import PROVIDER
from profilers._timing import SamplingSettings, TextProgress

_UNHASHED = 3
"""The version of results without a content hash."""
_README = """A profile to measure on a device.

1. Copy this folder to the device. It needs Python 3.9 or newer with numpy, onnxruntime and psutil.
2. Run this in the folder, while nothing else is running on the device:

       python3 runner.pyz job

   It writes result.json. If it was interrupted, run it again: it resumes.
3. Copy result.json back, and run this where hwnas is installed:

       hwnas profile --import result.json -o table.json
"""


@dataclass(frozen=True)
class BundledModel:
    """Stands for a session on a device that a bundle is for.

    Attributes:
        digest: Hash of the ONNX file.
        seed: Seeds the inputs.
        sweep_bytes: Bytes of other memory that the device reads before each inference.
    """

    digest: str
    seed: int
    sweep_bytes: int = 0

    def run(self, repeats: int) -> float:
        """Refuse: nothing runs on this machine."""
        raise UnsupportedGraphError("the graphs of a bundle run only on its device")


class BundleBackend(Backend):
    """The device that a bundle is for: writes its models, or stands for it when the result is read.

    Args:
        setting: ``threads``, ``batch``, ``image_channels``, ``precision``, ``core_cache_bytes``.
        folder: Folder that models are written to; None to write none.
        facts: Facts of the device; None before it was measured.
        provider: Full name of the execution provider; empty before it was measured.
    """

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
        """Return the stable facts of the device that was measured."""
        assert self.facts is not None
        named = {name: self.setting[name] for name in ("threads", "batch", "precision")}
        return runtime_identity(self.facts.cpu, self.facts.runtime_version, provider=self.provider, **named)

    def environment(self) -> dict[str, object]:
        """Return the volatile facts of the device when it was measured."""
        assert self.facts is not None
        return dict(self.facts.environment)

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> BundledModel:
        """Write the ONNX file of a graph with random weights."""
        assert self.folder is not None
        content = random_model(graph, seed, tied, batch=self.batch, precision=str(self.setting["precision"]))
        digest = digest_of(content)
        if digest not in self._written:
            write_atomic(self.folder / f"{digest}.onnx", content)
            self._written.add(digest)
        swept = sweep_bytes(self.fast_cache_bytes, int(self.setting["threads"])) if cold else 0
        return BundledModel(digest, seed, swept)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> BundledModel:
        """Refuse: a bundle holds no trained networks."""
        raise UnsupportedGraphError("a bundle cannot hold trained networks")

    def energy_counter(self) -> Any:
        """Refuse: the counter is on the device."""
        raise EnergyUnavailableError("energy is unavailable: a bundle measures it on its device")

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Return a note that executed nodes were not compared."""
        return ["measured from a bundle: executed nodes were not compared with the ops that the table prices"]


def write_bundle(
    folder: Path,
    setting: Mapping[str, Any],
    targets: Sequence[Op],
    networks: Sequence[Network],
    *,
    about: Mapping[str, object],
    settings: SamplingSettings | None = None,
    progress: TextProgress = lambda text: None,
) -> int:
    """Write a bundle: runner, models, ``job.json`` and a README.

    Args:
        folder: The bundle's folder; created where absent.
        setting: What `BundleBackend` takes, and ``provider`` as the user names it.
        targets: The ops to price.
        networks: Whole networks.
        about: What is needed to make the same plan again when the result is read.
        settings: When sampling stops; None for the defaults.
        progress: Receives progress lines.

    Returns:
        The number of models in the bundle.

    Raises:
        OSError: It cannot be written.
    """
    models = folder / "job" / "models"
    models.mkdir(parents=True, exist_ok=True)
    backend = BundleBackend(setting, folder=models)
    plan = design_plan(backend, targets, networks)
    progress(f"writing {len(plan.probes) + 2 * len(plan.pairs)} probes and {2 * len(networks)} networks into {folder}")
    passes = [_write_pass(plan, backend, number) for number in (1, 2)]
    profile = {
        "format": PROFILE_FORMAT,
        "version": VERSION,
        **setting,
        "about": dict(about),
        "settings": (settings or SamplingSettings()).as_dict(),
        "plan": plan.digest(),
        NOISE_WEIGHTS: plan.noise_weights,
        "passes": passes,
    }
    write_atomic(folder / "job" / "job.json", json.dumps({**profile, HASH: content_hash(profile)}) + "\n")
    write_atomic(folder / "runner.pyz", runner_archive())
    write_atomic(folder / "README.txt", _README)
    return len({model["digest"] for models_of_pass in passes for model in models_of_pass.values()})


def _write_pass(plan: Plan, backend: BundleBackend, number: int) -> dict[str, dict[str, Any]]:
    """Write the models of pass 1 or 2; return what ``job.json`` says about each runnable, by name."""
    loaded = plan.load_pass(backend, number, plan.load_probes(backend, number))
    return {
        name: {"digest": runnable.digest, "seed": runnable.seed, "sweep": runnable.sweep_bytes}
        for name, runnable in loaded.items()
        if isinstance(runnable, BundledModel)
    }


def read_result(path: Path) -> dict[str, Any]:
    """Read the result of a bundle.

    Raises:
        ProfilerError: The file is not such a result, was changed, or is of another version.
    """
    try:
        result = read_json(path)
    except OSError as error:
        raise ProfilerError(f"cannot read {path}: {error.strerror}; copy result.json from the device") from None
    except ValueError:
        raise ProfilerError(f"{path} is damaged; copy result.json from the device again") from None
    if not isinstance(result, dict) or result.get("format") != RESULT_FORMAT or not isinstance(result.get("job"), dict):
        raise ProfilerError(f"{path} is not the result of a bundle; `python3 runner.pyz job` writes it on the device")
    version = result.get("version")
    if type(version) is not int or version not in (_UNHASHED, VERSION):
        raise ProfilerError(
            f"{path} was written by another version of hwnas (result format {version!s:.20}); make the bundle again "
            "with this version"
        )
    if result.pop(HASH, None) != (content_hash(result) if version == VERSION else None):
        raise ProfilerError(
            f"{path} was changed after it was measured (its content hash does not match); copy result.json from the "
            "device again"
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
    """Make the table that follows from a result.

    Args:
        result: What `read_result` returns.
        targets: The ops to price.
        networks: The whole networks of the bundle.
        space: Name and settings of the space.
        source: Path of the result, for error messages.

    Raises:
        ProfilerError: The result is damaged, or this version of hwnas makes another plan than the bundle's.
    """
    profile = result["job"]
    try:
        facts = read_facts(result["facts"], source)
        if result["provider"] not in facts.providers:
            raise ValueError("measured with a provider that the device does not have")
        backend = BundleBackend(read_setting(profile), facts=facts, provider=result["provider"])
        settings = read_sampling(profile["settings"])
        plan = design_plan(backend, targets, networks)
        if plan.digest() != profile["plan"]:
            raise ProfilerError(f"{source} belongs to a bundle of another version of hwnas; make the bundle again")
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
        raise ProfilerError(f"{source} is damaged; copy result.json from the device again") from None
