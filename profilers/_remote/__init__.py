"""Devices elsewhere: reached through ssh, or by hand with a bundle.

`_bootstrap`, `_protocol`, `_store`, `_runner`, `_requests` and `_job` run on the device, packed into one file with the
modules that they need (`_archive`); they keep to Python 3.9 and import onnxruntime, numpy and psutil alone. The others
run here.
"""
