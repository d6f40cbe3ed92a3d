"""What a file may ask for. Files come from anywhere: each limit is checked before memory or time is spent."""

from __future__ import annotations

MAX_BYTES = 1 << 30
"""Default limit of a file with its external data, and of the constants computed from it: 1 GiB."""
MAX_TENSOR_BYTES = 1 << 32
"""Largest tensor of activations: 4 GiB."""
MAX_MESSAGES = 400_000
"""Most protobuf messages (nodes, attributes, tensors, dimensions); each takes some hundred bytes of memory."""
MAX_NODES = 20_000
MAX_DEPTH = 40
"""Deepest nesting of messages: a graph inside an attribute of a node of a graph takes three levels."""
MAX_NAME = 512
"""Longest name of a node or a tensor, in bytes."""
MAX_RANK = 8
MAX_FOLDED_ELEMENTS = 1 << 24
"""Largest tensor that is computed while reading; larger ones must be stored in the file."""
MIN_OPSET, MAX_OPSET = 7, 26
