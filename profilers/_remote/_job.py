"""A profile job carried to a device in a folder: the same sampling, the same journal, and one file to bring back.

Runs on devices.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latency_tables import LatencyTableError, content_hash, read_json, read_regular, write_atomic
from profilers._energy import RaplCounter, energy_facts
from profilers._errors import ProfilerError, UnsupportedGraphError
from profilers._journal import SampleJournal, sample_into
from profilers._remote._requests import device_facts
from profilers._remote._store import digest_of, require_digest
from profilers._samples import SampleSet
from profilers._session import BoundSession, find_provider, require_counter
from profilers._timing import REFERENCE_OP, Runnable, SamplingSettings

JOB, RESULT = "hwnas-job", "hwnas-job-result"
VERSION = 4
"""Of jobs and results; those of version 3 have no hash of their content."""
HASH = "content_hash"


def run_job(folder: Path) -> int:
    """Run or continue the job in a folder, and write ``result.json`` beside it; returns an exit code."""
    began = time.monotonic()

    def progress(text: str) -> None:
        _say(f"[{time.monotonic() - began:7.1f} s] {text}")

    try:
        job = _read_job(folder)
        target = folder.resolve().parent / "result.json"
        result = _run(job, folder, progress)
        write_atomic(target, json.dumps({**result, HASH: content_hash(result)}) + "\n")
    except KeyboardInterrupt:
        _say("interrupted; run the same command again to go on")
        return 130
    except (ProfilerError, LatencyTableError, OSError, ValueError) as error:
        _say(f"error: {' '.join(str(error).split())}")
        return 2
    _say(f"done: bring {target} back and run `hwnas profile --import result.json -o table.json` there")
    return 0


def _say(text: str) -> None:
    """A line for people; what would control their terminal (the job's file may be anybody's) is escaped."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    sys.stderr.write(shown + "\n")
    sys.stderr.flush()


def _read_job(folder: Path) -> dict[str, Any]:
    path = folder / "job.json"
    try:
        job = read_json(path)
    except (OSError, ValueError):
        raise ValueError(f"{path} cannot be read; name the folder that `hwnas bundle` made") from None
    if not isinstance(job, dict) or job.get("format") != JOB or job.get("version") != VERSION:
        raise ValueError(f"{path} is not a job of this version of hwnas")
    if job.pop(HASH, None) != content_hash(job):
        raise ValueError(f"{path} was changed (its content hash does not fit); copy the whole folder again")
    return job


def _run(job: Mapping[str, Any], folder: Path, progress: Any) -> dict[str, Any]:
    facts = device_facts()
    if not 1 <= job["threads"] <= facts["usable_cores"]:
        raise ValueError(
            f"the job wants {job['threads']} threads, this device has {facts['usable_cores']} usable cores"
        )
    provider = find_provider(job["provider"], facts["providers"])
    settings = SamplingSettings(**job["settings"])
    digest = hashlib.sha256(json.dumps(job, sort_keys=True).encode("utf-8")).hexdigest()
    header = {"cpu": facts["cpu"], "runtime_version": facts["runtime_version"], "job": digest}
    samples: dict[str, SampleSet] = {}
    energy: dict[str, object] = {}
    with SampleJournal(folder / "samples.jsonl", header) as journal:
        for number, names in enumerate(job["passes"], 1):
            progress(f"loading {len(names)} graphs of pass {number} of {len(job['passes'])}")
            runnables = _load(names, folder, job["threads"], provider)
            samples.update(sample_into(journal, runnables, settings, job["care"], f"pass {number}", progress))
            if REFERENCE_OP in runnables:
                energy = _energy(runnables[REFERENCE_OP], provider)
    return {
        "format": RESULT,
        "version": VERSION,
        "job": {name: job[name] for name in job if name not in ("passes", "care")},
        "facts": facts,
        "provider": provider,
        "energy": energy,
        "samples": {
            name: {"repeats": one.repeats, "seconds": one.seconds, "moments": one.moments, "stop": one.stop}
            for name, one in samples.items()
        },
    }


def _load(names: Mapping[str, Any], folder: Path, threads: int, provider: str) -> dict[str, Runnable]:
    loaded: dict[str, Runnable] = {}
    for name, model in names.items():
        path = _model(folder, require_digest(model["digest"]))
        seed, swept = int(model["seed"]), int(model["sweep"])
        try:
            loaded[name] = BoundSession(str(path), threads=threads, seed=seed, provider=provider, sweep_bytes=swept)
        except UnsupportedGraphError as error:
            raise UnsupportedGraphError(f"{name}: {error}") from None
    return loaded


def _model(folder: Path, digest: str) -> Path:
    """The file of a model, which is what was written."""
    path = folder / "models" / f"{digest}.onnx"
    try:
        if digest_of(read_regular(path)) == digest:
            return path
    except OSError:
        raise ValueError(f"{path} is missing or cannot be read; copy the whole folder again") from None
    raise ValueError(f"{path} is damaged (its content hash does not fit); copy the whole folder again")


def _energy(calibration: Runnable, provider: str) -> dict[str, object]:
    def counter() -> RaplCounter:
        require_counter(provider)
        return RaplCounter()

    return energy_facts(counter, calibration)
