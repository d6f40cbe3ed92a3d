"""A file in memory: read within limits, parsed, with the values of its initialisers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from latency_tables import open_regular
from profilers._errors import ModelFileError
from profilers._read._attributes import Array
from profilers._read._external import external_tensors, take_external
from profilers._read._fold import stored_array
from profilers._read._limits import MAX_BYTES, MAX_NAME, MAX_OPSET, MIN_OPSET
from profilers._read._wire import check_messages


@dataclass(frozen=True)
class ModelFile:
    """A parsed file.

    Attributes:
        model: Its content.
        opset: Version of the default operator set.
        initializers: Values of the initialisers by name.
        sha256: Of the file, in one piece if it has external data (`whole_model`), in hexadecimal digits.
    """

    model: onnx.ModelProto
    opset: int
    initializers: dict[str, Array]
    sha256: str


def load_onnx(source: Path | str | bytes, *, max_bytes: int = MAX_BYTES) -> onnx.ModelProto:
    """Read an ONNX file of unknown origin and the external data beside it; nothing outside its folder is read.

    Args:
        source: The file, or its content.
        max_bytes: Most bytes of the file and its external data together.

    Returns:
        The model; all its tensors are inside.

    Raises:
        ModelFileError: It cannot be read, is damaged or too large, or its external data is not beside it.
    """
    return load_with_digest(source, max_bytes=max_bytes)[0]


def load_with_digest(source: Path | str | bytes, *, max_bytes: int = MAX_BYTES) -> tuple[onnx.ModelProto, str]:
    """Read as `load_onnx` does; return the model, and the SHA-256 of `ModelFile` in hexadecimal digits."""
    given = source if isinstance(source, bytes) else Path(source)
    try:
        model, content = _parsed(given, max_bytes)
        return model, sha256(content).hexdigest()
    except ModelFileError as error:
        label = "ONNX model" if isinstance(given, bytes) else str(given)
        raise ModelFileError(f"{label if label.isprintable() else ascii(label)}: {error}") from None


def load(source: Path | bytes, max_bytes: int) -> ModelFile:
    """Read a file with the values of its initialisers.

    Args:
        source: The file, or its content.
        max_bytes: Most bytes of the file and its external data together.

    Raises:
        ModelFileError: As of `load_onnx`, without the file's name; or its opset is not one that is read.
    """
    model, content = _parsed(source, max_bytes)
    return ModelFile(model, _opset(model), _initializers(model.graph), sha256(content).hexdigest())


def load_whole(source: Path, max_bytes: int) -> bytes:
    """Return the content of a file, in one piece if it has external data; what `load` refuses is refused here, too."""
    model, content = _parsed(source, max_bytes)
    _opset(model)
    _initializers(model.graph)
    return content


def _parsed(source: Path | bytes, max_bytes: int) -> tuple[onnx.ModelProto, bytes]:
    """Return the model, checked and with all its data, and the content of its file in one piece."""
    content = source if isinstance(source, bytes) else _read(source, max_bytes)
    if len(content) > max_bytes:
        raise ModelFileError(f"the file has {len(content)} bytes; hwnas reads at most {max_bytes}")
    check_messages(content)
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise ModelFileError("it is not an ONNX file, or it is damaged") from None
    if not model.HasField("graph"):
        raise ModelFileError("it is not an ONNX file: it holds no graph")
    _check_names(model.graph)
    left, outside = max_bytes - len(content), list(external_tensors(model))
    for tensor in outside:
        left -= take_external(tensor, source.parent if isinstance(source, Path) else None, left, max_bytes)
    return model, _in_one_piece(model) if outside else content


def _in_one_piece(model: onnx.ModelProto) -> bytes:
    """Return the content of a file that holds all of a model."""
    return bytes(model.SerializeToString(deterministic=True))


def _check_names(graph: onnx.GraphProto) -> None:
    """Check that names are text (they may hold any bytes) and not too long.

    Raises:
        ModelFileError: One is not.
    """
    for number, node in enumerate(graph.node):
        names = [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]
        if not all(map(_is_name, names)) or not node.op_type.isidentifier():
            raise ModelFileError(f"node {number} of the file has a name that is not text, or is too long")
    if not all(_is_name(entry.name) for part in (graph.input, graph.output, graph.initializer) for entry in part):
        raise ModelFileError("an input, an output or an initialiser has a name that is not text, or is too long")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME and (value.isprintable() or not value)


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that are fed; files of IR version 3 list initialisers among the inputs."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def _initializers(graph: onnx.GraphProto) -> dict[str, Array]:
    """Return the values of the initialisers by name.

    Raises:
        ModelFileError: One cannot be read.
    """
    if graph.sparse_initializer:
        raise ModelFileError("hwnas cannot read sparse initialisers; store them as dense ones")
    return {tensor.name: stored_array(tensor, f"initialiser {tensor.name[:80]!r}") for tensor in graph.initializer}


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise ModelFileError(f"the file has {size} bytes; hwnas reads at most {max_bytes}")
            return file.read(size + 1)  # reading a count allocates it at once
    except OSError as error:
        raise ModelFileError(f"cannot read it: {error.strerror or error}") from None


def _opset(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set.

    Raises:
        ModelFileError: It is absent or outside of what is read.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise ModelFileError("the file must state one version of ONNX's operator set")
    if not MIN_OPSET <= versions[0] <= MAX_OPSET:
        wanted = "a newer opset_version" if versions[0] < MIN_OPSET else f"opset_version={MAX_OPSET}"
        raise ModelFileError(
            f"it has opset {versions[0]}; hwnas reads {MIN_OPSET} to {MAX_OPSET}: export it again with {wanted}"
        )
    return int(versions[0])
