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

_GROWN = re.compile(r"Extended allocation by (\d+) bytes")
_MARK = "second inference"
_ACCEPT_ALL = 2**40
_SAME_AS_REQUESTED = 1
_SECONDS = 120


def arena_bytes(models: Sequence[Path]) -> list[int | None]:
    """Measure the bytes of the CPU provider's arena during an inference of each model, without weights and input.

    Args:
        models: ONNX files with float inputs of fixed shape; one thread executes them.

    Returns:
        One number for each model; None where this ONNX Runtime cannot execute the model or does not log its arena.
    """
    home = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "profilers._arena", *map(str, models)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return [None] * len(models)
    return [grown_bytes(done.stderr, str(model)) for model in models]


def grown_bytes(log: str, model: str) -> int | None:
    """Read from a log how far the arena grew in the second inference of a model; None where the log does not say."""
    _, mark, rest = log.partition(f"{_MARK} of {model}\n")
    steps = [int(number) for number in _GROWN.findall(rest.partition(_MARK)[0])]
    return sum(steps) if mark and steps else None


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
