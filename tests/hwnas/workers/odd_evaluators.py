"""An evaluator that does on some architectures what evaluators do at their worst."""

import hashlib
import os
import signal
import sys
import time

import numpy as np

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.evaluators import Evaluation, Evaluator

ODD = {
    "float": 0.5,
    "None": None,
    "text": Evaluation("high"),
    "nothing": Evaluation(None),
    "bool": Evaluation(True),
    "NaN": Evaluation(float("nan")),
    "inf": Evaluation(np.float32("inf")),
    "array": Evaluation(np.array([0.5])),
    "huge": Evaluation(10**400),
    "NaN in extra_columns": Evaluation(0.5, extra_columns={"loss": float("nan")}),
    "number in extra_columns": Evaluation(0.5, extra_columns={1: 2.0}),
    "seconds": Evaluation(0.5, seconds="long"),
}


class Moody(Evaluator):
    """Values are hashes of the architectures, unless a mood says otherwise.

    Args:
        space: formats them.
        folder: remembers who has died already.
        moods: by the text of an architecture.
    """

    name = "moody"

    def __init__(self, space, folder, moods=None):
        self.space, self.folder, self.moods = space, folder, dict(moods or {})
        self.offset = None

    @property
    def settings(self):
        return {"evaluator": self.name}

    def prepare(self, workdir, progress=None):
        self.offset = 1.0

    def state(self):
        return {"offset": np.array([self.offset])}

    def restore(self, state, workdir):
        self.offset = float(state["offset"][0])

    def evaluate(self, arch):
        text = self.space.format(arch)
        mood = self.moods.get(text, "")
        if mood == "dies" or (mood == "dies once" and self._first(text)):
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "none":
            raise NoValueError("there is no accuracy for this one")
        if mood == "breaks" or (mood == "breaks once" and self._first(text)):
            raise ZeroDivisionError("a bug")
        if mood == "refuses":
            raise EvaluatorError("its checkpoint is damaged")
        if mood == "exits":
            sys.exit(0)
        if mood == "stops":
            next(iter(()))
        if mood == "hangs":
            time.sleep(60)
        if mood in ODD:
            return ODD[mood]
        if mood == "slow":
            time.sleep(0.5)
        value = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
        return Evaluation(value + self.offset, 0.0, {"process": float(os.getpid())})

    def _first(self, text):
        try:
            (self.folder / hashlib.sha256(text.encode()).hexdigest()).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
