"""Measures the profile of a bundle on its device: the same sampling and journal, and one file to copy back.

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
from profilers._timing import REFERENCE_OP, Runnable, SamplingSettings, TextProgress

PROFILE_FORMAT, RESULT_FORMAT = "hwnas-job", "hwnas-job-result"
VERSION = 4
"""Version of bundled profiles and their results; those of version 3 have no hash of their content."""
HASH = "content_hash"
NOISE_WEIGHTS = "care"
"""Key of the noise weights, in its earlier spelling."""


def run_bundled_profile(folder: Path) -> int:
    """Measure the profile in a folder, or resume it, and write ``result.json`` beside it; return an exit code."""
    began = time.monotonic()

    def progress(text: str) -> None:
        _say(f"[{time.monotonic() - began:7.1f} s] {text}")

    try:
        profile = _read_profile(folder)
        target = folder.resolve().parent / "result.json"
        result = _measure(profile, folder, progress)
        write_atomic(target, json.dumps({**result, HASH: content_hash(result)}) + "\n")
    except KeyboardInterrupt:
        _say("interrupted; run the same command again to resume")
        return 130
    except (ProfilerError, LatencyTableError, OSError, ValueError) as error:
        _say(f"error: {' '.join(str(error).split())}")
        return 2
    _say(f"done: copy {target} to where hwnas is installed, and run `hwnas profile --import result.json -o table.json`")
    return 0


def _say(text: str) -> None:
    """Write a line for people; control characters are escaped, because anybody may have written the profile's file."""
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    sys.stderr.write(shown + "\n")
    sys.stderr.flush()


def _read_profile(folder: Path) -> dict[str, Any]:
    """Read ``job.json``.

    Raises:
        ValueError: It cannot be read, is of another version, or was changed.
    """
    path = folder / "job.json"
    try:
        profile = read_json(path)
    except (OSError, ValueError):
        raise ValueError(f"{path} cannot be read; name the folder `job` that `hwnas bundle` made") from None
    if not isinstance(profile, dict) or profile.get("format") != PROFILE_FORMAT or profile.get("version") != VERSION:
        raise ValueError(f"{path} is not a profile for this runner; copy the whole folder again")
    if profile.pop(HASH, None) != content_hash(profile):
        raise ValueError(f"{path} was changed (its content hash does not match); copy the whole folder again")
    return profile


def _measure(profile: Mapping[str, Any], folder: Path, progress: TextProgress) -> dict[str, Any]:
    """Sample both passes and return the record of ``result.json``.

    Args:
        profile: What `_read_profile` returns.
        folder: The folder of the profile.
        progress: Receives progress lines.

    Raises:
        ProfilerError: The device lacks the provider, or cannot execute a model.
        ValueError: The device has too few cores, or a model is missing or damaged.
    """
    facts = device_facts()
    if not 1 <= profile["threads"] <= facts["usable_cores"]:
        raise ValueError(
            f"the bundle is for {profile['threads']} threads, but this device has {facts['usable_cores']} usable "
            "cores; make a bundle with fewer --threads"
        )
    provider = find_provider(profile["provider"], facts["providers"])
    settings = SamplingSettings(**profile["settings"])
    digest = hashlib.sha256(json.dumps(profile, sort_keys=True).encode("utf-8")).hexdigest()
    header = {"cpu": facts["cpu"], "runtime_version": facts["runtime_version"], "job": digest}
    samples: dict[str, SampleSet] = {}
    energy: dict[str, object] = {}
    with SampleJournal(folder / "samples.jsonl", header) as journal:
        for number, models in enumerate(profile["passes"], 1):
            progress(f"loading {len(models)} graphs of pass {number} of {len(profile['passes'])}")
            runnables = _load(models, folder, profile["threads"], provider)
            weights = profile[NOISE_WEIGHTS]
            samples.update(sample_into(journal, runnables, settings, weights, f"pass {number}", progress))
            if REFERENCE_OP in runnables:
                energy = _energy(runnables[REFERENCE_OP], provider)
    return {
        "format": RESULT_FORMAT,
        "version": VERSION,
        "job": {name: profile[name] for name in profile if name not in ("passes", NOISE_WEIGHTS)},
        "facts": facts,
        "provider": provider,
        "energy": energy,
        "samples": {
            name: {"repeats": taken.repeats, "seconds": taken.seconds, "moments": taken.moments, "stop": taken.stop}
            for name, taken in samples.items()
        },
    }


def _load(models: Mapping[str, Any], folder: Path, threads: int, provider: str) -> dict[str, Runnable]:
    """Open a session on each model, by the name of its runnable.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute a model.
        ValueError: A model is missing or damaged.
    """
    loaded: dict[str, Runnable] = {}
    for name, model in models.items():
        path = _model(folder, require_digest(model["digest"]))
        seed, swept = int(model["seed"]), int(model["sweep"])
        try:
            loaded[name] = BoundSession(str(path), threads=threads, seed=seed, provider=provider, sweep_bytes=swept)
        except UnsupportedGraphError as error:
            raise UnsupportedGraphError(f"{name}: {error}") from None
    return loaded


def _model(folder: Path, digest: str) -> Path:
    """Return the path of a model whose content has the expected hash.

    Raises:
        ValueError: The file is missing or damaged.
    """
    path = folder / "models" / f"{digest}.onnx"
    try:
        if digest_of(read_regular(path)) == digest:
            return path
    except OSError:
        raise ValueError(f"{path} is missing or cannot be read; copy the whole folder again") from None
    raise ValueError(f"{path} is damaged (its content hash does not match); copy the whole folder again")


def _energy(reference_op: Runnable, provider: str) -> dict[str, object]:
    """Measure the energy of the reference op, where the provider's device has a counter."""

    def counter() -> RaplCounter:
        require_counter(provider)
        return RaplCounter()

    return energy_facts(counter, reference_op)
