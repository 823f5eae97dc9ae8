"""Every way to break the dataset of `write_tiny` in one thing: kind of fault -> what does it.

`IN_JSON` change the parsed annotation file, `IN_FILES` the folder. Image 0 has segments 1 (grass,
column 0) and 70000 (cow, column 1); image 1 has segment 5 (sky, column 0).
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Change = Callable[[dict], object]


def put(*keys_and_value) -> Change:
    """Set a value below the file's top level: put('images', 0, 'id', 'x')."""
    *path, last, value = keys_and_value

    def change(content: dict) -> None:
        place = content
        for key in path:
            place = place[key]
        place[last] = value

    return change


def drop(*keys) -> Change:
    *path, last = keys

    def change(content: dict) -> None:
        place = content
        for key in path:
            place = place[key]
        del place[last]

    return change


def segment(*keys_and_value) -> Change:
    return put("annotations", 0, "segments_info", *keys_and_value)


def _instances(content: dict) -> None:
    content["annotations"] = [dict(id=1, image_id=0, segmentation=[], category_id=3)]


def _annotate_nothing(content: dict) -> None:
    content["annotations"].append(dict(image_id=99, segments_info=[]))


def _too_many_categories(content: dict) -> None:
    more = [dict(id=i, name=f"c{i}", isthing=0) for i in range(100, 400)]
    content["categories"].extend(more)


FIRST = (0, "bbox")
IN_JSON: list[tuple[str, Change]] = [
    ("not-coco", drop("categories")),
    ("not-coco", put("images", {})),
    ("not-coco", put("images", 0, "0.jpg")),
    ("instances-not-panoptic", _instances),
    ("category-count", put("categories", [])),
    ("category-count", _too_many_categories),
    ("category-key-missing", drop("categories", 0, "name")),
    ("category-id-type", put("categories", 0, "id", "7")),
    ("category-id-type", put("categories", 0, "id", True)),
    ("category-id-type", put("categories", 0, "id", 7.0)),
    ("category-id-twice", put("categories", 1, "id", 7)),
    ("category-name-type", put("categories", 0, "name", None)),
    ("category-name-twice", put("categories", 1, "name", "grass")),
    ("category-color", put("categories", 0, "color", [1, 2])),
    ("isthing-missing", drop("categories", 1, "isthing")),
    ("isthing-value", put("categories", 1, "isthing", "yes")),
    ("image-key-missing", drop("images", 0, "height")),
    ("image-id-type", put("images", 0, "id", None)),
    ("image-id-type", put("images", 0, "id", [0])),
    ("image-id-twice", put("images", 1, "id", 0)),
    ("image-size-value", put("images", 0, "width", 0)),
    ("image-size-value", put("images", 0, "width", "6")),
    ("path-absolute", put("images", 0, "file_name", "/etc/0.jpg")),
    ("path-leaves-folder", put("images", 0, "file_name", "../images/0.jpg")),
    ("path-leaves-folder", put("annotations", 0, "file_name", "a/../../pngs/truth_0.png")),
    ("path-type", put("images", 0, "file_name", 12)),
    ("annotation-key-missing", drop("annotations", 0, "segments_info")),
    ("annotation-without-image", _annotate_nothing),
    ("image-id-other-type", put("annotations", 0, "image_id", "0")),
    ("annotations-of-one-image", put("annotations", 1, "image_id", 0)),
    ("png-named-twice", put("annotations", 1, "file_name", "truth_0.png")),
    ("segments-type", put("annotations", 0, "segments_info", None)),
    ("no-segment", put("annotations", [])),
    ("no-segment", put("annotations", [dict(image_id=0, segments_info=[])])),
    ("segments-type", segment(0, 7)),
    ("segment-key-missing", drop("annotations", 0, "segments_info", 0, "area")),
    ("segment-id-range", segment(0, "id", 0)),
    ("segment-id-range", segment(0, "id", 2**24)),
    ("segment-id-range", segment(0, "id", "1")),
    ("segment-id-twice", segment(0, "id", 70000)),
    ("category-unknown", segment(0, "category_id", 42)),
    ("category-id-type", segment(0, "category_id", "7")),
    ("category-id-type", segment(0, "category_id", [7])),
    ("iscrowd-value", segment(0, "iscrowd", 2)),
    ("box-type", segment(*FIRST, [0, 0, 1])),
    ("box-type", segment(*FIRST, [0, 0, "1", 4])),
    ("box-not-finite", segment(*FIRST, [0, 0, float("nan"), 4])),
    ("box-not-finite", segment(*FIRST, [0, 0, 1, float("inf")])),
    ("box-not-finite", segment(*FIRST, [0, 0, 10**400, 4])),
    ("box-inverted", segment(*FIRST, [1, 4, -1, -4])),
    ("box-empty", segment(*FIRST, [0, 0, 0, 4])),
    ("box-outside", segment(*FIRST, [-3, 0, 4, 4])),
    ("box-outside", segment(*FIRST, [0, 0, 6, 9])),
    ("area-value", segment(0, "area", float("nan"))),
    ("area-value", segment(0, "area", "4")),
    ("area-empty", segment(0, "area", 0)),
]


def ids_as_bgr(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)


def read_bgr(root: Path) -> np.ndarray:
    return cv2.imread(str(root / "pngs" / "truth_0.png"))


def write_png(root: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(root / "pngs" / "truth_0.png"), pixels)


def _palette(root: Path) -> None:
    path = root / "pngs" / "truth_0.png"
    with Image.open(path) as image:
        image.quantize(4).save(path)


def _jpeg_as_png(root: Path) -> None:
    _, encoded = cv2.imencode(".jpg", read_bgr(root))
    (root / "pngs" / "truth_0.png").write_bytes(encoded.tobytes())


def _noise(root: Path) -> None:
    rng = np.random.default_rng(0)
    write_png(root, rng.integers(1, 255, (4, 6, 3)).astype(np.uint8))


def _recolor(root: Path, of: int, to: int) -> None:
    bgr = read_bgr(root).astype(np.int64)
    ids = bgr[..., 2] + 256 * bgr[..., 1] + 65536 * bgr[..., 0]
    ids[ids == of] = to
    write_png(root, ids_as_bgr(ids))


def _truth_as_json(root: Path, place: int, key: str, value) -> None:
    content = json.loads((root / "panoptic.json").read_text())
    content["annotations"][0]["segments_info"][place][key] = value
    (root / "panoptic.json").write_text(json.dumps(content))


def _forget_segments(root: Path) -> None:
    content = json.loads((root / "panoptic.json").read_text())
    content["annotations"][0]["segments_info"] = []
    (root / "panoptic.json").write_text(json.dumps(content))


def _noise_of_no_segment(root: Path) -> None:
    _forget_segments(root)
    _noise(root)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _latin_1(root: Path) -> None:
    text = (root / "panoptic.json").read_text().replace("grass", "Gräser")
    (root / "panoptic.json").write_text(json.dumps(json.loads(text), ensure_ascii=False), "latin-1")


JSON, PNG, JPG = "panoptic.json", "truth_0.png", "0.jpg"
IN_FILES: list[tuple[str, str, Callable[[Path], object]]] = [
    ("json-missing", JSON, lambda root: (root / JSON).unlink()),
    ("json-unreadable", JSON, lambda root: ((root / JSON).unlink(), (root / JSON).mkdir())),
    ("json-encoding", JSON, _latin_1),
    ("json-syntax", JSON, lambda root: _cut(root / JSON)),
    ("json-syntax", JSON, lambda root: (root / JSON).write_text("")),
    ("json-syntax", JSON, lambda root: (root / JSON).write_text("[" * 100_000)),
    ("json-syntax", JSON, lambda root: (root / JSON).write_text("9" * 5000)),
    ("image-folder-missing", "images", lambda root: (root / "images").rename(root / "elsewhere")),
    ("png-folder-missing", "pngs", lambda root: (root / "pngs").rename(root / "elsewhere")),
    ("image-missing", JPG, lambda root: (root / "images" / JPG).unlink()),
    ("image-missing", JPG, lambda r: (r / "images" / JPG).rename(r / "images" / "0.JPG")),
    ("png-missing", PNG, lambda root: (root / "pngs" / PNG).unlink()),
    ("image-empty", JPG, lambda root: (root / "images" / JPG).write_bytes(b"")),
    ("image-unreadable", JPG, lambda root: (root / "images" / JPG).write_text("<html>")),
    ("image-unreadable", JPG, lambda root: _cut(root / "images" / JPG)),
    ("image-size", JPG, lambda r: cv2.imwrite(str(r / "images" / JPG), np.zeros((6, 4, 3)))),
    ("png-empty", PNG, lambda root: (root / "pngs" / PNG).write_bytes(b"")),
    ("png-unreadable", PNG, lambda root: (root / "pngs" / PNG).write_text("<html>")),
    ("png-unreadable", PNG, lambda root: _cut(root / "pngs" / PNG)),
    ("png-format", PNG, _jpeg_as_png),
    ("png-palette", PNG, _palette),
    ("png-alpha", PNG, lambda r: write_png(r, cv2.cvtColor(read_bgr(r), cv2.COLOR_BGR2BGRA))),
    ("png-greyscale", PNG, lambda root: write_png(root, read_bgr(root)[..., 2])),
    ("png-16-bit", PNG, lambda root: write_png(root, read_bgr(root).astype(np.uint16))),
    ("png-size", PNG, lambda root: write_png(root, np.zeros((4, 7, 3), np.uint8))),
    ("png-ids-damaged", PNG, _noise),
    ("segment-not-in-png", PNG, lambda root: _recolor(root, of=70000, to=0)),
    ("segment-not-in-json", PNG, lambda root: _recolor(root, of=0, to=9)),
    ("segment-not-in-json", PNG, _forget_segments),
    ("segment-not-in-json", PNG, _noise_of_no_segment),
    ("segment-area", PNG, lambda root: _truth_as_json(root, 1, "area", 5)),
    ("segment-box", PNG, lambda root: _truth_as_json(root, 1, "bbox", [3, 0, 3, 4])),
]
