"""Where a model's time goes: `explain`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._api._given import quiet, require_file
from hwnas._common._text import json_text, printable
from hwnas._common._write import write_file
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._explain._changes import with_changes
from hwnas._explain._page import write_html
from profilers import Explanation, explain_model, load_onnx

_MOST_THREADS = 4096


def explain(
    model: str | Path | bytes,
    *,
    device: str = "cpu",
    threads: int = 1,
    shape: Mapping[str, Any] | Sequence[str] | None = None,
    value: Mapping[str, Any] | Sequence[str] | None = None,
    reuse: Sequence[str | Path | Explanation] | str | Path | Explanation = (),
    no_changes: bool = False,
    out: str | Path | None = None,
    progress: Callable[[str], None] = quiet,
) -> Explanation:
    """Measure a model and what each of its nodes costs in it, as ``hwnas explain`` does.

    Args:
        model: An ONNX file, or its content.
        device: ``"cpu"``.
        threads: Threads inside an operator.
        shape: Shapes of inputs by name, batch axis included: ``{"x": (1, 3, 640, 640)}``.
        value: Numbers to fill inputs with, by name: ``{"sr": 16000}``.
        reuse: Earlier explanations of this device, or their files: their prices are not measured again.
        no_changes: Whether to leave out what would change the total: int8, other thread counts, aligned channels, other
            activations, each measured beside the unchanged network.
        out: File to write: an ``.html`` page, or ``.json``.
        progress: Receives lines for people.

    Raises:
        HwnasError, ProfilerError: One line each (see `Errors`).
    """
    from hwnas._common._option import NAMED_VALUES

    if device != "cpu":
        raise HwnasError(f"`hwnas explain` measures on --device cpu, got {device!r}")
    if type(threads) is not int or not 1 <= threads <= _MOST_THREADS:
        raise HwnasError(f"--threads must be a whole number from 1 to {_MOST_THREADS}, got {threads!r}")
    require_file(out)
    if out is not None and Path(out).suffix not in (".html", ".json"):
        raise HwnasError(f"cannot write {out}: give a name that ends in .html or .json")
    read = NAMED_VALUES.read
    assert read is not None
    given = [reuse] if isinstance(reuse, (str, Path, Explanation)) else reuse
    shapes = {name: _sizes(name, sizes) for name, sizes in read("--shape", shape or {}).items()}
    numbers = {name: _number(name, number) for name, number in read("--value", value or {}).items()}
    earlier = [item if isinstance(item, Explanation) else load_explanation(item) for item in given]
    make_backend("cpu", threads=threads)  # what it refuses is refused before anything is measured
    explanation = explain_model(
        model, threads=threads, shapes=shapes, numbers=numbers, earlier=earlier, progress=progress
    )
    return told(
        model,
        explanation,
        shapes=shapes,
        numbers=numbers,
        threads=threads,
        changes=not no_changes,
        out=out,
        progress=progress,
    )


def told(
    model: str | Path | bytes,
    explanation: Explanation,
    *,
    shapes: Mapping[str, tuple[int, ...]],
    numbers: Mapping[str, float],
    threads: int,
    changes: bool,
    out: str | Path | None,
    progress: Callable[[str], None],
) -> Explanation:
    """Complete an explanation with what would change the total, and write it.

    Args:
        model: The file, or its content.
        explanation: The rows.
        shapes: Shapes of inputs by name.
        numbers: Numbers to fill inputs with, by name.
        threads: Threads that it was measured with.
        changes: Whether changes are made and measured.
        out: File to write; None for none.
        progress: Receives lines for people.

    Raises:
        HwnasError: The file cannot be written.
    """
    if changes:
        explanation = with_changes(
            load_onnx(model), explanation, shapes=shapes, numbers=numbers, threads=threads, progress=progress
        )
    if out is not None and Path(out).suffix == ".json":
        write_file(out, json_text(explanation.as_dict(), indent=1) + "\n")
    elif out is not None:
        write_html(explanation, out)
    return explanation


def load_explanation(path: str | Path) -> Explanation:
    """Read an explanation from a JSON file.

    Raises:
        HwnasError: It cannot be read.
        ProfilerError: It holds no explanation.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HwnasError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not JSON'}") from None
    return Explanation.from_dict(value, name=printable(str(path)))


def _sizes(name: str, sizes: Any) -> tuple[int, ...]:
    values = sizes if isinstance(sizes, (list, tuple)) else [sizes]
    if not values or not all(type(size) is int and size > 0 for size in values):
        raise HwnasError(f"--shape {name} must be whole numbers above 0, like {name}=1,3,224,224, got {sizes!r}")
    return tuple(values)


def _number(name: str, number: Any) -> float:
    if type(number) not in (int, float):
        raise HwnasError(f"--value {name} must be a number, got {number!r}")
    return float(number)
