"""Folders as label tools leave them, made from the first images of a COCO panoptic dataset.

As a script: python tests/helpers/label_folders.py data/camvid OUT 40
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmproscale.datasets.formats.panoptic_png import read_png


@dataclass
class Picture:
    """One image: its file, its size and for each segment (class, is a thing, polygons, box)."""

    path: Path
    size: tuple[int, int]
    segments: list[tuple[str, bool, list[np.ndarray], list[int]]]


def read(root: Path, split: str, count: int) -> tuple[list[Picture], list[dict]]:
    """Read the first images of ``annotations/panoptic_SPLIT.json`` that have a thing."""
    stem = root / f"annotations/panoptic_{split}"
    content = json.loads(stem.with_suffix(".json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    classes = {entry["id"]: entry for entry in content["categories"]}
    pictures = []
    for annotation in content["annotations"]:
        ids, segments = read_png(stem / annotation["file_name"]), []
        for info in annotation["segments_info"]:
            mask = (ids == info["id"]).astype(np.uint8)
            found = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
            polygons = [points[:, 0] for points in found if len(points) >= 3]
            kind = classes[info["category_id"]]
            if polygons and not info.get("iscrowd"):
                segments.append((kind["name"], bool(kind["isthing"]), polygons, info["bbox"]))
        if any(is_thing for _, is_thing, _, _ in segments) and len(pictures) < count:
            path = root / split / names[annotation["image_id"]]
            pictures.append(Picture(path, ids.shape, segments))
    return pictures, content["categories"]


def labelme(pictures, categories, split, out):
    for picture in pictures:
        shapes = [
            dict(
                label=name, points=points.tolist(), shape_type="polygon", group_id=number, flags={}
            )
            for number, (name, _, polygons, _) in enumerate(picture.segments)
            for points in polygons
        ]
        content = dict(version="5.4.1", flags={}, shapes=shapes, imagePath=picture.path.name)
        height, width = picture.size
        content |= dict(imageData=None, imageHeight=height, imageWidth=width)
        put(picture.path, out / split / picture.path.name)
        (out / split / f"{picture.path.stem}.json").write_text(json.dumps(content))


def coco(pictures, categories, split, out, masks=True, ann=None, img=None, first=1):
    """Write COCO instances, or with ``masks=False`` boxes, of the things."""
    names = [entry["name"] for entry in categories if entry["isthing"]]
    content = dict(images=[], annotations=[])
    content["categories"] = [dict(id=n, name=name) for n, name in enumerate(names, start=first)]
    for number, picture in enumerate(pictures):
        height, width = picture.size
        entry = dict(id=number, file_name=picture.path.name, height=height, width=width)
        content["images"].append(entry)
        put(picture.path, (img or out / split) / picture.path.name)
        for name, is_thing, polygons, box in picture.segments:
            if is_thing:
                outline = [points.ravel().tolist() for points in polygons] if masks else []
                one = dict(id=len(content["annotations"]), image_id=number, iscrowd=0)
                one |= dict(category_id=names.index(name) + first, segmentation=outline)
                content["annotations"].append(one | dict(bbox=box, area=box[2] * box[3]))
    path = ann or out / f"annotations/instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return content


def boxes(pictures, categories, split, out):
    coco(pictures, categories, split, out, masks=False)


def maps(pictures, categories, split, out):
    names = [entry["name"] for entry in categories]
    for picture in pictures:
        labels = np.full(picture.size, 255, np.uint8)
        for name, _, polygons, _ in picture.segments:
            cv2.fillPoly(labels, polygons, names.index(name))
        put(picture.path, out / "img_dir" / split / picture.path.name)
        path = out / "ann_dir" / split / f"{picture.path.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path)
    (out / "classes.txt").write_text("\n".join(names))


def yolo(pictures, categories, split, out):
    """Write Ultralytics' layout of polygons: images/SPLIT, labels/SPLIT and data.yaml."""
    names = [entry["name"] for entry in categories if entry["isthing"]]
    for picture in pictures:
        height, width = picture.size
        rows = [
            [names.index(name), *(points / [width, height]).round(6).ravel().tolist()]
            for name, is_thing, polygons, _ in picture.segments
            for points in polygons * is_thing
        ]
        put(picture.path, out / "images" / split / picture.path.name)
        path = out / "labels" / split / f"{picture.path.stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    text = f"path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames:\n{listed}"
    (out / "data.yaml").write_text(text)


def roboflow(pictures, categories, split, out):
    """Write Roboflow's COCO export: the JSON among its images, and a class that groups others."""
    folder = out / {"val": "valid"}.get(split, split)
    path = folder / "_annotations.coco.json"
    content = coco(pictures, categories, split, out, ann=path, img=folder)
    entries = [entry | dict(supercategory="streets") for entry in content["categories"]]
    content["categories"] = [dict(id=0, name="streets", supercategory="none"), *entries]
    path.write_text(json.dumps(content))


def put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


FOLDERS = dict(
    labelme=labelme, instances=coco, boxes=boxes, maps=maps, yolo=yolo, roboflow=roboflow
)


def write_folders(source: Path, out: Path, count: int, names=tuple(FOLDERS)) -> None:
    """Write ``out/NAME`` for each name, with ``count`` training images and a quarter of it more."""
    for split, number in (("train", count), ("val", max(1, count // 4))):
        pictures, categories = read(source, split, number)
        for name in names:
            FOLDERS[name](pictures, categories, split, out / name)


if __name__ == "__main__":
    write_folders(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
