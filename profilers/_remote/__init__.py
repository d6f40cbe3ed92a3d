"""Remote devices: reached through ssh, or by carrying a bundle to them.

`_bootstrap`, `_protocol`, `_store`, `_runner`, `_requests` and `_bundled_profile` run on the device, packed into one
file with the modules that they need (`_archive`). They keep to Python 3.9 and import no library but onnxruntime, numpy
and psutil. The other modules run on this machine.
"""
