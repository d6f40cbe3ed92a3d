"""Profilers: what an operator is, and what it costs on a real device.

Names load their modules on first use: `build_onnx` brings onnx, `GraphModule` and `run_graph` bring torch. Only
`profilers.cores`, which needs nothing but the standard library, is loaded at once: it looks at the usable cores before
torch may pin a thread to one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profilers import cores
from profilers.cores import usable_cores

if TYPE_CHECKING:
    from profilers._backend import Backend
    from profilers._costs import (
        activation_bytes,
        graph_macs,
        graph_params,
        op_work,
        part_work,
        peak_memory_bytes,
        stored_bytes,
    )
    from profilers._cuda import CudaBackend
    from profilers._energy import REFERENCE_OP_MJ, EnergyCounter, energy_mj
    from profilers._errors import (
        ArenaTimeoutError,
        DeviceMemoryError,
        DeviceUnavailableError,
        EnergyUnavailableError,
        JournalError,
        ModelFileError,
        OperatorError,
        ProfilerError,
        UnsupportedGraphError,
    )
    from profilers._executed import CONVOLUTION_FUSION, ConvolutionFusion, Fusion, executed_graph, fusion_of
    from profilers._explain._events import profile_nodes
    from profilers._explain._explain_model import explain_model
    from profilers._explain._explanation import REASONS, Change, ExplainedNode, Explanation
    from profilers._explain._facts import block_channels
    from profilers._explain._file import fix_shapes
    from profilers._explain._promise import promised_gain
    from profilers._explain._values import draw_inputs
    from profilers._fingerprint import cpu_environment, cpu_identity
    from profilers._fusion import fusion_differences
    from profilers._half import convolve
    from profilers._mixed import float_only, graph_at, int8_nodes, mixed_graph, quantised_nodes
    from profilers._networks import measure_beside, measure_twice
    from profilers._onnx import build_onnx
    from profilers._onnxruntime import OnnxRuntimeBackend, random_model
    from profilers._operators import (
        MOST_PIECES,
        MOST_SAMPLES,
        OPERATOR_GROUP,
        BatchNorm,
        Composite,
        Emitter,
        Operator,
        Parameter,
        Primitive,
        empty_mel_bands,
        expand,
        operator_kinds,
        operator_of,
        parts_of,
        primitive_of,
        register_operator,
        trained_graph,
        weight_name,
    )
    from profilers._operators import _make as ops
    from profilers._operators._base import NORM_EPSILON
    from profilers._operators._map_places import BOX_VALUES, place_boxes
    from profilers._plan import Network, network_label
    from profilers._profile import COLD_CACHES, REFERENCE_OP_MS, profile_ops
    from profilers._quantize import quantize_model, tensor_ranges
    from profilers._read._affine import norm_parameters
    from profilers._read._file import load_onnx
    from profilers._read._from_torch import from_torch
    from profilers._read._model import ModelWorkload, ReadModel
    from profilers._read._reader import read_onnx
    from profilers._read._whole import whole_model
    from profilers._references import (
        REFERENCE_TAILS,
        STATISTICS,
        NetworkTime,
        Reference,
        References,
        ReferenceTimer,
        SessionTimes,
        Speed,
        fixed_rounds,
        merge_slowness,
        merge_times,
        pooled_tails,
        session_times,
    )
    from profilers._remeasure import Remeasured, remeasure
    from profilers._remote._backend import SshBackend
    from profilers._remote._bundle import read_result, table_of_result, write_bundle
    from profilers._remote._greeting import clean_device
    from profilers._samples import Z90, SampleSet, relative_half_width
    from profilers._session import (
        BoundSession,
        ModelSession,
        full_provider_name,
        installed_providers,
        make_session,
        optimised_model,
        session_options,
    )
    from profilers._speed import AtOneSpeed, at_one_speed
    from profilers._timing import (
        REFERENCE_OP,
        Runnable,
        SamplingSettings,
        TextProgress,
        Timer,
        first_pass_name,
        second_pass_name,
    )
    from profilers._torch import GraphModule, RunningNorm, run_graph, run_outputs
    from profilers._weights import graph_parameters, initial_value, random_weights
    from profilers._workload import Workload

_MODULES = {
    "profilers._backend": ("Backend",),
    "profilers._costs": (
        "activation_bytes",
        "graph_macs",
        "graph_params",
        "op_work",
        "part_work",
        "peak_memory_bytes",
        "stored_bytes",
    ),
    "profilers._cuda": ("CudaBackend",),
    "profilers._energy": ("REFERENCE_OP_MJ", "EnergyCounter", "energy_mj"),
    "profilers._errors": (
        "ArenaTimeoutError",
        "DeviceMemoryError",
        "DeviceUnavailableError",
        "EnergyUnavailableError",
        "JournalError",
        "ModelFileError",
        "OperatorError",
        "ProfilerError",
        "UnsupportedGraphError",
    ),
    "profilers._executed": ("CONVOLUTION_FUSION", "ConvolutionFusion", "Fusion", "executed_graph", "fusion_of"),
    "profilers._explain._events": ("profile_nodes",),
    "profilers._explain._explain_model": ("explain_model",),
    "profilers._explain._explanation": ("REASONS", "Change", "ExplainedNode", "Explanation"),
    "profilers._explain._facts": ("block_channels",),
    "profilers._explain._file": ("fix_shapes",),
    "profilers._explain._promise": ("promised_gain",),
    "profilers._explain._values": ("draw_inputs",),
    "profilers._fingerprint": ("cpu_environment", "cpu_identity"),
    "profilers._fusion": ("fusion_differences",),
    "profilers._half": ("convolve",),
    "profilers._mixed": ("float_only", "graph_at", "int8_nodes", "mixed_graph", "quantised_nodes"),
    "profilers._networks": ("measure_beside", "measure_twice"),
    "profilers._onnx": ("build_onnx",),
    "profilers._onnxruntime": ("OnnxRuntimeBackend", "random_model"),
    "profilers._operators": (
        "MOST_PIECES",
        "MOST_SAMPLES",
        "OPERATOR_GROUP",
        "BatchNorm",
        "Composite",
        "Emitter",
        "Operator",
        "Parameter",
        "Primitive",
        "empty_mel_bands",
        "expand",
        "operator_kinds",
        "operator_of",
        "parts_of",
        "primitive_of",
        "register_operator",
        "trained_graph",
        "weight_name",
    ),
    "profilers._operators._base": ("NORM_EPSILON",),
    "profilers._operators._map_places": ("BOX_VALUES", "place_boxes"),
    "profilers._plan": ("Network", "network_label"),
    "profilers._profile": ("COLD_CACHES", "REFERENCE_OP_MS", "profile_ops"),
    "profilers._quantize": ("quantize_model", "tensor_ranges"),
    "profilers._read._affine": ("norm_parameters",),
    "profilers._read._file": ("load_onnx",),
    "profilers._read._from_torch": ("from_torch",),
    "profilers._read._model": ("ModelWorkload", "ReadModel"),
    "profilers._read._reader": ("read_onnx",),
    "profilers._read._whole": ("whole_model",),
    "profilers._references": (
        "REFERENCE_TAILS",
        "STATISTICS",
        "Z90",
        "NetworkTime",
        "Reference",
        "References",
        "ReferenceTimer",
        "SessionTimes",
        "Speed",
        "fixed_rounds",
        "merge_slowness",
        "merge_times",
        "pooled_tails",
        "session_times",
    ),
    "profilers._remeasure": ("Remeasured", "remeasure"),
    "profilers._remote._backend": ("SshBackend",),
    "profilers._remote._bundle": ("read_result", "table_of_result", "write_bundle"),
    "profilers._remote._greeting": ("clean_device",),
    "profilers._samples": ("Z90", "SampleSet", "relative_half_width"),
    "profilers._session": (
        "BoundSession",
        "ModelSession",
        "full_provider_name",
        "installed_providers",
        "make_session",
        "optimised_model",
        "session_options",
    ),
    "profilers._speed": ("AtOneSpeed", "at_one_speed"),
    "profilers._timing": (
        "REFERENCE_OP",
        "Runnable",
        "SamplingSettings",
        "TextProgress",
        "Timer",
        "first_pass_name",
        "second_pass_name",
    ),
    "profilers._torch": ("GraphModule", "RunningNorm", "run_graph", "run_outputs"),
    "profilers._weights": ("graph_parameters", "initial_value", "random_weights"),
    "profilers._workload": ("Workload",),
}
"""Public names by the module that defines them."""
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BOX_VALUES",
    "COLD_CACHES",
    "CONVOLUTION_FUSION",
    "MOST_PIECES",
    "MOST_SAMPLES",
    "NORM_EPSILON",
    "OPERATOR_GROUP",
    "REASONS",
    "REFERENCE_OP",
    "REFERENCE_OP_MJ",
    "REFERENCE_OP_MS",
    "REFERENCE_TAILS",
    "STATISTICS",
    "Z90",
    "ArenaTimeoutError",
    "AtOneSpeed",
    "Backend",
    "BatchNorm",
    "BoundSession",
    "Change",
    "Composite",
    "ConvolutionFusion",
    "CudaBackend",
    "DeviceMemoryError",
    "DeviceUnavailableError",
    "Emitter",
    "EnergyCounter",
    "EnergyUnavailableError",
    "ExplainedNode",
    "Explanation",
    "Fusion",
    "GraphModule",
    "JournalError",
    "ModelFileError",
    "ModelSession",
    "ModelWorkload",
    "Network",
    "NetworkTime",
    "OnnxRuntimeBackend",
    "Operator",
    "OperatorError",
    "Parameter",
    "Primitive",
    "ProfilerError",
    "ReadModel",
    "Reference",
    "ReferenceTimer",
    "References",
    "Remeasured",
    "Runnable",
    "RunningNorm",
    "SampleSet",
    "SamplingSettings",
    "SessionTimes",
    "Speed",
    "SshBackend",
    "TextProgress",
    "Timer",
    "UnsupportedGraphError",
    "Workload",
    "activation_bytes",
    "at_one_speed",
    "block_channels",
    "build_onnx",
    "clean_device",
    "convolve",
    "cores",
    "cpu_environment",
    "cpu_identity",
    "draw_inputs",
    "empty_mel_bands",
    "energy_mj",
    "executed_graph",
    "expand",
    "explain_model",
    "first_pass_name",
    "fix_shapes",
    "fixed_rounds",
    "float_only",
    "from_torch",
    "full_provider_name",
    "fusion_differences",
    "fusion_of",
    "graph_at",
    "graph_macs",
    "graph_parameters",
    "graph_params",
    "initial_value",
    "installed_providers",
    "int8_nodes",
    "load_onnx",
    "make_session",
    "measure_beside",
    "measure_twice",
    "merge_slowness",
    "merge_times",
    "mixed_graph",
    "network_label",
    "norm_parameters",
    "op_work",
    "operator_kinds",
    "operator_of",
    "ops",
    "optimised_model",
    "part_work",
    "parts_of",
    "peak_memory_bytes",
    "place_boxes",
    "pooled_tails",
    "primitive_of",
    "profile_nodes",
    "profile_ops",
    "promised_gain",
    "quantised_nodes",
    "quantize_model",
    "random_model",
    "random_weights",
    "read_onnx",
    "read_result",
    "register_operator",
    "relative_half_width",
    "remeasure",
    "run_graph",
    "run_outputs",
    "second_pass_name",
    "session_options",
    "session_times",
    "stored_bytes",
    "table_of_result",
    "tensor_ranges",
    "trained_graph",
    "usable_cores",
    "weight_name",
    "whole_model",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "ops":
        value: Any = import_module("profilers._operators._make")
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'profilers' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
