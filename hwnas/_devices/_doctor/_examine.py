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
    """Everything that is worth knowing before something is measured; the probes of Linux are left out elsewhere."""
    looked_at = machine or Machine()
    found = [finding for probe in _LINUX for finding in probe(looked_at)] if looked_at.system == "Linux" else []
    if not found:
        text = f"{looked_at.system} does not tell of governor, turbo, quota, siblings, clock, swap and heat"
        found = [Finding("system", "unknown", text, "turn energy saving off in its settings")]
    return found + [finding for probe in _EVERYWHERE for finding in probe(looked_at)]
