"""Pictures of a validation: the same images each time, and ground truth of every kind."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmproscale.evaluation import CocoMetric
from mmproscale.inference.pictures.comparison import comparison
from mmproscale.training import validation_pictures
from mmproscale.training.validation_pictures import ValidationPicturesHook, drawn

CLASSES = ("cat", "dog")
META = dict(classes=CLASSES, thing_classes=CLASSES)
BOX = [10, 8, 30, 20]


def runner_of(tmp_path, metrics=(), images=20):
    """A stand-in for a runner that validates images."""
    dataset = SimpleNamespace(metainfo=META)
    loader = SimpleNamespace(dataset=dataset, sampler=range(images))
    loop = SimpleNamespace(dataloader=loader, evaluator=SimpleNamespace(metrics=metrics))
    warnings = []
    return SimpleNamespace(
        val_loop=loop,
        val_dataloader=loader,
        model=torch.nn.Module(),
        work_dir=str(tmp_path),
        iter=40,
        _train_loop=loop,
        logger=SimpleNamespace(warning=warnings.append),
        warnings=warnings,
    )


def sample_of(tmp_path, number=0, **fields):
    """A data sample of a grey image with a bright box."""
    image = np.full((48, 64, 3), 90, np.uint8)
    image[8:28, 10:40] = 200
    path = tmp_path / f"{number}.png"
    cv2.imwrite(str(path), image)
    sample = DetDataSample(metainfo=dict(img_path=str(path), img_id=number, ori_shape=(48, 64)))
    sample.set_data(fields)
    return sample


def instances(masks=False):
    found = dict(
        bboxes=torch.tensor([[10.0, 8, 40, 28]]), scores=torch.ones(1), labels=torch.tensor([1])
    )
    if masks:
        found["masks"] = torch.zeros(1, 48, 64, dtype=torch.bool)
        found["masks"][0, 8:28, 10:40] = True
    return InstanceData(**found)


def labels(value=1):
    return torch.full((1, 48, 64), value)


def coco_metric(tmp_path):
    x, y, w, h = BOX
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    one = dict(id=1, image_id=0, category_id=9, bbox=BOX, area=w * h, iscrowd=0)
    content = dict(
        images=[dict(id=0, file_name="0.png", height=48, width=64)],
        annotations=[one | dict(segmentation=outline)],
        categories=[dict(id=4, name="cat"), dict(id=9, name="dog")],
    )
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return CocoMetric(str(tmp_path / "truth.json"))


@pytest.mark.parametrize("kind", ["semantic", "instance", "boxes"])
def test_ground_truth_of_each_kind_is_drawn_like_the_same_prediction(kind, tmp_path, monkeypatch):
    if kind == "semantic":
        truth = PixelData(data=labels())
        sample = sample_of(tmp_path, pred_sem_seg=PixelData(data=labels()), gt_sem_seg=truth)
        runner = runner_of(tmp_path)
    else:
        sample = sample_of(tmp_path, pred_instances=instances(masks=kind == "instance"))
        runner = runner_of(tmp_path, [coco_metric(tmp_path)])
    given = []

    def keep(*arguments):
        given.append(arguments)
        return comparison(*arguments)

    monkeypatch.setattr(validation_pictures, "comparison", keep)
    picture = drawn(runner, sample)
    assert picture.shape[1] > 2.9 * 400, "image, prediction and ground truth"
    ((result, truth),) = given
    assert result.kinds == (kind,)
    if kind == "boxes":
        assert [(one["bbox"], one["category_id"]) for one in truth] == [(BOX, 1)]
    else:
        predicted = result.panel(kind)
        np.testing.assert_array_equal(truth[1] > 0, predicted[1] > 0)
        assert [s["category_id"] for s in truth[2]] == [s["category_id"] for s in predicted[2]]


def test_the_same_images_are_drawn_with_any_batch(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(validation_pictures, "drawn", lambda runner, s: names.append(s) or BLANK)
    runner, hook = runner_of(tmp_path), ValidationPicturesHook(8)
    for batch in (1, 3, 20):
        names.clear()
        hook.before_val_epoch(runner)
        for start in range(0, 20, batch):
            hook.after_val_iter(runner, start, None, list(range(20))[start : start + batch])
        assert names == [0, 2, 5, 7, 10, 12, 15, 17]


BLANK = np.zeros((40, 60, 3), np.uint8)


def test_a_picture_that_cannot_be_drawn_is_a_warning(tmp_path):
    runner, hook = runner_of(tmp_path, images=1), ValidationPicturesHook()
    hook.before_val_epoch(runner)
    sample = sample_of(tmp_path)
    (tmp_path / "0.png").write_bytes(b"no image")
    hook.after_val_iter(runner, 0, None, [sample])
    hook.after_val_epoch(runner)
    assert "a picture was not drawn" in runner.warnings[0] and "0.png" in runner.warnings[0]
    assert not (tmp_path / "validation").exists()
