"""Checkpoints are what was written, or they are refused; warnings where accuracies disagree."""

import json

import numpy as np
import pytest
import torch

from hwnas._errors import EvaluatorError
from hwnas._runs._agreement import doubt
from hwnas.evaluators._rungs import Rungs
from hwnas.tasks import DEFAULT_METRIC, Metric
from hwnas.training._checkpoint import content_digest, load_checkpoint, save_checkpoint

STATE = {
    "epoch": 3,
    "model": {"w": torch.arange(3e3), "b": torch.ones(5, dtype=torch.bfloat16)},
    "rate": [0.1, None],
}


@pytest.fixture
def file(tmp_path):
    save_checkpoint(tmp_path / "net.pt", {"seed": 0}, STATE)
    return tmp_path / "net.pt"


def test_a_checkpoint_is_read_back_and_torch_reads_it_safely(file):
    assert content_digest(load_checkpoint(file, {"seed": 0})) == content_digest(STATE)
    assert torch.load(file, weights_only=True)["identity"] == {"seed": 0}


def test_one_without_a_hash_of_an_earlier_version_is_read(tmp_path):
    torch.save({"format": 1, "identity": {"seed": 0}, "state": STATE}, tmp_path / "old.pt")
    assert content_digest(load_checkpoint(tmp_path / "old.pt", {"seed": 0})) == content_digest(STATE)


def test_a_flipped_bit_never_goes_unnoticed(file):
    data, found = file.read_bytes(), 0
    for place in np.random.default_rng(0).integers(len(data), size=200).tolist():
        changed = bytearray(data)
        changed[place] ^= 0x40
        file.write_bytes(changed)
        try:
            state = load_checkpoint(file, {"seed": 0})
        except EvaluatorError as error:
            found += "remove it to train again" in str(error)
        else:  # padding of the archive
            assert content_digest(state) == content_digest(STATE)
    assert found > 100
    changed = bytearray(data)
    changed[data.find(np.float32(1234).tobytes())] ^= 0x40
    file.write_bytes(changed)
    with pytest.raises(EvaluatorError, match="damaged; remove it to train again"):
        load_checkpoint(file, {"seed": 0})


def test_a_hash_cannot_be_left_out(file):
    stored = torch.load(file, weights_only=True)
    del stored["sha256"]
    torch.save(stored, file)
    with pytest.raises(EvaluatorError, match="damaged"):
        load_checkpoint(file, {"seed": 0})


def test_rungs_refuse_a_changed_accuracy_and_read_those_without_hashes(tmp_path):
    path = tmp_path / "rungs.jsonl"
    Rungs(path, 4, 2, {"seed": 0}, DEFAULT_METRIC).decide("a", 1, 0.5)
    text = path.read_text()
    path.write_text(text.replace("0.5", "0.6"))
    with pytest.raises(EvaluatorError, match="damaged"):
        Rungs(path, 4, 2, {"seed": 0}, DEFAULT_METRIC)
    old = [json.loads(line) for line in text.splitlines()]
    for record in old:
        del record["content_hash"]
    path.write_text("".join(json.dumps(record) + "\n" for record in old))
    rungs = Rungs(path, 4, 2, {"seed": 0}, DEFAULT_METRIC)
    assert rungs.known("a", 1) is True
    rungs.decide("b", 1, 0.7)
    assert Rungs(path, 4, 2, {"seed": 0}, DEFAULT_METRIC).known("b", 1) is True


def test_chance_is_no_warning():
    rng = np.random.default_rng(0)
    for _ in range(300):
        truth, validation, test, trials = rng.uniform(0.3, 1.0), 200, 400, 50
        searched = rng.binomial(validation, truth, size=trials).max() / validation
        assert doubt("t1", DEFAULT_METRIC, searched, rng.binomial(test, truth) / test, validation, test, trials) is None


def test_damaged_weights_are_a_warning():
    line = doubt("t0012", DEFAULT_METRIC, 0.92, 0.10, 200, 400, 50)
    assert line.startswith("t0012: test accuracy 10.00%, but 92.00% in the search; chance explains")
    assert doubt("t1", DEFAULT_METRIC, 0.3, 0.9, 200, 400, 50) is not None
    assert doubt("t1", DEFAULT_METRIC, 0.9, 0.1, 0, 400, 50) is None
    assert doubt("t1", Metric("mse", "min"), 0.9, 0.1, 200, 400, 50) is None  # nobody knows what chance explains
