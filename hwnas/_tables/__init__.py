"""Latency tables: build, find, fit, validate, verify, and carry to a device and back."""
