"""Average precision: values known by hand, and pycocotools' own where it is installed."""

import contextlib
import io

import numpy as np
import pytest

from hwnas.tasks._detection._scorer import BoxScorer

BOX, OTHER = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]


def scored(detections, targets, classes=1):
    scorer = BoxScorer(classes)
    scorer.add([np.asarray(detections, dtype=np.float32)], np.asarray(targets, dtype=np.float32))
    return scorer.value(), scorer.others()["ap"]


def test_values_by_hand():
    target = [[[*BOX, 0, 0], [*OTHER, 0, 0]]]
    assert scored([[[*BOX, 0.9, 0], [*OTHER, 0.8, 0]]], target) == pytest.approx((1.0, 1.0))
    assert scored([[[*BOX, 0.9, 0]]], target)[0] == pytest.approx(51 / 101)  # recalls 0 to .50
    wrong_first = [[[0.7, 0.1, 0.8, 0.2, 0.95, 0], [*BOX, 0.9, 0]]]
    assert scored(wrong_first, target)[0] == pytest.approx(51 / 101 / 2)
    assert scored(np.zeros((1, 3, 6)), target) == (0.0, 0.0)
    twice = [[[*BOX, 0.9, 0], [*BOX, 0.8, 0], [*OTHER, 0.7, 0]]]
    assert scored(twice, target)[0] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_crowd_counts_neither_way():
    target = [[[*BOX, 0, 0], [0.5, 0.5, 1, 1, 1, 0]]]
    rows = [[[0.6, 0.6, 0.7, 0.7, 0.95, 0], [*BOX, 0.9, 0]]]
    assert scored(rows, target) == pytest.approx((1.0, 1.0))


def test_classes_without_boxes_do_not_count():
    target = [[[*BOX, 0, 1], [0, 0, 0, 0, 0, -1]]]
    assert scored([[[*BOX, 0.9, 1], [0.2, 0.2, 0.3, 0.3, 0.8, 0]]], target, 3) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(("better", "value"), [(99, 1 / 100), (100, 0.0)])
def test_a_hundred_detections_of_a_class_in_an_image_count(better, value):
    target = [[[*BOX, 0, 0]]]
    rows = [[[0.7, 0.7, 0.8, 0.8, 0.9 - place / 1e3, 0] for place in range(better)] + [[*BOX, 0.1, 0]]]
    assert scored(rows, target)[0] == pytest.approx(value, abs=1e-6)


def drawn(rng, images, classes):
    """Draw boxes with crowds, and detections near them with equal scores among them."""
    targets = np.zeros((images, 8, 6))
    targets[:, :, 5] = -1
    rows = np.zeros((images, 40, 6))
    for i in range(images):
        count = int(rng.integers(0, 9))
        low = rng.random((count, 2)) * 0.7
        targets[i, :count, :4] = np.concatenate([low, low + 0.05 + 0.25 * rng.random((count, 2))], 1)
        targets[i, :count, 4] = rng.random(count) < 0.2
        targets[i, :count, 5] = rng.integers(0, classes, count)
        for d in range(int(rng.integers(0, 41))):
            if count and rng.random() < 0.7:
                source = targets[i, int(rng.integers(count))]
                rows[i, d, :4], rows[i, d, 5] = source[:4] + rng.normal(0, 0.02, 4), source[5]
            else:
                corner = rng.random(2) * 0.8
                rows[i, d, :4], rows[i, d, 5] = [*corner, *(corner + 0.1)], rng.integers(classes)
            rows[i, d, 4] = rng.integers(1, 30) / 30
    rows[..., 2:4] = np.maximum(rows[..., 2:4], rows[..., :2] + 1e-3)
    return rows.astype(np.float32), targets.astype(np.float32)


def corner_and_extent(box):
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def by_pycocotools(rows, targets, classes):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    annotations = [
        {"image_id": i, "category_id": int(b[5]), "bbox": corner_and_extent(b[:4]), "iscrowd": int(b[4])}
        for i, boxes in enumerate(targets)
        for b in boxes
        if b[5] >= 0
    ]
    for number, item in enumerate(annotations, 1):
        item |= {"id": number, "area": item["bbox"][2] * item["bbox"][3]}
    found = [
        {"image_id": i, "category_id": int(r[5]), "bbox": corner_and_extent(r[:4]), "score": float(r[4])}
        for i, image in enumerate(rows)
        for r in image
        if r[4] > 0
    ]
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(len(rows))],
        "categories": [{"id": c} for c in range(classes)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[1], evaluation.stats[0]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_pycocotools_computes(seed):
    rng, classes = np.random.default_rng(seed), 3
    rows, targets = drawn(rng, 12, classes)
    scorer = BoxScorer(classes)
    for start in range(0, 12, 5):
        scorer.add([rows[start : start + 5]], targets[start : start + 5])
    expected = by_pycocotools(rows, targets, classes)
    assert (scorer.value(), scorer.others()["ap"]) == pytest.approx(expected, abs=1e-9)
    assert 0.05 < scorer.value() < 0.95
