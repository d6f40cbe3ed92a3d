"""Readers of images with boxes: COCO's files, Pascal VOC's folders, and one line for each that is damaged."""

import json
import re

import numpy as np
import pytest
from boxes import write_coco, write_voc
from PIL import Image

from hwnas._errors import DataError
from hwnas.data import holds_boxes, load_boxes
from hwnas.tasks import usual_task


def changed(root, change, part="train"):
    path = root / f"{part}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return root


def test_coco_files_are_read(tmp_path):
    root = write_coco(tmp_path, size=64)
    data = load_boxes(str(root))
    assert (data.classes, data.size, data.channels, data.notes) == (("red", "blue"), 64, 3, ())
    assert [len(part) for part in (data.train, data.validation, data.test)] == [24, 8, 8]
    content = json.loads((root / "train.json").read_text())
    for image in range(24):
        own = [a for a in content["annotations"] if a["image_id"] == image]
        here = data.train.boxes_of(image)
        expected = np.array([a["bbox"] for a in own], dtype=float).reshape(-1, 4)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_allclose(data.train.boxes[here] * 64, expected, atol=1e-4)
        assert data.train.labels[here].tolist() == [a["category_id"] - 1 for a in own]
    assert usual_task(str(root)) == "detection"


def test_the_layouts_that_coco_and_others_use(tmp_path):
    root = write_coco(tmp_path / "a", (("train", 6), ("val", 4)))
    expected = load_boxes(str(root))
    other = tmp_path / "b"
    (other / "annotations").mkdir(parents=True)
    for part in ("train", "val"):
        (root / part).rename(other / f"{part}2017")
        (root / f"{part}.json").rename(other / "annotations" / f"instances_{part}2017.json")
    assert load_boxes(str(other)).fingerprint == expected.fingerprint
    for part in ("train", "val"):
        (other / "annotations" / f"instances_{part}2017.json").rename(other / f"{part}2017" / "_annotations.coco.json")
        (other / f"{part}2017").rename(other / part)
    assert load_boxes(str(other)).fingerprint == expected.fingerprint
    assert len(expected.test) == 1


def test_voc_folders_are_read_and_split(tmp_path):
    root = write_voc(tmp_path / "VOC2007")
    data = load_boxes(str(tmp_path), seed=1)
    assert data.classes == ("blue", "red")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 2, 2]
    (root / "ImageSets" / "Main" / "train.txt").write_text("000\n001 1\n002 -1\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("003\n004\n")
    (root / "ImageSets" / "Main" / "test.txt").write_text("005\n")
    data = load_boxes(str(root))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [3, 2, 1]
    assert holds_boxes(str(root))


def test_images_are_stretched_with_their_boxes(tmp_path):
    root = write_coco(tmp_path, (("train", 6), ("val", 2), ("test", 2)), size=64)
    picture = np.zeros((40, 120, 3), dtype=np.uint8)
    picture[10:30, 30:90] = 255
    Image.fromarray(picture).save(root / "train" / "000.png")

    def wide(content):
        content["images"][0] |= {"width": 120, "height": 40}
        content["annotations"] = [a for a in content["annotations"] if a["image_id"]]
        content["annotations"].append({"image_id": 0, "category_id": 1, "bbox": [30, 10, 60, 20]})

    changed(root, wide)
    assert load_boxes(str(root)).size == 224
    part = load_boxes(str(root), image_size=96).train
    (box,) = part.boxes[part.boxes_of(0)]
    np.testing.assert_allclose(box, [0.25, 0.25, 0.75, 0.75])
    assert part.images[0][:, 48, 30:66].min() > 200
    assert part.images[0][:, 48, :20].max() < 50


def test_what_is_left_out_is_said(tmp_path):
    def dirty(content):
        first = content["images"][0]["id"]
        content["annotations"] += [
            {"image_id": first, "category_id": 1, "bbox": [3, 3, 0, 5]},
            {"image_id": first, "category_id": 1, "bbox": [50, 50, 30, 10]},
            {"image_id": first, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 1},
        ]
        content["categories"].append({"id": 9, "name": "green"})

    data = load_boxes(str(changed(write_coco(tmp_path), dirty)))
    assert data.notes == (
        "boxes cut at the edge of their image: 1",
        "classes without boxes, left out: 1",
        "empty boxes (no width or height), left out: 1",
    )
    assert data.classes == ("red", "blue")
    assert data.train.crowd.sum() == 1
    assert data.train.boxes.max() <= 1


CHANGES = {
    "the image .*000.png is missing; add it or remove its entry": lambda c: c["images"][0].update(
        file_name="no/000.png"
    ),
    "must be a path inside": lambda c: c["images"][0].update(file_name="../val/000.png"),
    "lies outside its image of 64x64 pixels": lambda c: c["annotations"][0].update(bbox=[70, 0, 5, 5]),
    r"annotations\[0\]: unknown category 7; known: 1, 2": lambda c: c["annotations"][0].update(category_id=7),
    r"annotations\[0\]: bbox must be \[x, y, width, height\]": lambda c: c["annotations"][0].update(bbox=[1, 2, 3]),
    "image_id 99 is not one of the images": lambda c: c["annotations"][0].update(image_id=99),
    "the list 'annotations' is missing": lambda c: c.pop("annotations"),
    "has 64x64 pixels, but its boxes are stated for 640x64": lambda c: c["images"][0].update(width=640),
    r"images\[1\]: the image id 0 is used twice; give each image its own id": lambda c: c["images"][1].update(id=0),
    "no boxes; detection needs images with boxes": lambda c: c["annotations"].clear(),
    "category_id must be a whole number, got 1.5": lambda c: c["annotations"][0].update(category_id=1.5),
}


@pytest.mark.parametrize("why", CHANGES)
def test_damaged_coco_files_are_one_line(tmp_path, why):
    root = changed(write_coco(tmp_path, (("train", 6),)), CHANGES[why])
    with pytest.raises(DataError, match=why) as caught:
        load_boxes(str(root))
    assert "\n" not in str(caught.value)


def test_images_keep_their_size_where_the_file_does_not_state_it(tmp_path):
    root = write_coco(tmp_path, size=64)

    def unstated(content):
        for image in content["images"][::2]:
            del image["width"], image["height"]

    for part in ("train", "val", "test"):
        changed(root, unstated, part)
    assert load_boxes(str(root)).size == 64
    Image.new("RGB", (64, 60)).save(root / "train" / "000.png")
    assert load_boxes(str(root)).size == 224


def test_boxes_of_files_without_sizes_lie_in_their_images(tmp_path):
    root = write_coco(tmp_path, size=64)

    def outside(content):
        del content["images"][0]["width"]
        content["annotations"].append({"image_id": 0, "category_id": 1, "bbox": [500, 500, 9, 9]})

    with pytest.raises(
        DataError, match=r"000\.png: the box from \(500, 500\) to \(509, 509\) lies outside its 64x64 pixels"
    ):
        load_boxes(str(changed(root, outside)))


def test_parts_share_no_image_and_can_be_judged(tmp_path):
    root = write_coco(tmp_path / "a", (("train", 6), ("val", 4)))
    (root / "val.json").write_text((root / "train.json").read_text())
    for image in (root / "train").iterdir():
        (root / "val" / image.name).unlink(missing_ok=True)
        (root / "val" / image.name).symlink_to(image)
    with pytest.raises(DataError, match=r"val\.json: the image '000\.png' is in train\.json too"):
        load_boxes(str(root))
    root = write_coco(tmp_path / "b", (("train", 6), ("val", 4)))
    with pytest.raises(DataError, match="no image of its validation part has a box"):
        load_boxes(str(changed(root, lambda content: content["annotations"].clear(), "val")))

    def only(category):
        def change(content):
            content["annotations"] = [a for a in content["annotations"] if a["category_id"] == category]
            assert content["annotations"]

        return change

    root = write_coco(tmp_path / "c", (("train", 6), ("val", 4)))
    with pytest.raises(DataError, match="'blue' has boxes in the validation part and none in the train part"):
        load_boxes(str(changed(root, only(1))))


@pytest.mark.parametrize("seed", range(4))
def test_a_class_that_a_split_or_a_limit_leaves_out_of_the_train_part_is_no_error(tmp_path, seed):
    root = write_coco(tmp_path, (("train", 12),))

    def rare(content):
        first = next(a for a in content["annotations"] if a["category_id"] == 2)
        content["annotations"] = [
            {"image_id": image["id"], "category_id": 1, "bbox": [4, 4, 8, 8]} for image in content["images"]
        ] + [first]

    data = load_boxes(str(changed(root, rare)), seed=seed, limit=10)
    assert data.classes == ("red", "blue")
    told = "no box of the train part is of blue: no network can learn that" in data.notes
    held = [part for part in (data.validation, data.test) if 1 in part.labels.tolist()]
    assert told == bool(held and 1 not in data.train.labels.tolist())


def test_corners_of_voc_count_pixels_from_one(tmp_path):
    root = write_voc(tmp_path)
    xml = root / "Annotations" / "000.xml"
    before = load_boxes(str(tmp_path))
    text = xml.read_text()
    assert "<xmin>" in text
    first = float(text.partition("<xmin>")[2].partition("<")[0])
    everything = np.concatenate([part.boxes[:, 0] for part in (before.train, before.validation, before.test)])
    assert np.isclose(everything * before.size, first - 1, atol=1e-3).any()


@pytest.mark.parametrize("name", ["x" * 300, "\0"])
def test_names_that_are_no_folders_hold_no_boxes(name):
    assert not holds_boxes(name)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", r"train.json: is damaged JSON \(line 1"),
        (b"[" * 50_000, "damaged JSON"),
        (b"[]", "must be an object with images"),
        (bytes([255, 254, 253]), "train.json: is not UTF-8 text"),
    ],
)
def test_json_that_is_none(tmp_path, content, why):
    root = write_coco(tmp_path, (("train", 6),))
    (root / "train.json").write_bytes(content)
    with pytest.raises(DataError, match=why):
        load_boxes(str(root))


def test_damaged_voc_files_are_one_line(tmp_path):
    root = write_voc(tmp_path)
    good = (root / "Annotations" / "003.xml").read_text()
    for text, why in (
        (good[:40], "003.xml: is damaged XML"),
        (f"<!DOCTYPE x [<!ENTITY a 'b'>]>{good}", "declares a document type"),
        (good.replace("<xmin>", "<xmin>a"), "003.xml: bndbox/xmin must be a finite number, got a"),
        (re.sub("<xmin>[^<]*", "<xmin>inf", good, count=1), "bndbox/xmin must be a finite number, got inf"),
        (good.replace("bndbox>", "box>"), "003.xml: object 1: must have a name and a bndbox"),
    ):
        (root / "Annotations" / "003.xml").write_text(text)
        with pytest.raises(DataError, match=why):
            load_boxes(str(root))
    (root / "Annotations" / "003.xml").write_text(good)
    (root / "ImageSets" / "Main" / "train.txt").write_text("000\n333\n")
    with pytest.raises(DataError, match=r"333\.xml: is missing, but ImageSets/Main names it"):
        load_boxes(str(root))
    (root / "JPEGImages" / "000.jpg").write_bytes(b"no image")
    (root / "ImageSets" / "Main" / "train.txt").unlink()
    with pytest.raises(DataError, match=r"000\.jpg: cannot be read as an image"):
        load_boxes(str(root))


def test_folders_of_classes_stay_images(tmp_path):
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "train" / name / "0.png")
    (tmp_path / "train.json").write_text("{}")
    assert not holds_boxes(str(tmp_path))
    assert usual_task(str(tmp_path)) == "image"
    with pytest.raises(DataError, match="the list 'categories' is missing"):
        load_boxes(str(tmp_path))
    with pytest.raises(DataError, match="is not a folder"):
        load_boxes("digits")


def test_a_limit_takes_the_same_images_each_time(tmp_path):
    root = write_coco(tmp_path)
    data = load_boxes(str(root), limit=5)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [5, 5, 5]
    assert load_boxes(str(root), limit=5, seed=3).fingerprint == data.fingerprint


@pytest.mark.parametrize("layout", ["labels", "train/labels", "labels/train", "train"])
def test_yolo_folders_are_recognised_and_refused(tmp_path, layout):
    labels = tmp_path / layout
    images = tmp_path / layout.replace("labels", "images")
    for folder in (labels, images):
        folder.mkdir(parents=True, exist_ok=True)
    (labels / "a.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    Image.new("RGB", (8, 8)).save(images / "a.jpg")
    assert holds_boxes(str(tmp_path))
    with pytest.raises(DataError) as caught:
        load_boxes(str(tmp_path))
    assert str(caught.value).startswith(
        f"data {labels / 'a.txt'}: boxes in YOLO's text files are not read; convert them"
    )
    (labels / "a.txt").write_text("0 red\n")
    assert not holds_boxes(str(tmp_path))


def test_huge_whole_numbers_of_a_box_are_one_line(tmp_path):
    data = write_coco(tmp_path, (("train", 4),))
    content = json.loads((data / "train.json").read_text())
    content["annotations"][0]["bbox"] = [0, 0, 10**400, 4]
    (data / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"annotations\[0\]") as caught:
        load_boxes(str(data))
    assert "\n" not in str(caught.value)


def test_an_image_that_is_listed_twice_is_one(tmp_path):
    write_coco(tmp_path, counts=(("train", 10),))
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    alone = load_boxes(str(tmp_path))
    entries, annotations = [], []
    for number, box in enumerate(content["annotations"]):  # an entry for each box, as some tools write them
        image = content["images"][box["image_id"]]
        entries.append({**image, "id": number})
        annotations.append({**box, "image_id": number})
    path.write_text(json.dumps({**content, "images": entries, "annotations": annotations}))
    data = load_boxes(str(tmp_path))
    parts = ("train", "validation", "test")
    assert [len(getattr(data, part)) for part in parts] == [len(getattr(alone, part)) for part in parts]
    repeated = len(entries) - len({entry["file_name"] for entry in entries})
    assert f"repeated entries of an image, joined: {repeated}" in data.notes
    assert data.fingerprint == alone.fingerprint
    entries[-1]["width"] += 1
    entries.append({**entries[-1], "id": len(entries), "width": entries[-1]["width"] + 1})
    path.write_text(json.dumps({**content, "images": entries, "annotations": annotations}))
    with pytest.raises(DataError, match=r"the image '009.png' is listed with two sizes; correct one or remove it"):
        load_boxes(str(tmp_path))


def test_a_name_that_a_list_of_voc_repeats_is_one_image(tmp_path):
    write_voc(tmp_path, count=8)
    names = [f"{i:03d}" for i in range(8)]
    main = tmp_path / "ImageSets" / "Main"
    for path in main.iterdir():
        path.unlink()
    sizes = []
    for written in (names, names + names[:4]):
        (main / "train.txt").write_text("\n".join(written))
        data = load_boxes(str(tmp_path))
        sizes.append([len(part) for part in (data.train, data.validation, data.test)])
    assert sizes[0] == sizes[1]
    assert "repeated names of an image, left out: 4" in data.notes


def test_a_class_has_one_number_in_all_parts(tmp_path):
    write_coco(tmp_path, counts=(("train", 6), ("val", 6)))
    path = tmp_path / "val.json"
    content = json.loads(path.read_text())
    content["categories"][0]["id"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="'red' is category 7 here and 1 in another part; use one number"):
        load_boxes(str(tmp_path))


def test_an_image_that_two_files_of_voc_describe_is_refused(tmp_path):
    root = write_voc(tmp_path, count=8)
    (root / "Annotations" / "000 (1).xml").write_text((root / "Annotations" / "000.xml").read_text())
    with pytest.raises(DataError, match=r"two files in Annotations describe the image 000\.jpg; join or remove one"):
        load_boxes(str(tmp_path))


@pytest.mark.parametrize("name", ["IMG 001", "12:30:05"])
def test_names_of_images_may_hold_spaces_and_colons(tmp_path, name):
    root = write_voc(tmp_path, count=8)
    (root / "JPEGImages" / "000.jpg").rename(root / "JPEGImages" / f"{name}.jpg")
    text = (root / "Annotations" / "000.xml").read_text().replace("000.jpg", f"{name}.jpg")
    (root / "Annotations" / "000.xml").rename(root / "Annotations" / f"{name}.xml").write_text(text)
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join([name, *(f"{i:03d} -1" for i in range(1, 8))]))
    data = load_boxes(str(tmp_path))
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 8
    assert not any("repeated" in note for note in data.notes)
    (root / "Annotations" / f"{name}.xml").rename(root / "Annotations" / "other.xml")
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(["other", *(f"{i:03d}" for i in range(1, 8))]))
    assert len(load_boxes(str(tmp_path)).train) == len(data.train)  # found by the name that the file states
