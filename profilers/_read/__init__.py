"""The reader of ONNX files: from a file that nobody vouches for to an op graph with weights.

`_file` brings the file into memory within limits, `_infer` finds the shape of every tensor and computes what is
constant, `_translate` writes the nodes as ops by the rules in the modules ``_rules_*``, `_generic_nodes` writes what no
rule knows as generic ops.
"""
