"""Event files, read by TensorBoard."""

import io

import pytest
from cells import arguments, search
from PIL import Image
from tracked_toys import STATUS, record, watched
from tracker_readers import LIBRARIES, TensorBoard, needs

from hwnas._cli import main
from hwnas._trackers._tensorboard import TensorBoardTracker

pytestmark = [needs("tensorboard"), *(pytest.mark.filterwarnings(text) for text in LIBRARIES)]


def accumulated(out):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"tensors": 0, "images": 0})
    events.Reload()
    return events


def logged(tmp_path, *records):
    """The tags of some trials, and their points."""
    search_ = watched(tmp_path / "run")
    tracker = TensorBoardTracker()
    tracker.begin(search_)
    for each in records:
        search_.records.append(each)
        tracker.trial(each, lambda: STATUS)
    tracker.end(False)
    return {
        tag: TensorBoard(None, tmp_path / "run").points(tag) for tag in accumulated(tmp_path / "run").Tags()["tensors"]
    }


def test_the_curves_of_a_search(csv, tmp_path):
    out = search(csv, tmp_path / "run", "--track", "tensorboard", samples=12)
    tool = TensorBoard(None, out)
    best, volumes = tool.points("search/best_accuracy"), tool.points("search/hypervolume")
    accuracies = [value for _, value in tool.points("objectives/accuracy")]
    assert [value for _, value in best] == [max(accuracies[: i + 1]) for i in range(12)]
    assert [value for _, value in volumes] == sorted(value for _, value in volumes)
    assert len(volumes) == 12


def test_the_front_is_a_picture_at_the_end(csv, tmp_path):
    pytest.importorskip("matplotlib", reason="there are no pictures without matplotlib")
    out = search(csv, tmp_path / "run", "--track", "tensorboard", samples=12, report=True)
    (event,) = accumulated(out).Images("front")
    assert (event.step, event.encoded_image_string) == (11, (out / "front.png").read_bytes())
    assert Image.open(io.BytesIO(event.encoded_image_string)).size == (event.width, event.height)


def test_architectures_and_failures_are_text_and_low_fidelity_has_its_own_group(tmp_path):
    points = logged(
        tmp_path,
        record(0, arch="a`<b>\x1b"),
        record(1, values={}, failed="diverged", seconds=None),
        record(2, low_fidelity=True),
        record(3, extra_columns={"epochs": 3.0}, costs={"macs": 7.0}),
    )
    assert points["trial/arch"][0][1].decode() == "`a'<b>\\x1b`"
    assert [(step, value.decode()) for step, value in points["trial/why_it_failed"]] == [(1, "`diverged`")]
    assert points["trial/failed"] == [(0, 0.0), (1, 1.0), (2, 0.0), (3, 0.0)]
    assert [step for step, _ in points["objectives/accuracy"]] == [0, 3]
    assert [step for step, _ in points["low_fidelity/accuracy"]] == [2]
    assert (points["costs/epochs"], points["costs/macs"]) == ([(3, 3.0)], [(3, 7.0)])


def test_a_torn_last_event_is_logged_again(csv, tmp_path):
    out = search(csv, tmp_path / "run", "--track", "tensorboard", samples=12)
    (file,) = (out / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    search(csv, out, "--track", "tensorboard", samples=13)
    assert [step for step, _ in TensorBoard(None, out).points("trial/failed")] == list(range(13))


def test_a_folder_that_leads_elsewhere_is_not_written_to(csv, tmp_path, capsys):
    out = search(csv, tmp_path / "run", samples=11)
    (tmp_path / "other").mkdir()
    (out / "tensorboard").symlink_to(tmp_path / "other")
    assert main(arguments(csv, out, "--track", "tensorboard", samples=12)) == 2
    assert "lies outside the run" in capsys.readouterr().err
    assert list((tmp_path / "other").iterdir()) == []
