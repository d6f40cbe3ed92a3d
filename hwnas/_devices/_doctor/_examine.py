"""All probes, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from hwnas._devices._doctor import _processor, _surroundings
from hwnas._devices._doctor._machine import Finding, Machine

Probe = Callable[[Machine], list[Finding]]
_LINUX: tuple[Probe, ...] = (
    _processor.governor,
    _processor.turbo,
    _processor.quota,
    _processor.siblings,
    _processor.clock_source,
    _processor.virtual_machine,
    _surroundings.memory,
    _surroundings.power,
)
_EVERYWHERE: tuple[Probe, ...] = (
    _processor.neighbours,
    _processor.affinity,
    _surroundings.thread_limits,
    _surroundings.thread_pinning,
    _surroundings.packages,
    _surroundings.providers,
    _surroundings.cuda,
    _surroundings.repeatability,
)


def examine(machine: Machine | None = None) -> list[Finding]:
    """Run all probes; those that read Linux files are left out on other systems."""
    examined = machine or Machine()
    findings = [finding for probe in _LINUX for finding in probe(examined)] if examined.system == "Linux" else []
    if not findings:
        text = f"{examined.system} does not report governor, turbo, quota, hyper-threads, clock, swap and heat"
        findings = [Finding("system", "unknown", text, "turn off energy saving in its settings")]
    return findings + [finding for probe in _EVERYWHERE for finding in probe(examined)]
