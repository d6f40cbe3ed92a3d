"""Reads mutated files of models and weights: is each one read, or refused in one line, within memory and its folder?

    python scripts/fuzz_onnx.py [FILE ...] [--reader MODULE:FUNCTION] [--safetensors] [--count 2000] [--seed 0]

Small files of many kinds, and the files that are given, are changed: bytes, lengths, and the meaning of an ONNX file
(extents, attributes, names, types, places of external data). A child process reads them under a limit of its address
space; it counts what it opens outside of the file's folder. Linux only. The exit code is 1 where a file was neither
read nor refused, or something else was opened; such files are kept with --keep.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from _fuzz_seeds import EXTERNAL, move_out, onnx_seeds, safetensors_seeds

SLOWEST_S = 60.0
NUMBERS = (0, -1, 1, 2, 3, 7, 255, 1 << 20, 1 << 31, -(1 << 31), 1 << 62, -(1 << 63), (1 << 63) - 1)
OP_TYPES = (
    "Cast", "Clip", "Concat", "ConstantOfShape", "Constant", "ConvTranspose", "CumSum", "DepthToSpace", "Einsum",
    "Expand", "Gather", "GRU", "HardSigmoid", "If", "Loop", "LSTM", "MatMul", "NonZero", "OneHot", "Pad", "Range",
    "Reshape", "Resize", "RoiAlign", "Shape", "Slice", "Split", "SplitToSequence", "Tile", "TopK", "Transpose",
    "Unknown", "Upsample", "Where",
)  # fmt: skip
LOCATIONS = (EXTERNAL, f"./{EXTERNAL}", "../outside.bin", "/etc/passwd", "link.bin", "..\\x", "a/../../outside.bin", "")


def main() -> int:
    """Mutate, read and count; return 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--reader", default="profilers:read_onnx", help="MODULE:FUNCTION, called with the path")
    parser.add_argument("--safetensors", action="store_true", help="change safetensors files, too")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-mib", type=int, default=4096, help="limit of the child's address space")
    parser.add_argument("--keep", type=Path, help="folder for files that were neither read nor refused")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return _child(options.reader, options.memory_mib)
    seeds = [path.read_bytes() for path in options.files] + onnx_seeds()
    seeds += safetensors_seeds() * 4 if options.safetensors else []
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = _prepared(Path(temporary))
        child = _Child(options.reader, options.memory_mib)
        answers = []
        for number in range(options.count):
            content = mutated(rng, rng.choice(seeds))
            place.write_bytes(content)
            answer = child.read(place)
            answers.append(answer)
            if answer["outcome"] not in ("read", "refused") or answer["opened"]:
                print(f"file {number}: {answer['outcome']}: {answer['message']} {answer['opened']}", flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{options.seed}-{number}.bin").write_bytes(content)
        child.close()
    return _report(options, answers)


def _report(options: argparse.Namespace, answers: list[dict[str, Any]]) -> int:
    counts = collections.Counter(str(answer["outcome"]) for answer in answers)
    opened = sum(bool(answer["opened"]) for answer in answers)
    print(
        f"{options.reader} seed {options.seed}: {len(answers)} files, {dict(counts)}, "
        f"slowest {max(answer['seconds'] for answer in answers):.2f} s, "
        f"most memory for one {max(answer['mib'] for answer in answers):.0f} MiB, "
        f"opened something else {opened}"
    )
    return int(opened > 0 or set(counts) - {"read", "refused"} != set())


def _prepared(folder: Path) -> Path:
    """Put files beside the one that is read, and outside of its folder; return its path."""
    inner = folder / "models"
    inner.mkdir()
    (folder / "outside.bin").write_bytes(b"o" * 8192)
    (inner / EXTERNAL).write_bytes(bytes(8192))
    (inner / "link.bin").symlink_to(folder / "outside.bin")
    return inner / "model.onnx"


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Return a changed copy of a file."""
    kind = rng.randrange(9)
    if kind > 4 and content[8:9] != b"{":
        return _changed_meaning(rng, content)
    changed = bytearray(content)
    place = rng.randrange(len(changed))
    if kind == 0:
        for _ in range(rng.randrange(1, 8)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        changed[place:place] = changed[rng.randrange(len(changed)) :][: rng.randrange(1, 40)]
    elif kind == 3:
        del changed[place : place + rng.randrange(1, 20)]
    else:
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _changed_meaning(rng: random.Random, content: bytes) -> bytes:
    model = onnx.ModelProto.FromString(content)
    changes = (_change_attribute, _change_names, _change_type, _change_tensor, _change_input, _change_version)
    for _ in range(rng.randrange(1, 4)):
        rng.choice(changes)(rng, model)
    return bytes(model.SerializeToString())


def _change_attribute(rng: random.Random, model: onnx.ModelProto) -> None:
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return
    node = rng.choice(nodes)
    attribute, kind = rng.choice(node.attribute), rng.randrange(6)
    if kind == 0:
        node.attribute.remove(attribute)
    elif kind == 1:
        attribute.type = rng.randrange(15)
    elif kind == 2:
        node.attribute.add().CopyFrom(attribute)
    elif attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        attribute.ints.extend(rng.choice(NUMBERS) for _ in range(rng.choice((0, 0, 1, 3))))
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(NUMBERS)
    else:
        attribute.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30))


def _change_names(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice(model.graph.node)
    names = [name for other in model.graph.node for name in (*other.input, *other.output)] + ["", "absent", "x" * 2000]
    part = rng.choice((node.input, node.output))
    if part and rng.random() < 0.8:
        part[rng.randrange(len(part))] = rng.choice(names)
    elif part and rng.random() < 0.5:
        part.pop()
    else:
        part.append(rng.choice(names))


def _change_type(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice([*OP_TYPES, *(other.op_type for other in model.graph.node)])
    if rng.random() < 0.1:
        node.domain = rng.choice(("com.microsoft", "ai.onnx.ml", "x"))


def _change_tensor(rng: random.Random, model: onnx.ModelProto) -> None:
    if not model.graph.initializer:
        return
    tensor, kind = rng.choice(model.graph.initializer), rng.randrange(5)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif kind == 1:
        tensor.data_type = rng.randrange(30)
    elif kind == 2:
        tensor.dims.append(rng.choice(NUMBERS))
    elif kind == 3 and tensor.raw_data:
        raw = bytearray(tensor.raw_data)
        raw[:8] = rng.choice(NUMBERS).to_bytes(8, "little", signed=True)[: len(raw)]
        tensor.raw_data = bytes(raw)
    else:
        entries = {"location": rng.choice(LOCATIONS), "checksum": "x"}
        entries |= {key: str(rng.choice(NUMBERS)) for key in ("offset", "length")}
        move_out(tensor, {key: value for key, value in entries.items() if rng.random() < 0.7})


def _change_input(rng: random.Random, model: onnx.ModelProto) -> None:
    shape = rng.choice(model.graph.input).type.tensor_type.shape
    if shape.dim and rng.random() < 0.8:
        rng.choice(shape.dim).dim_value = rng.choice(NUMBERS)
    else:
        shape.dim.add().dim_value = rng.choice(NUMBERS)


def _change_version(rng: random.Random, model: onnx.ModelProto) -> None:
    if model.opset_import:
        model.opset_import[0].version = rng.choice((*range(30), *NUMBERS))


class _Child:
    """The process that reads; it is started again after it died."""

    def __init__(self, reader: str, memory_mib: int) -> None:
        self._command = [sys.executable, __file__, "--child", "--reader", reader, "--memory-mib", str(memory_mib)]
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        """Let it read a file; return outcome, seconds, memory, message and what else was opened."""
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SLOWEST_S)
        line = process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        outcome = f"died with {process.returncode}" if ready else f"took more than {SLOWEST_S:g} s"
        return {"outcome": outcome, "seconds": 0.0 if ready else SLOWEST_S, "mib": 0.0, "message": "", "opened": []}

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _child(reader: str, memory_mib: int) -> int:
    """Read the files that standard input names; write one line of JSON for each."""
    import hwnas

    read = _reader(reader)
    opened: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.append(os.fsdecode(arguments[0]))

    first = True
    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        opened.clear()
        before = _reset_peak()
        start = time.perf_counter()
        outcome, message = _outcome(read, path, hwnas.Errors)
        seconds = time.perf_counter() - start
        after = _status("VmHWM")
        code = (str(Path(sys.prefix)), str(Path(sys.base_prefix)), str(Path(__file__).parents[1]), "/proc/self")
        folder = str(path.parent) + os.sep
        elsewhere = [name for name in opened if not name.startswith((folder, *code))]
        # what is imported for the first file is no part of it
        mib = 0.0 if first else (after - before) / 1024
        first = False
        answer = {"outcome": outcome, "seconds": seconds, "mib": mib, "message": message, "opened": elsewhere}
        print(json.dumps(answer), file=out, flush=True)
    return 0


def _outcome(read: Callable[[Path], object], path: Path, errors: tuple[type[Exception], ...]) -> tuple[str, str]:
    """Return ``read``, ``refused`` or what else happened, and the message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except errors as error:
        message = str(error)
        plain = "\n" not in message and len(message) <= 800 and message.isprintable()
        return "refused" if plain else "refused in an unreadable line", message[:1000]
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
        return type(error).__name__, f"{str(error)[:200]} ({where})"
    return "read", ""


def _reader(name: str) -> Callable[[Path], object]:
    """Return the function that ``module:name`` states."""
    module, _, function = name.partition(":")
    read: Callable[[Path], object] = getattr(importlib.import_module(module), function)
    return read


def _reset_peak() -> int:
    """Set the peak of this process's memory to what it uses now; return that, in KiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


if __name__ == "__main__":
    sys.exit(main())
