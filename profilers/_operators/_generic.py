"""The generic operator: nodes of an ONNX file that no other operator computes, measured as they are."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import BatchNorm, Emitter, FloatArray, Parameter, Primitive

if TYPE_CHECKING:
    import onnx
    import torch

MAX_BODY_BYTES = 1 << 20
"""Largest body of a generic op, unpacked; keys of ops come from files."""


class Generic(Primitive):
    """Nodes of an ONNX file: they can be measured and written to a file again, but not trained.

    Attributes of the op: ``node`` (the types of its nodes, for people), ``body`` (the nodes with their attributes and
    small constants: `pack_body`), ``opset`` (that the body is written in), ``macs`` (where it multiplies) and ``batch``
    (where it computes only batches of this size). The body's inputs are the op's, then its weights: those called
    ``one...`` start as ones when a network is only timed, the others at random.
    """

    kind = "onnx"

    def infer(self, op: Op) -> Shape:
        """Return the stated output; raise `OperatorError` where the body does not read the op's inputs."""
        body = unpack_body(op)
        if len(op.inputs) != sum(not _is_weight(info) for info in body.input):
            raise OperatorError(f"op {op.word('node')}: its body reads another number of tensors")
        if len(body.output) != 1 or op.integer("opset") < 1 or op.integer("macs", 0) < 0:
            raise OperatorError(f"op {op.word('node')}: its body must have one output; opset and macs must be positive")
        return op.output

    def parameters(self, op: Op) -> dict[str, Parameter]:
        """List the constants that are too large for the op's key."""
        return {
            info.name: Parameter(
                tuple(int(dim.dim_value) for dim in info.type.tensor_type.shape.dim),
                "one" if info.name.startswith("one") else "he",
                trainable=False,
            )
            for info in unpack_body(op).input
            if _is_weight(info)
        }

    def macs(self, op: Op) -> int:
        """Return the number that was counted when the file was read."""
        return op.integer("macs", 0)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write the nodes of the body."""
        body = unpack_body(op)
        read = [info.name for info in body.input if not _is_weight(info)]
        tensors = dict(zip(read, inputs, strict=True))
        return emit.splice(body, tensors, weights, opset=op.integer("opset"), batch=op.integer("batch", 0))

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Raise `OperatorError`: torch does not compute the nodes of a file."""
        raise OperatorError(
            f"no operator computes {op.word('node')}: the network can be measured, but not trained; "
            "register an operator for it, or leave it out of the network"
        )


def _is_weight(info: onnx.ValueInfoProto) -> bool:
    """Return whether an input of a body is a weight: only these state their shapes."""
    return bool(info.type.tensor_type.HasField("shape"))


def pack_body(body: onnx.GraphProto) -> str:
    """Write a body as a word, as attributes of ops need it: deflated, in URL-safe base64, after a letter."""
    content = zlib.compress(body.SerializeToString(deterministic=True), 9)
    return "z" + base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")


def unpack_body(op: Op) -> onnx.GraphProto:
    """Read the body of a generic op back.

    Raises:
        OperatorError: It is malformed or too large.
    """
    import onnx
    from google.protobuf.message import DecodeError

    word = op.word("body")[1:]
    try:
        inflater = zlib.decompressobj()
        content = inflater.decompress(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)), MAX_BODY_BYTES)
        if not inflater.eof:
            raise OperatorError(f"op {op.word('node')}: its body has more than {MAX_BODY_BYTES} bytes")
        body: onnx.GraphProto = onnx.GraphProto.FromString(content)
    except (ValueError, zlib.error, DecodeError) as error:
        if isinstance(error, OperatorError):
            raise
        raise OperatorError(f"op {op.word('node')}: its body is damaged") from None
    return body
