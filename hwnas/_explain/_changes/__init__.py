"""What would change a network's latency, measured beside the unchanged network; another change is one line in `MAKERS`.

Changes are made in the ONNX file itself. They are meant for measuring: whether a changed network is still accurate is
for training and testing to say.
"""

from hwnas._explain._changes._measure import with_changes

__all__ = ["with_changes"]
