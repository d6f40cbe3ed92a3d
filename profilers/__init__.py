"""Profilers: what an operator is, and what it costs on a real device.

Heavy libraries load on first use: `build_onnx` brings onnx, `GraphModule` and `run_graph` bring torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profilers._backend import Backend
from profilers._costs import activation_bytes, graph_macs, graph_params, op_work, part_work, peak_memory_bytes
from profilers._energy import EnergyCounter, energy_mj
from profilers._errors import (
    DeviceUnavailableError,
    EnergyUnavailableError,
    JournalError,
    OperatorError,
    ProfilerError,
    UnsupportedGraphError,
)
from profilers._executed import CONVOLUTION_FUSION, ConvolutionFusion, Fusion, executed_graph, fusion_of
from profilers._fingerprint import cpu_environment, cpu_identity, usable_cores
from profilers._fusion import fusion_differences
from profilers._networks import measure_twice
from profilers._onnxruntime import OnnxRuntimeBackend, random_model
from profilers._operators import Parameter, expand, operator_kinds, operator_of, parts_of, primitive_of
from profilers._operators import _make as ops
from profilers._plan import Network
from profilers._profile import CALIBRATION_MS, COLD_CACHES, profile_ops
from profilers._remeasure import Remeasured, remeasure
from profilers._samples import SampleSet, relative_half_width
from profilers._sampling import Runnable, Sampler, SamplingSettings
from profilers._session import BoundSession, installed_providers, make_session
from profilers._speed import Steady, at_one_speed
from profilers._weights import graph_parameters, initial_value, random_weights
from profilers._workload import Workload

if TYPE_CHECKING:
    from profilers._onnx import build_onnx
    from profilers._quantize import quantize_model, tensor_ranges
    from profilers._remote._backend import SshBackend
    from profilers._remote._bundle import read_result, table_of_result, write_bundle
    from profilers._remote._greeting import clean_device
    from profilers._torch import GraphModule, RunningNorm, run_graph

_LAZY = {
    "GraphModule": "profilers._torch",
    "RunningNorm": "profilers._torch",
    "SshBackend": "profilers._remote._backend",
    "build_onnx": "profilers._onnx",
    "clean_device": "profilers._remote._greeting",
    "quantize_model": "profilers._quantize",
    "read_result": "profilers._remote._bundle",
    "run_graph": "profilers._torch",
    "table_of_result": "profilers._remote._bundle",
    "tensor_ranges": "profilers._quantize",
    "write_bundle": "profilers._remote._bundle",
}

__all__ = [
    "CALIBRATION_MS",
    "COLD_CACHES",
    "CONVOLUTION_FUSION",
    "Backend",
    "BoundSession",
    "ConvolutionFusion",
    "DeviceUnavailableError",
    "EnergyCounter",
    "EnergyUnavailableError",
    "Fusion",
    "GraphModule",
    "JournalError",
    "Network",
    "OnnxRuntimeBackend",
    "OperatorError",
    "Parameter",
    "ProfilerError",
    "Remeasured",
    "Runnable",
    "RunningNorm",
    "SampleSet",
    "Sampler",
    "SamplingSettings",
    "SshBackend",
    "Steady",
    "UnsupportedGraphError",
    "Workload",
    "activation_bytes",
    "at_one_speed",
    "build_onnx",
    "clean_device",
    "cpu_environment",
    "cpu_identity",
    "energy_mj",
    "executed_graph",
    "expand",
    "fusion_differences",
    "fusion_of",
    "graph_macs",
    "graph_parameters",
    "graph_params",
    "initial_value",
    "installed_providers",
    "make_session",
    "measure_twice",
    "op_work",
    "operator_kinds",
    "operator_of",
    "ops",
    "part_work",
    "parts_of",
    "peak_memory_bytes",
    "primitive_of",
    "profile_ops",
    "quantize_model",
    "random_model",
    "random_weights",
    "read_result",
    "relative_half_width",
    "remeasure",
    "run_graph",
    "table_of_result",
    "tensor_ranges",
    "usable_cores",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'profilers' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
