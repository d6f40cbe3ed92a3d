"""The contract of the back ends that this machine can make."""

import pytest
from simulated_device import AdditiveBackend

from hwnas.testing import check_backend
from profilers import OnnxRuntimeBackend

BACKENDS = {
    "onnxruntime": OnnxRuntimeBackend,
    "onnxruntime, batches": lambda: OnnxRuntimeBackend(batch=4, image_channels=1),
    "onnxruntime, int8": lambda: OnnxRuntimeBackend(precision="int8"),
    "simulated": AdditiveBackend,
    "simulated, with a cache": lambda: AdditiveBackend(fast_cache_bytes=1000),
}
"""Another back end joins with one line."""


@pytest.mark.parametrize("name", BACKENDS)
def test_contract(name):
    check_backend(BACKENDS[name]())
