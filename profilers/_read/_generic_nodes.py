"""Nodes that no rule knows, written as generic ops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from latency_tables import Op, sorted_attributes
from profilers._errors import ModelFileError
from profilers._operators import _make as ops
from profilers._operators._generic import MAX_BODY_BYTES, pack_body
from profilers._read._attributes import Array, attributes_of, describe, one_line
from profilers._read._fold import SOFTMAX_ALONG_AN_AXIS
from profilers._read._infer import TensorType, infer
from profilers._read._macs import RECURRENT, node_macs
from profilers._read._translate import Translation

OPSET = 17
"""The opset of files that we write, wherever a node means the same in it."""
_INLINE_FLOATS = 16
"""Most floats of a constant that stands in an op's key; larger ones are weights."""
_INLINE_INTEGERS = 1024
_LONGEST_LABEL = 60
_RESIZE_STATES_PLACES = 11
"""The opset from which on Resize says where the samples of its result lie."""


def write_generic(t: Translation, nodes: Sequence[onnx.NodeProto]) -> None:
    """Write nodes as one generic op; several results are packed side by side, and taken apart by slices.

    Args:
        t: Where to write.
        nodes: The nodes, in topological order.

    Raises:
        ModelFileError: The nodes mean something else in the opset that we write, or a constant cannot be kept.
    """
    made = {name for node in nodes for name in node.output if name}
    inputs = list(
        dict.fromkeys(n for node in nodes for n in node.input if n and n not in made and n not in t.file.constants)
    )
    inside = set(map(id, nodes))
    outputs = [
        name
        for node in nodes
        for name in node.output
        if name and any(reader is None or id(reader) not in inside for reader in t.file.readers.get(name, ()))
    ]
    for name in inputs:
        if name not in t.names:
            raise ModelFileError(f"{describe(nodes[0])}: it reads {name!r}, which an op graph cannot hold")
    if not inputs:
        raise ModelFileError(f"{describe(nodes[0])}: it reads no input of the network")
    body, weights = _body(t, nodes, inputs, outputs)
    sizes = [math.prod(t.shape(name)) for name in outputs]
    shape = t.shape(outputs[0]) if len(outputs) == 1 else (sum(sizes),)
    op = _op(t, nodes, body, inputs, shape)
    packed = outputs[0] if len(outputs) == 1 else outputs[0] + ":packed"
    t.write(nodes[-1], op, *inputs, weights=weights, last=packed)
    t.generic.append((t.names[packed], _label(nodes), "hwnas has no operator for it"))
    if len(outputs) > 1:
        _unpack(t, nodes[-1], packed, outputs, sizes)


def _unpack(t: Translation, node: onnx.NodeProto, packed: str, outputs: Sequence[str], sizes: Sequence[int]) -> None:
    """Take the results that stand side by side apart again."""
    start = 0
    for name, size in zip(outputs, sizes, strict=True):
        part = f"{name}:flat"
        t.write(node, ops.slice_channels((sum(sizes),), start, size), packed, last=part)
        t.write(node, ops.reshape((size,), t.shape(name)), part, last=name)
        start += size


def _label(nodes: Sequence[onnx.NodeProto]) -> str:
    types = [node.op_type for node in nodes]
    label = ".".join(types)
    return label if len(label) <= _LONGEST_LABEL else f"{types[0]}.and.{len(types) - 1}.more"


def _body(
    t: Translation, nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[onnx.GraphProto, dict[str, Array]]:
    """Return the nodes with short names of their tensors, and the values of the constants that are weights."""
    names = {"": "", **{name: f"x{i}" for i, name in enumerate(inputs)}}
    graph, weights = onnx.GraphProto(name="body"), dict[str, Array]()
    graph.input.extend(_info(names[name]) for name in inputs)
    for node in nodes:
        for name in node.input:
            if name not in names:
                names[name] = _constant(graph, weights, f"c{len(names)}", t.file.constants[name], describe(node))
        names |= {name: f"t{len(names) + i}" for i, name in enumerate(filter(None, node.output))}
        copy = graph.node.add(op_type=node.op_type)
        copy.attribute.extend(node.attribute)
        for attribute in copy.attribute:
            attribute.ClearField("doc_string")
        copy.input.extend(names[name] for name in node.input)
        copy.output.extend(names[name] for name in node.output)
    last = names[outputs[0]] if len(outputs) == 1 else _packed(graph, [names[name] for name in outputs])
    graph.output.append(_info(last))
    return graph, weights


def _info(name: str, shape: tuple[int, ...] | None = None) -> onnx.ValueInfoProto:
    """Describe a tensor of the body: with a shape, it is a weight."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _packed(graph: onnx.GraphProto, outputs: Sequence[str]) -> str:
    """Append what flattens several results and puts them side by side."""
    for name in outputs:
        graph.node.add(op_type="Flatten", input=[name], output=[f"{name}f"])
    graph.node.add(op_type="Concat", input=[f"{name}f" for name in outputs], output=["packed"]).attribute.append(
        helper.make_attribute("axis", 1)
    )
    return "packed"


def _constant(graph: onnx.GraphProto, weights: dict[str, Array], name: str, value: Array, where: str) -> str:
    """Store a constant in the body, or as a weight; weights are 32-bit floats, other types are cast from them."""
    is_float = value.dtype == np.float32
    if value.size <= (_INLINE_FLOATS if is_float else _INLINE_INTEGERS) or value.dtype.kind not in "fiub":
        if value.nbytes > MAX_BODY_BYTES // 2:
            raise ModelFileError(
                f"{where}: hwnas cannot read a constant of the type {value.dtype} with {value.size} elements"
            )
        graph.initializer.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name
    floats = value.astype(np.float32)
    if not np.array_equal(floats.astype(value.dtype), value):
        raise ModelFileError(f"{where}: a constant of the type {value.dtype} does not fit 32-bit floats")
    stored = f"one_{name}" if (floats > 0).all() else f"w_{name}"
    weights[stored] = floats
    graph.input.append(_info(stored, value.shape))
    if is_float:
        return stored
    graph.node.add(op_type="Cast", input=[stored], output=[name]).attribute.append(
        helper.make_attribute("to", int(helper.np_dtype_to_tensor_dtype(value.dtype)))
    )
    return name


def _op(
    t: Translation,
    nodes: Sequence[onnx.NodeProto],
    body: onnx.GraphProto,
    inputs: Sequence[str],
    shape: tuple[int, ...],
) -> Op:
    body, opset = _in_our_opset(t, nodes, body, inputs, shape)
    if body.ByteSize() > MAX_BODY_BYTES:
        raise ModelFileError(
            f"{describe(nodes[0])}: {len(nodes)} nodes from here on must be one op, which is too large"
        )
    values: dict[str, int | str] = {"node": _label(nodes), "body": pack_body(body), "opset": opset}
    macs = sum(_macs(t, node) for node in nodes) // t.batch
    if macs:
        values["macs"] = macs
    if _inferred(body, opset, _types(t, inputs, t.batch)) != (t.batch, *shape):
        raise ModelFileError(f"{describe(nodes[-1])}: {len(nodes)} nodes up to here cannot be written as one op")
    if not _any_batch(t, body, opset, inputs, shape):
        values["batch"] = t.batch
    return Op("onnx", tuple(map(t.shape, inputs)), shape, sorted_attributes(values))


def _macs(t: Translation, node: onnx.NodeProto) -> int:
    """Count the multiply-accumulates of a whole batch. Those of `RECURRENT` are not part of an op's key."""
    types = t.file.types
    shapes = {name: types[name].shape for name in (*node.input, *node.output) if name in types}
    return 0 if node.op_type in RECURRENT else node_macs(node, shapes)


def _inferred(body: onnx.GraphProto, opset: int, types: dict[str, TensorType]) -> tuple[int, ...]:
    """Return the extents of the body's output."""
    return _all_inferred(body, opset, types)[body.output[0].name].shape


def _all_inferred(body: onnx.GraphProto, opset: int, types: dict[str, TensorType]) -> Mapping[str, TensorType]:
    """Return the types of the body's tensors."""
    weights = {
        info.name: TensorType(int(TensorProto.FLOAT), tuple(int(d.dim_value) for d in info.type.tensor_type.shape.dim))
        for info in body.input
        if info.type.tensor_type.HasField("shape")
    }
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
    return infer(body, opset, {**types, **weights}, stored, MAX_BODY_BYTES).types


def _types(t: Translation, inputs: Sequence[str], batch: int) -> dict[str, TensorType]:
    """Return the types of the body's inputs for a batch size."""
    return {f"x{i}": TensorType(int(TensorProto.FLOAT), (batch, *t.shape(name))) for i, name in enumerate(inputs)}


def _any_batch(
    t: Translation, body: onnx.GraphProto, opset: int, inputs: Sequence[str], shape: tuple[int, ...]
) -> bool:
    """Return whether the body computes batches of other sizes too, sample by sample."""
    more = t.batch + 1
    try:
        types = _all_inferred(body, opset, _types(t, inputs, more))
    except ModelFileError:
        return False
    across = any(_along_the_batch(node, types) or _has_fixed_state(node) for node in body.node)
    return not across and types[body.output[0].name].shape == (more, *shape)


def _along_the_batch(node: onnx.NodeProto, types: Mapping[str, TensorType]) -> bool:
    """Return whether a node has the batch axis as its `axis`, counted from either end."""
    if node.op_type == "MeanVarianceNormalization" and 0 in attributes_of(node).get("axes", (0, 2, 3)):
        return True
    axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
    ranks = [len(types[name].shape) for name in (*node.input[:1], *node.output[:1]) if name in types]
    return any(axis == 0 or axis == -rank for axis in axes for rank in ranks)


def _has_fixed_state(node: onnx.NodeProto) -> bool:
    """Return whether a recurrent node has lengths or states of its own, whose batch size is theirs."""
    return node.op_type in ("LSTM", "GRU", "RNN") and any(node.input[4:7])


def _in_our_opset(
    t: Translation,
    nodes: Sequence[onnx.NodeProto],
    body: onnx.GraphProto,
    inputs: Sequence[str],
    shape: tuple[int, ...],
) -> tuple[onnx.GraphProto, int]:
    """Return the body in the opset that we write, or in the file's where that is newer and a node has changed.

    Raises:
        ModelFileError: ONNX cannot convert a node of an older opset.
    """
    opset = t.file.opset
    changed = [node for node in nodes if _since(node, opset) != _since(node, OPSET)]
    if not changed or opset == OPSET:
        return body, OPSET
    if opset > OPSET:
        return body, opset
    for node in changed:
        if node.op_type == "Hardmax" and opset < SOFTMAX_ALONG_AN_AXIS:
            rank = len(t.file.types[node.input[0]].shape)
            if attributes_of(node).get("axis", 1) not in (-1, rank - 1):
                raise ModelFileError(
                    f"{describe(node)}: hwnas reads it along the last axis alone before opset {SOFTMAX_ALONG_AN_AXIS}"
                )
    typed = onnx.GraphProto()
    typed.CopyFrom(body)
    for info in typed.input:
        if not info.type.tensor_type.HasField("shape"):
            info.CopyFrom(_info(info.name, (t.batch, *t.shape(inputs[int(info.name[1:])]))))
    typed.output[0].CopyFrom(_info(body.output[0].name, (t.batch, *shape)))
    try:
        model = helper.make_model(typed, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        converted = onnx.version_converter.convert_version(model, OPSET).graph
        if opset < _RESIZE_STATES_PLACES:
            _as_before(converted)
        result = onnx.GraphProto(name="body", node=converted.node, initializer=converted.initializer)
        result.input.extend(body.input)
        result.output.extend(body.output)
        same = _inferred(result, OPSET, _types(t, inputs, t.batch)) == (t.batch, *shape)
    except Exception as error:  # whatever ONNX's converter raises
        reason = one_line(error, 160)
        raise ModelFileError(f"{describe(changed[0])}: it cannot be written in opset {OPSET}: {reason}") from None
    if not same:
        raise ModelFileError(f"{describe(changed[0])}: it means something else in opset {OPSET}")
    return result, OPSET


def _as_before(graph: onnx.GraphProto) -> None:
    """Say of each Resize what Upsample and the first Resize meant; the converter leaves it to the new defaults.

    ONNX Runtime rounds places up where the first Resize makes an axis smaller.

    Raises:
        ValueError: One axis becomes smaller and another one larger, or it is not known which.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Resize":
            stated = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            nearest = stated.get("mode", b"nearest") == b"nearest"
            places = "floor"
            if nearest:
                scales = stored.get(node.input[2]) if len(node.input) > 2 else None
                if scales is None or np.min(scales) < 1 < np.max(scales):
                    raise ValueError("its scales must be constant, and not both below and above 1")
                places = "ceil" if np.min(scales) < 1 else "floor"
            for name, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", places)):
                if name not in stated:
                    node.attribute.append(helper.make_attribute(name, value))


def _since(node: onnx.NodeProto, opset: int) -> int:
    """Return the opset in which an operator got the form that it has in `opset`; 0 where it did not exist."""
    try:
        return int(onnx.defs.get_schema(node.op_type, opset).since_version)
    except onnx.defs.SchemaError:
        return 0
