"""Explaining a model: what every node of an ONNX file costs in its network, measured on the device."""
