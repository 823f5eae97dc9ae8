"""LoadImage and LoadPanoptic: what mmdet's steps give, and one clear line for a broken file."""

import cv2
import numpy as np
import pytest
from mmdet.datasets.transforms import LoadPanopticAnnotations
from PIL import Image

from mmproscale.datasets.loading import LoadImage, LoadPanoptic, LoadSemanticFromPanoptic
from mmproscale.errors import InputError

SEGMENTS = [
    dict(id=3, category=0, is_thing=True),
    dict(id=66051, category=1, is_thing=False),
    dict(id=256, category=0, is_thing=True),
]


@pytest.fixture
def results(tmp_path) -> dict:
    """Write an image of 20x30 and its PNG; return what a dataset would say about them."""
    rng = np.random.default_rng(0)
    image, ids = rng.integers(0, 256, (20, 30, 3)), rng.choice([0, 3, 256, 66051], (20, 30))
    bgr = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1)
    for name, pixels in (("photo.jpg", image), ("truth.png", bgr)):
        cv2.imwrite(str(tmp_path / name), pixels.astype(np.uint8))
    instances = [dict(bbox=[0, 0, 30, 20], bbox_label=0, ignore_flag=0)] * 2
    return dict(
        img_path=str(tmp_path / "photo.jpg"),
        seg_map_path=str(tmp_path / "truth.png"),
        segments_info=SEGMENTS,
        instances=instances,
        ids=ids,
    )


def test_image_has_shapes(results):
    loaded = LoadImage()(results)
    assert loaded["img"].shape == (20, 30, 3) and loaded["img"].dtype == np.uint8
    assert loaded["img_shape"] == loaded["ori_shape"] == (20, 30)


def test_panoptic_equals_stock(results):
    loaded = LoadImage()(results)
    stock, ours = LoadPanopticAnnotations()(dict(loaded)), LoadPanoptic()(dict(loaded))
    np.testing.assert_array_equal(ours["gt_seg_map"], stock["gt_seg_map"])
    np.testing.assert_array_equal(ours["gt_masks"].masks, stock["gt_masks"].masks)
    assert ours["gt_seg_map"].dtype == stock["gt_seg_map"].dtype
    np.testing.assert_array_equal(ours["gt_masks"].masks[1], results["ids"] == 256)
    assert (ours["gt_seg_map"][results["ids"] == 0] == 255).all()


def test_image_without_ground_truth_passes(results):
    loaded = LoadPanoptic()(LoadImage()(results | dict(seg_map_path=None)))
    assert "gt_masks" not in loaded


def test_an_image_turned_by_exif_is_refused(tmp_path):
    """OpenCV turns it as EXIF says; a JSON that other tools wrote has the unturned size."""
    path = str(tmp_path / "a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(path, exif=exif)
    LoadImage()(dict(img_path=path))
    with pytest.raises(InputError, match=r"\[image-size\].*4x6 pixels.*6x4.*EXIF"):
        LoadImage()(dict(img_path=path, height=4, width=6))


def spoil(path: str, how: str) -> None:
    with open(path, "rb") as file:
        content = file.read()
    content = dict(empty=b"", text=b"not an image", cut=content[: len(content) // 2])[how]
    with open(path, "wb") as file:
        file.write(content)


@pytest.mark.parametrize("how", ["empty", "text", "cut"])
@pytest.mark.parametrize("key", ["img_path", "seg_map_path"])
def test_unreadable_file_is_named_in_one_line(results, key, how):
    spoil(results[key], how)
    with pytest.raises(InputError, match=r"\A.*cannot be read.*\Z") as caught:
        LoadPanoptic()(LoadImage()(results))
    assert results[key] in str(caught.value)


@pytest.mark.parametrize("key", ["img_path", "seg_map_path"])
def test_missing_file_is_named_in_one_line(results, key):
    results[key] += ".gone"
    with pytest.raises(InputError, match=r"\A.*No such file.*\Z") as caught:
        LoadPanoptic()(LoadImage()(results))
    assert results[key] in str(caught.value)


def test_png_of_another_size(results):
    cv2.imwrite(results["seg_map_path"], np.zeros((20, 31, 3), np.uint8))
    with pytest.raises(InputError, match=r"\A.*truth.png' is 31x20.*photo.jpg' is 30x20.*\Z"):
        LoadPanoptic()(LoadImage()(results))


def test_semantic_map_is_only_the_panoptic_files(results):
    loaded = LoadImage()(results)
    expected = LoadPanoptic()(dict(loaded))["gt_seg_map"]
    semantic = LoadSemanticFromPanoptic()(dict(loaded))
    assert (semantic["gt_seg_map"] == expected).all()
    assert semantic["seg_fields"] == ["gt_seg_map"]
    assert not {"gt_masks", "gt_bboxes"} & semantic.keys()


def test_without_a_panoptic_png_there_are_no_classes(results):
    loaded = LoadImage()(results) | {"seg_map_path": None}
    with pytest.raises(InputError, match="has no panoptic PNG") as error:
        LoadSemanticFromPanoptic()(loaded)
    assert results["img_path"] in str(error.value) and "\n" not in str(error.value)
