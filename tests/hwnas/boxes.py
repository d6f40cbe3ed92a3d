"""Tiny images of coloured rectangles, in COCO's and in Pascal VOC's form."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}


def rectangles(rng, size, most=3):
    """Return an image ``(size, size, 3)`` and its boxes ``[(x, y, width, height, name)]``, which do not overlap."""
    pixels = rng.integers(90, 140, (size, size, 3)).astype(np.uint8)
    taken, boxes = np.zeros((size, size), dtype=bool), []
    for _ in range(int(rng.integers(1, most + 1))):
        width, height = rng.integers(size // 5, size // 2, 2).tolist()
        x, y = int(rng.integers(0, size - width)), int(rng.integers(0, size - height))
        if taken[y : y + height, x : x + width].any():
            continue
        taken[y : y + height, x : x + width] = True
        name = list(COLOURS)[int(rng.integers(len(COLOURS)))]
        pixels[y : y + height, x : x + width] = COLOURS[name]
        boxes.append((x, y, width, height, name))
    return pixels, boxes


def write_coco(root: Path, counts=(("train", 24), ("val", 8), ("test", 8)), size=64, seed=0):
    """Write images and COCO files of boxes; returns the folder."""
    rng = np.random.default_rng(seed)
    names = list(COLOURS)
    for part, count in counts:
        (root / part).mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for i in range(count):
            pixels, boxes = rectangles(rng, size)
            Image.fromarray(pixels).save(root / part / f"{i:03d}.png")
            images.append({"id": i, "file_name": f"{i:03d}.png", "width": size, "height": size})
            annotations += [
                {"id": len(annotations) + n, "image_id": i, "category_id": names.index(name) + 1, "bbox": box}
                for n, (*box, name) in enumerate(boxes)
            ]
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{part}.json").write_text(json.dumps(content))
    return root


def write_voc(root: Path, count=12, size=64, seed=0):
    """Write a Pascal VOC folder; returns it."""
    rng = np.random.default_rng(seed)
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels, boxes = rectangles(rng, size)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{i:03d}.jpg", quality=95)
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax>"
            f"<ymax>{y + h}</ymax></bndbox></object>"
            for x, y, w, h, name in boxes
        )
        text = f"<annotation><filename>{i:03d}.jpg</filename><size><width>{size}</width><height>{size}</height></size>"
        (root / "Annotations" / f"{i:03d}.xml").write_text(f"{text}{objects}</annotation>")
    return root
