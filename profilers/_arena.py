"""The memory that ONNX Runtime's arena allocates for the activations of a network, read from its log.

ONNX Runtime's Python interface has no statistics of the arena, but the arena logs each time that it grows. The log and
the arena's settings belong to the whole process, so a separate process infers twice. The first inference records which
tensors live when; the second allocates one block that holds all of them at their planned places, and what kernels
request beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from profilers._errors import ArenaTimeoutError

_GROWN = re.compile(r"Extended allocation by (\d+) bytes")
_MARK = "second inference"
_ACCEPT_ALL = 2**40
_SAME_AS_REQUESTED = 1
_SECONDS = 120
"""Seconds that a process may take for a model; for several, as much as that for each eight, and for the first."""
_MODELS = 8


def arena_bytes(models: Sequence[Path]) -> list[int | None]:
    """Measure the bytes of the CPU provider's arena during an inference of each model, without weights and input.

    Args:
        models: ONNX files with float inputs of fixed shape; one thread executes them.

    Returns:
        One number for each model; None where this ONNX Runtime cannot execute the model or does not log its arena.

    Raises:
        ArenaTimeoutError: ONNX Runtime takes too long for each of them.
    """
    models = [model.resolve() for model in models]
    log, late = _log_of(models, _SECONDS * (1 + (len(models) - 1) // _MODELS))
    sizes = [grown_bytes(log, str(model)) for model in models]
    timeouts = int(late)
    if len(models) > 1:  # a model that ends the process, or takes all of its time, hides those after it
        timeouts = 0
        for number, model in enumerate(models):
            if sizes[number] is None:
                log, late = _log_of([model], _SECONDS)
                sizes[number], timeouts = grown_bytes(log, str(model)), timeouts + late
    if models and timeouts == len(models):
        raise ArenaTimeoutError(f"ONNX Runtime took more than {_SECONDS} s for two inferences of one network")
    return sizes


def _log_of(models: Sequence[Path], seconds: float) -> tuple[str, bool]:
    """Return the log of a process that infers models, and whether its time was over before it ended."""
    home = Path(__file__).resolve().parent.parent  # on devices, an archive
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(home), *filter(None, given)]  # an empty one would be the user's folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "profilers._arena", *map(str, models)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            cwd=home if home.is_dir() else home.parent,  # Python imports from there first: never from the user's folder
            timeout=seconds,
            check=False,
        )
    except OSError:
        return "", False
    except subprocess.TimeoutExpired as error:
        log: Any = error.stderr or ""  # bytes on POSIX, whatever the process was started with
        return log if isinstance(log, str) else log.decode(errors="replace"), True
    return done.stderr, False


def grown_bytes(log: str, model: str) -> int | None:
    """Read from a log how far the arena grew in the second inference of a model; None where the log does not say."""
    rest = log.partition(f"{_MARK} of {model}\n")[2]
    grown, end, _ = rest.partition(_MARK)
    steps = [int(number) for number in _GROWN.findall(grown)]
    return sum(steps) if end and steps else None  # without its end, the inference was not finished


def _log_inferences(models: Sequence[str]) -> None:
    """Infer each model twice, in the separate process; the arena grows by requests and is emptied in between."""
    import numpy as np

    from profilers._session import runtime

    ort = runtime()
    ort.set_default_logger_severity(1)
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    arena = {"max_mem": _ACCEPT_ALL, "arena_extend_strategy": _SAME_AS_REQUESTED, "initial_chunk_size_bytes": 256}
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(arena))
    emptied = ort.RunOptions()
    emptied.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    for model in models:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.use_env_allocators", "1")
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding, kept = session.io_binding(), []
        for tensor in session.get_inputs():
            kept.append(ort.OrtValue.ortvalue_from_numpy(np.zeros(tensor.shape, dtype=np.float32)))
            binding.bind_ortvalue_input(tensor.name, kept[-1])
        for tensor in session.get_outputs():
            kept.append(ort.OrtValue.ortvalue_from_numpy(np.zeros(tensor.shape, dtype=np.float32)))
            binding.bind_ortvalue_output(tensor.name, kept[-1])
        session.run_with_iobinding(binding, emptied)
        sys.stderr.write(f"{_MARK} of {model}\n")
        sys.stderr.flush()
        session.run_with_iobinding(binding, emptied)
        sys.stderr.write(f"end of {_MARK}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    _log_inferences(sys.argv[1:])
