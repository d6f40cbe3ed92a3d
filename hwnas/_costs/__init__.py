"""Costs that are known before an architecture is evaluated: latency, MACs, parameters, memory."""
