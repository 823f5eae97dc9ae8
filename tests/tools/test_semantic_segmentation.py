"""A semantic model of mmseg's scope through the tools, on CamVid's panoptic files and on maps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmproscale.datasets.shapes.generation import CATEGORIES, ShapesSpec, make_shapes

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CAMVID = CONFIGS / "proscale_m2f_r18_camvid-semantic.py"
LOADERS = [
    f"{split}_dataloader.{key}"
    for split in ("train", "val", "test")
    for key in ("num_workers=0", "persistent_workers=False")
]
SMALL = [
    *LOADERS,
    "model.decode_head.pixel_decoder.encoder.schedule.repeats=(1,1,1)",
    "model.decode_head.transformer_decoder.num_layers=1",
    "model.decode_head.train_cfg.num_points=256",
    "val_dataloader.dataset.indices=2",
    "test_dataloader.dataset.indices=2",
    "default_hooks.logger.interval=1",
    "param_scheduler.0.end=2",
    "param_scheduler.1.begin=2",
    "param_scheduler.1.end=100",
]
# A user's images and maps, as mmsegmentation reads them.
MINE = """
_base_ = "{base}"
dataset = dict(
    _delete_=True,
    type="mmproscale.SemanticDataset",
    data_root="{root}",
    metainfo=dict(classes={classes}),
)
train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        dataset, data_prefix=dict(img_path="img/train", seg_map_path="ann/train"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        dataset, data_prefix=dict(img_path="img/val", seg_map_path="ann/val"),
        pipeline=train_pipeline, test_mode=True,
    )
)
test_dataloader = dict(dataset=dict(**val_dataloader["dataset"]))
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    decode_head=dict(num_classes={count}, loss_cls=dict(class_weight=[1.0] * {count} + [0.1])),
)
"""
NAMES = ("left", "right")


def last_line(error: str) -> str:
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


def losses(work_dir: Path) -> list[float]:
    records = [json.loads(line) for line in next(work_dir.glob("*/vis_data/scalars.json")).open()]
    return [record["loss"] for record in records if "loss" in record]


def test_camvid_learns_is_tested_and_predicted(run_tool, shared, tmp_path):
    data = ["--cfg-options", f"data_root={shared / 'data/camvid'}", *SMALL]
    more = ["train_cfg.max_iters=20", "optim_wrapper.optimizer.lr=1e-3", "randomness.seed=0"]
    more.append("log_processor.window_size=1")  # else what is logged is a mean of all steps
    status, _, error = run_tool("train.py", CAMVID, "--work-dir", tmp_path / "run", *data, *more)
    assert status == 0, error
    seen = losses(tmp_path / "run")
    assert len(seen) == 20
    assert np.mean(seen[-5:]) < 0.9 * np.mean(seen[:5])

    checkpoint = tmp_path / "run/iter_20.pth"
    for mode in ("whole", "slide"):
        out = tmp_path / mode
        status, _, error = run_tool(
            "test.py",
            CAMVID,
            checkpoint,
            "--work-dir",
            out,
            "--out",
            out / "kept",
            *data,
            f"model.test_cfg.mode={mode}",
        )
        assert status == 0, error
        report = json.loads((out / "metrics.json").read_text())
        logged = json.loads(next(out.glob("*/*.json")).read_text())
        assert 100 * report["all"]["mIoU"] == pytest.approx(logged["mIoU"], abs=0.01)
        assert list(report["per_class"])[:4] == ["car", "pedestrian", "bicyclist", "sky"]
        assert len(list((out / "kept.semantic").glob("*.png"))) == 2

    photo = next((shared / "data/camvid/val").glob("*.jpg"))
    out = tmp_path / "predicted"
    arguments = (CAMVID, checkpoint, photo, "--out", out)
    status, output, error = run_tool("predict.py", *arguments, *data)
    assert status == 0, error
    assert "1 of 1 images" in output
    labels = cv2.imread(str(out / "semantic" / f"{photo.stem}.png"), cv2.IMREAD_UNCHANGED)
    content = json.loads((out / "images.json").read_text())
    assert labels.shape == (360, 480)
    assert set(np.unique(labels)) <= {category["id"] for category in content["categories"]}
    assert {c["name"]: c["id"] for c in content["categories"]}["sky"] == 1  # the file's own ids
    assert cv2.imread(str(out / "pictures" / f"{photo.stem}.jpg")) is not None

    status, _, error = run_tool("predict.py", *arguments, "--kinds", "panoptic", *data)
    assert status == 2 and "gives only semantic results" in last_line(error)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(root, ShapesSpec(train=4, val=2, size=64))
    return root


def camvid_on_shapes(run_tool, shapes, tmp_path, *more):
    """CamVid's config on another panoptic dataset in the same layout, 8 classes."""
    count = len(CATEGORIES)
    return run_tool(
        "train.py",
        CAMVID,
        "--work-dir",
        tmp_path / "run",
        "--cfg-options",
        f"data_root={shapes}",
        *SMALL,
        "train_cfg.max_iters=2",
        "train_dataloader.batch_size=2",
        "model.data_preprocessor.size=(192,256)",  # the crop
        f"model.decode_head.num_classes={count}",
        f"model.decode_head.loss_cls.class_weight={[1.0] * count + [0.1]}".replace(" ", ""),
        *more,
    )


def test_classes_are_weighed_by_name(run_tool, shapes, tmp_path):
    weigh = "model.decode_head.class_weight"
    status, _, error = camvid_on_shapes(run_tool, shapes, tmp_path, f"{weigh}.disc=3.0")
    assert status == 0, error
    status, _, error = camvid_on_shapes(run_tool, shapes, tmp_path, f"{weigh}.disk=3.0")
    assert status == 2
    assert last_line(error) == (
        "error: class_weight: 'disk' is not a class of the dataset: did you mean 'disc'?"
    )


def test_another_count_of_classes_is_one_line(run_tool, shapes, tmp_path):
    more = ["model.decode_head.num_classes=11", "model.decode_head.loss_cls.class_weight=None"]
    status, _, error = camvid_on_shapes(run_tool, shapes, tmp_path, *more)
    assert status == 2
    assert last_line(error).startswith("error: [class-count] '") and "panoptic_train.json" in error
    assert "have 8 classes, but model.decode_head has 11: set num_classes" in last_line(error)


@pytest.fixture
def mine(tmp_path) -> Path:
    """Config of a user's images and label maps: left and right halves, some void."""
    root, random = tmp_path / "mine", np.random.default_rng(0)
    for split in ("train", "val"):
        for folder in ("img", "ann"):
            (root / folder / split).mkdir(parents=True)
        for number in range(2):
            image = random.integers(0, 255, (64, 64, 3), np.uint8)
            cv2.imwrite(str(root / f"img/{split}/{number}.jpg"), image)
            labels = np.zeros((64, 64), np.uint8)
            labels[:, 32:], labels[:4] = 1, 255
            cv2.imwrite(str(root / f"ann/{split}/{number}.png"), labels)
    path = tmp_path / "mine.py"
    path.write_text(MINE.format(base=CAMVID, root=root, classes=NAMES, count=len(NAMES)))
    return path


def train_mine(run_tool, config, *more):
    quick = ["--cfg-options", *SMALL, "train_cfg.max_iters=2", *more]
    return run_tool("train.py", config, "--work-dir", config.parent / "run", *quick)


def test_images_and_maps_of_ones_own(run_tool, mine, tmp_path):
    status, _, error = train_mine(run_tool, mine)
    assert status == 0, error
    assert len(losses(tmp_path / "run")) == 2


def write_map(path: Path, labels: np.ndarray) -> None:
    assert cv2.imwrite(str(path), labels)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: (root / "ann/train/1.png").unlink(), "train/1.png' (map), named in"),
        (lambda root: (root / "ann").rename(root / "maps"), "check data_prefix.seg_map_path"),
        (lambda root: root.rename(root.with_name("x")), "does not exist: set data_root"),
        (lambda root: [p.unlink() for p in (root / "img/val").iterdir()], "no image whose name"),
        (
            lambda root: write_map(root / "ann/train/1.png", np.full((64, 64), 7, np.uint8)),
            "has label 7 (4096 pixels), but classes are 0 to 1",
        ),
        (
            lambda root: write_map(root / "ann/train/1.png", np.zeros((32, 64), np.uint8)),
            "is 64x32 pixels but its image",
        ),
        (
            lambda root: write_map(root / "ann/train/1.png", np.zeros((64, 64), np.uint16)),
            "has values of uint16 in 2 dimensions",
        ),
        (
            lambda root: write_map(root / "ann/train/1.png", np.zeros((64, 64, 3), np.uint8)),
            "has values of uint8 in 3 dimensions",
        ),
        (
            lambda root: (root / "ann/train/1.png").write_bytes(b"no png"),
            "(map) cannot be read",
        ),
    ],
    ids=["map", "folder", "root", "images", "label", "size", "16 bits", "colours", "broken"],
)
def test_bad_data_is_one_line(break_it, said, run_tool, mine):
    break_it(mine.parent / "mine")
    # Every image is in the first batch.
    status, _, error = train_mine(run_tool, mine)
    assert status == 2
    assert said in last_line(error), error


def test_a_test_set_with_a_wrong_label_is_one_line(run_tool, mine, tmp_path):
    assert train_mine(run_tool, mine)[0] == 0
    write_map(tmp_path / "mine/ann/val/0.png", np.full((64, 64), 2, np.uint8))
    status, _, error = run_tool(
        "test.py", mine, tmp_path / "run/iter_2.pth", "--cfg-options", *SMALL
    )
    assert status == 2 and "val/0.png' has label 2" in last_line(error)


def test_a_checkpoint_of_other_classes_is_one_line(run_tool, mine, tmp_path):
    assert train_mine(run_tool, mine)[0] == 0
    status, _, error = run_tool(
        "predict.py",
        mine,
        tmp_path / "run/iter_2.pth",
        tmp_path / "mine/img/val",
        "--out",
        tmp_path / "out",
        "--cfg-options",
        *SMALL,
        "model.decode_head.num_classes=5",
    )
    assert status == 2
    assert "was trained for 2 classes, the config has 5: set the model's num_classes" in last_line(
        error
    )
