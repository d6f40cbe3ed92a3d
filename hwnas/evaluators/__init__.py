"""Evaluators: what turns an architecture into an accuracy."""

from __future__ import annotations

from hwnas.evaluators._benchmark import BenchmarkTable

__all__ = ["BenchmarkTable"]
