"""Latency tables and what belongs to them: find and build them, their space and device, and fits to whole networks."""

from hwnas._costs._draw import draw_networks
from hwnas._tables._build import build_table, find_table
from hwnas._tables._fit import DEAD_CODE, fit_model, left_out_ms, twins
from hwnas._tables._fit_networks import Networks, describe
from hwnas._tables._references import references_of
from hwnas._tables._validate import backend_of, space_of
from hwnas._tables._verify import verify_table
from hwnas._tables._verify_result import Check, Verified

__all__ = [
    "DEAD_CODE",
    "Check",
    "Networks",
    "Verified",
    "backend_of",
    "build_table",
    "describe",
    "draw_networks",
    "find_table",
    "fit_model",
    "left_out_ms",
    "references_of",
    "space_of",
    "twins",
    "verify_table",
]
