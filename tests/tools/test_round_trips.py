"""Round trips: check, config, training, evaluation and prediction take what each tool writes."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.panoptic_files import save
from PIL import Image

HEIGHT, WIDTH = 64, 96
SPLITS = {"train": 3, "val": 1}
GRASS, CAT = 1, 2
CLASSES = [dict(id=GRASS, name="grass", isthing=0), dict(id=CAT, name="cat", isthing=1)]
BOXES = [(8, 8, 40, 40), (52, 12, 90, 60)]
BASE = ("--base", "proscale_m2f_r18", "--from-scratch", "--gpus", 0, "--memory", 2, "--no-measure")
QUICK = [
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val")),
    *("train_cfg.max_iters=2", "train_cfg.val_interval=2"),
    *("default_hooks.checkpoint.interval=2", "default_hooks.logger.interval=1"),
]


@dataclass
class Made:
    """Files of a dataset that a tool wrote, by split; ``seg`` is empty without PNGs."""

    root: Path
    kind: str
    ann: dict[str, Path]
    img: dict[str, Path]
    seg: dict[str, Path]


def pictures(folder: Path, count: int) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        image = generator.integers(0, 60, (HEIGHT, WIDTH, 3))
        for left, top, right, bottom in BOXES:
            image[top:bottom, left:right] += 150
        save(path, image)
    return paths


def outline(box):
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def instances(folder: Path, img: Path, split: str, count: int) -> Path:
    """Write COCO instances as labelling tools do: ids from 0, slivers, areas of boxes, no crowd."""
    content = dict(images=[], annotations=[], categories=[dict(id=CAT, name="cat")])
    for number, path in enumerate(pictures(img, count)):
        entry = dict(id=number, file_name=path.name, height=HEIGHT, width=WIDTH)
        content["images"].append(entry)
        for box in BOXES:
            left, top, right, bottom = box
            flat = [v for point in outline(box) for v in point]
            one = dict(id=len(content["annotations"]), image_id=number, category_id=CAT)
            one |= dict(bbox=[left, top, right - left, bottom - top], area=1e4)
            content["annotations"].append(one | dict(segmentation=[flat, [3, 3], [4, 4, 5, 5]]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"instances_{split}.json"
    path.write_text(json.dumps(content))
    return path


def from_polygons(run, root):
    for split, count in SPLITS.items():
        ann = instances(root / "source", root / split, split, count)
        run("datasets/from_polygons.py", ann, root / split, "--out", root, "--split", split)
    return coco_layout(root)


def from_labelme(run, root):
    for split, count in SPLITS.items():
        for number in range(count):
            shapes = [dict(label="cat", shape_type="rotation", points=outline(b)) for b in BOXES]
            ground = dict(label="grass", shape_type="rectangle", points=[[0, 0], [WIDTH, HEIGHT]])
            void = dict(label="__ignore__", points=outline((0, 0, 9, 9)))
            buffer = io.BytesIO()
            Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 30)).save(buffer, "JPEG")
            content = dict(shapes=[ground, *shapes, void], imagePath=f"{number}.json")
            content |= dict(imageData=base64.b64encode(buffer.getvalue()).decode())
            content |= dict(imageHeight=HEIGHT, imageWidth=WIDTH)
            path = root / "labelled" / split / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        options = ("--things", "cat", "--out", root, "--split", split, "--copy-images")
        run("datasets/from_labelme.py", root / "labelled" / split, *options)
    return coco_layout(root)


def maps(folder: Path, number: int, instance: bool) -> np.ndarray:
    values = np.full((HEIGHT, WIDTH), 0 if instance else GRASS)
    for place, (left, top, right, bottom) in enumerate(BOXES, start=1):
        values[top:bottom, left:right] = place if instance else CAT
    if not instance:
        values[:4] = 255
    save(folder / f"{number}.png", values)
    return values


def from_maps(run, root):
    root.mkdir(parents=True)
    (root / "classes.json").write_text("\ufeff" + json.dumps(CLASSES))
    for split, count in SPLITS.items():
        pictures(root / split, count)
        for number in range(count):
            maps(root / "semantic" / split, number, instance=False)
            maps(root / "instance" / split, number, instance=True)
        folders = [f"--{kind}={root / kind / split}" for kind in ("semantic", "instance")]
        options = ("--classes", root / "classes.json", "--out", root, "--split", split)
        run("datasets/from_maps.py", f"--images={root / split}", *folders, *options)
    return coco_layout(root)


def cityscapes(run, root):
    for split, count in SPLITS.items():
        for number in range(count):
            name, values = f"ulm_{number:06d}_000019", np.full((HEIGHT, WIDTH), 7)
            for place, (left, top, right, bottom) in enumerate(BOXES):
                values[top:bottom, left:right] = 26000 + place
            labels = root / "gtFine" / split / "ulm" / f"{name}_gtFine_instanceIds.png"
            save(labels, values, np.uint16)
            image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3))
            save(root / "leftImg8bit" / split / "ulm" / f"{name}_leftImg8bit.png", image)
    run("datasets/cityscapes.py", root)
    stems = {split: root / "gtFine" / f"cityscapes_panoptic_{split}" for split in SPLITS}
    return Made(
        root,
        "panoptic",
        {split: stem.with_suffix(".json") for split, stem in stems.items()},
        {split: root / "leftImg8bit" / split for split in SPLITS},
        stems,
    )


def ade20k(run, root):
    folders = dict(train="training", val="validation")
    for split, count in SPLITS.items():
        pictures(root / "images" / folders[split], count)
        for number in range(count):
            classes, colors = np.full((HEIGHT, WIDTH), 1), np.zeros((HEIGHT, WIDTH, 3))
            for place, (left, top, right, bottom) in enumerate(BOXES, start=1):
                classes[top:bottom, left:right] = 8
                colors[top:bottom, left:right] = (1, place, 0)
            save(root / "annotations" / folders[split] / f"{number}.png", classes)
            save(root / "annotations_instance" / folders[split] / f"{number}.png", colors)
    run("datasets/ade20k.py", root)
    stems = {split: root / f"ade20k_panoptic_{split}" for split in SPLITS}
    images = {split: root / "images" / folders[split] for split in SPLITS}
    anns = {split: stem.with_suffix(".json") for split, stem in stems.items()}
    return Made(root, "panoptic", anns, images, stems)


def panoptic_to_instances(run, root):
    made = from_maps(run, root)
    run("datasets/panoptic_to_instances.py", *made.ann.values())
    anns = {split: path.with_name(f"instances_{split}.json") for split, path in made.ann.items()}
    return Made(root, "instance", anns, made.img, {})


def repaired(run, root):
    anns = {}
    for split, count in SPLITS.items():
        broken = instances(root / "source", root / split, split, count)
        content = json.loads(broken.read_text())
        content["annotations"][0] |= dict(bbox=[-90, 0, 3, 3], image_id="0")
        content["annotations"][1] |= dict(id="x", category_id=2.0, segmentation=[[1, 2]])
        content["images"][0]["file_name"] = "C:\\photos\\0.jpg"
        broken.write_text(json.dumps(content))
        anns[split] = root / "annotations" / f"instances_{split}.json"
        anns[split].parent.mkdir(exist_ok=True)
        options = ("--ann", broken, "--img", root / split, "--repair", anns[split])
        run("check_dataset.py", *options)
    return Made(root, "instance", anns, {split: root / split for split in SPLITS}, {})


def coco_layout(root: Path) -> Made:
    stems = {split: root / "annotations" / f"panoptic_{split}" for split in SPLITS}
    anns = {split: stem.with_suffix(".json") for split, stem in stems.items()}
    return Made(root, "panoptic", anns, {split: root / split for split in SPLITS}, stems)


WRITERS = [
    from_polygons,
    from_labelme,
    from_maps,
    cityscapes,
    ade20k,
    panoptic_to_instances,
    repaired,
]
METRIC = dict(panoptic="universal/PQ", instance="coco/segm_mAP")


@pytest.fixture
def run(run_tool):
    """Function that runs a tool, which must succeed."""

    def succeed(name, *arguments):
        workers = () if name in ("train.py", "predict.py", "evaluate.py") else ("--workers", 1)
        workers = () if name.endswith("to_instances.py") else workers
        status, out, error = run_tool(name, *arguments, *workers)
        assert status == 0, f"{name}: {out[-2000:]} {error[-2000:]}"
        return out

    return succeed


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_what_is_written_is_read(run, tmp_path, write):
    made = write(run, tmp_path / "data")
    options = []
    for split in SPLITS:
        files = [("ann", made.ann), ("img", made.img)] + [("seg", made.seg)] * bool(made.seg)
        out = run("check_dataset.py", *(v for k, d in files for v in (f"--{k}", d[split])))
        assert ": clean" in out
        options += [v for k, d in files for v in (f"--{split}-{k}", d[split])]
    run("new_config.py", "--data", made.root, *options, *BASE, "--out", "mine.py")
    train_and_predict(run, tmp_path, METRIC[made.kind], made.img["val"])
    if made.kind == "panoptic":
        truth = made.ann["val"]
        figures = json.loads(run("evaluate.py", truth, truth, "--json"))
        assert figures["all"]["pq"] == 1.0 and figures["things"]["pq"] == 1.0


def train_and_predict(run, tmp_path, metric: str, images: Path) -> None:
    """Train, validate and predict with the config mine.py."""
    run("train.py", "mine.py", "--work-dir", tmp_path / "run", "--cfg-options", *QUICK)
    scalars = next((tmp_path / "run").glob("*/vis_data/scalars.json")).read_text().splitlines()
    assert metric in json.loads(scalars[-1])
    config = ("mine.py", tmp_path / "run/iter_2.pth")
    options = ("--out", "P", "--device", "cpu", "--no-pictures")
    assert "1 of 1 images" in run("predict.py", *config, f"{images}/**/*.*g", *options)


def semantic(root: Path, splits=SPLITS, classes: str = "grass\ncat\n") -> None:
    """Write mmsegmentation's layout with hidden files, names 1 to 12 and maps NAME_mask."""
    for split in splits:
        for path in pictures(root / "img_dir" / split, 12 if split == "train" else 1):
            values = np.zeros((HEIGHT, WIDTH), np.uint8)
            if "\n" in classes.strip():
                values[8:40, 8:40] = 1
            save(root / "ann_dir" / split / f"{path.stem}_mask.png", values)
        (root / "img_dir" / split / "._0.jpg").write_bytes(b"Mac OS X")
        (root / "img_dir" / split / ".ipynb_checkpoints").mkdir()
        save(root / "img_dir" / split / ".ipynb_checkpoints/0.jpg", np.zeros((4, 4, 3)))
    (root / "classes.txt").write_bytes(classes.encode("utf-16"))


@pytest.mark.parametrize("classes", ["grass\r\ncat\r\n", "grass\n"], ids=["two", "one"])
@pytest.mark.parametrize("share", [(), ("--val-share", 0.2)], ids=["split", "share"])
def test_semantic_maps_are_read_by_every_tool(run, tmp_path, classes, share):
    semantic(tmp_path / "data", ["train"] if share else SPLITS, classes)
    run("new_config.py", "--data", tmp_path / "data", *BASE, "--out", "mine.py", *share)
    images = tmp_path / "one"
    pictures(images, 1)
    train_and_predict(run, tmp_path, "mIoU", images)
    values = np.unique(np.asarray(Image.open(tmp_path / "P/semantic/0.png"))).tolist()
    assert set(values) <= ({0, 1} if "cat" in classes else {0})
