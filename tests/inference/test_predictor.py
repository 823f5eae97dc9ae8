"""Predictor: a model with random weights predicts images, of all kinds and over views."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmproscale.errors import InputError
from mmproscale.inference.image_views import ImageViews
from mmproscale.inference.predictor import Detector, Predictor, Segmenter
from mmproscale.inference.tiles import Tiling
from mmproscale.utils.config import load_config

NAMES = ("disc", "box", "star", "ring", "sand", "water", "wall", "sky")
META = {
    "classes": NAMES,
    "thing_classes": NAMES[:4],
    "stuff_classes": NAMES[4:],
    "palette": [(20 * i, 250 - 20 * i, 90) for i in range(8)],
    "categories": [{"id": 10 * (i + 1), "name": name} for i, name in enumerate(NAMES)],
}
# Every query counts: the scores of random weights are low.
KEEP_ALL = {
    "model.test_cfg.object_mask_thr": 0.0,
    "model.test_cfg.iou_thr": 0.0,
    "model.test_cfg.filter_low_score": False,
}


@pytest.fixture(scope="module")
def config() -> Config:
    root = Path(__file__).resolve().parents[2]
    return load_config(root / "configs" / "proscale_m2f_r18_shapes.py", KEEP_ALL)


@pytest.fixture(scope="module")
def checkpoint(config, tmp_path_factory) -> Path:
    torch.manual_seed(0)
    init_default_scope("mmdet")
    model = MODELS.build(config.model)
    model.init_weights()
    # Masks of an untrained model are all foreground or all background: make them foreground.
    head = model.panoptic_head
    with torch.no_grad():
        embeddings = head.mask_embed(head.transformer_decoder.post_norm(head.query_feat.weight))
        head.pixel_decoder.mask_feature.bias.copy_(embeddings.mean(0) * 100)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": META}}, path)
    return path


@pytest.fixture(scope="module")
def predictor(config, checkpoint) -> Predictor:
    return Predictor(config, checkpoint, "cpu")


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    pixels[..., 2] = 255  # red, in OpenCV's order
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    return tmp_path / "photo.png"


def test_prediction_is_at_the_size_of_the_image(predictor, photo):
    prediction = predictor(photo)
    assert prediction.image.shape == (60, 90, 3)
    assert (prediction.image[..., 0] == 255).all()
    assert prediction.panoptic.shape == (60, 90) and prediction.panoptic.dtype == np.int32
    assert prediction.segments
    for segment in prediction.segments:
        mask = prediction.panoptic == segment.id
        rows, columns = np.nonzero(mask)
        x1, y1, x2, y2 = segment.box
        assert segment.area == mask.sum() > 0
        assert (x1, y1) == (columns.min(), rows.min())
        assert (x2, y2) == (columns.max() + 1, rows.max() + 1)
        assert segment.category_id == 10 * (segment.label + 1)
        assert segment.name == NAMES[segment.label] == predictor.classes[segment.label]
        assert segment.is_thing == (segment.label < 4)
        assert 0 < segment.score <= 1


@pytest.mark.parametrize("views", [None, ImageViews()], ids=["", "views"])
def test_logits_that_are_no_numbers_name_the_file(config, checkpoint, photo, views):
    predictor = Predictor(config, checkpoint, "cpu", views=views)
    with torch.no_grad():
        predictor.model.panoptic_head.pixel_decoder.mask_feature.bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match=r"logits of .*photo\.png are not finite"):
        predictor(photo)


def test_all_kinds_come_from_one_pass(config, checkpoint, photo):
    predictor = Predictor(config, checkpoint, "cpu", ("panoptic", "semantic", "instance"))
    assert not config.model.test_cfg.semantic_on  # the caller's config stays as it was
    prediction = predictor(photo)
    assert prediction.panoptic.shape == prediction.semantic.shape == (60, 90)
    assert set(np.unique(prediction.semantic)) <= set(range(8))
    assert set(np.unique(prediction.category_map())) <= {10 * (i + 1) for i in range(8)}
    found = prediction.instances
    assert set(found.category_ids) <= {10, 20, 30, 40}
    assert (np.diff(found.scores) <= 0).all()
    assert found.masks.shape == (len(found), 60, 90) and found.masks.any((1, 2)).all()


def test_kinds_that_were_not_requested_are_none(config, checkpoint, photo):
    prediction = Predictor(config, checkpoint, "cpu", ["instance"])(photo)
    assert prediction.instances
    assert prediction.panoptic is prediction.segments is prediction.semantic is None


def test_views_of_an_image_are_averaged_for_all_kinds(config, checkpoint, photo, tmp_path):
    """The mirror image gives the mirrored result, at the size of the image."""
    kinds = ("panoptic", "semantic", "instance")
    predictor = Predictor(config, checkpoint, "cpu", kinds, ImageViews())
    cv2.imwrite(str(tmp_path / "mirrored.png"), cv2.imread(str(photo))[:, ::-1])
    one, other = (predictor(tmp_path / f"{name}.png") for name in ("photo", "mirrored"))
    assert one.panoptic.shape == one.semantic.shape == (60, 90) and one.instances
    assert (one.semantic == other.semantic[:, ::-1]).mean() > 0.99
    areas = [sorted(segment.area for segment in result.segments) for result in (one, other)]
    assert np.abs(np.subtract(*areas)).sum() < 0.01 * 60 * 90
    assert one.image.shape == (60, 90, 3) and (one.image[..., 0] == 255).all()


def test_one_view_is_the_plain_prediction(config, checkpoint, predictor, photo):
    views = ImageViews(flip=False)
    found = Predictor(config, checkpoint, "cpu", views=views)(photo)
    assert (found.panoptic == predictor(photo).panoptic).all()


def test_unreadable_image_is_named(predictor, tmp_path):
    (tmp_path / "broken.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        predictor(tmp_path / "broken.jpg")


def test_checkpoint_of_another_model(config, tmp_path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth is not a checkpoint of this model"):
        Predictor(config, tmp_path / "other.pth", "cpu")


@pytest.mark.parametrize("views", [None, ImageViews()], ids=["", "views"])
def test_a_batch_gives_the_results_of_single_images(config, checkpoint, views, tmp_path):
    predictor = Predictor(config, checkpoint, "cpu", ("panoptic", "semantic"), views)
    generator = np.random.default_rng(1)
    paths = []
    for index, size in enumerate([(60, 90), (90, 60), (60, 90), (40, 40)]):
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), generator.integers(0, 255, (*size, 3), dtype=np.uint8))
    together = predictor(paths, batch_size=3)
    assert [result.name for result in together] == ["0", "1", "2", "3"]
    for path, result in zip(paths, together, strict=True):
        single = predictor(path)
        assert (single.panoptic == result.panoptic).mean() > 0.999
        assert (single.semantic == result.semantic).mean() > 0.999
        assert [s.label for s in single.segments] == [s.label for s in result.segments]


def test_the_same_image_from_a_file_and_from_memory(predictor, photo):
    bgr = cv2.imread(str(photo))
    rgb = bgr[..., ::-1]
    sources = [rgb, Image.fromarray(rgb), torch.from_numpy(rgb.copy()).permute(2, 0, 1)]
    expected = predictor(photo).segments  # with their scores
    for source in sources:
        assert predictor(source).segments == expected
    assert predictor(bgr, bgr=True).segments == expected
    assert predictor(bgr).segments != expected


def test_a_folder_is_read_as_it_is_needed(predictor, photo):
    broken = photo.with_name("zz.png")
    broken.write_text("no image")
    results = predictor(photo.parent)
    assert next(results).path == photo
    with pytest.raises(InputError, match=r"zz\.png"):
        next(results)


def test_the_exit_is_set_and_checked(config, checkpoint, photo):
    model = Segmenter(config, checkpoint, "cpu")
    assert model.exit is None
    with pytest.raises(InputError, match="exit"):
        model.exit = 99
    model.exit = None
    assert len(model(photo).segments) > 0


def test_each_class_refuses_the_other_kind_of_model(config, checkpoint, configs):
    with pytest.raises(InputError, match=r"gives segments: use mmproscale\.Segmenter"):
        Detector(config, checkpoint, "cpu")
    with pytest.raises(InputError, match=r"gives boxes: use mmproscale\.Detector"):
        Segmenter(configs / "dino_r18_shapes.py", checkpoint, "cpu")


def test_scores_below_the_least_are_dropped(config, checkpoint, photo):
    everything = Segmenter(config, checkpoint, "cpu", ["instance"])(photo).instances
    middle = float(np.median(everything.scores))
    some = Segmenter(config, checkpoint, "cpu", ["instance"], least_score=middle)(photo).instances
    assert 0 < len(some) < len(everything) and some.scores.min() >= middle


def test_images_that_are_too_thin_or_too_large_are_named(config, checkpoint, predictor):
    with pytest.raises(InputError, match="image 'image' of 600x2 pixels can't be resized"):
        predictor(np.zeros((2, 600, 3), np.uint8))
    small = Segmenter(config, checkpoint, "cpu", max_pixels=10_000)
    with pytest.raises(InputError, match=r"has 0 megapixels, more than 0\.01: cut it into tiles"):
        small(np.zeros((200, 200, 3), np.uint8))
    small.tiling = Tiling(100, 20)
    assert small(np.zeros((200, 200, 3), np.uint8)).panoptic.shape == (200, 200)


def test_tiles_have_all_kinds_at_the_size_of_the_image(config, checkpoint):
    kinds = ("panoptic", "semantic", "instance")
    pixels = np.random.default_rng(0).integers(0, 255, (150, 230, 3), dtype=np.uint8)
    result = Segmenter(config, checkpoint, "cpu", kinds, tile=100, overlap=30)(pixels)
    assert result.panoptic.shape == result.semantic.shape == (150, 230)
    assert sum(segment.area for segment in result.segments) == (result.panoptic > 0).sum()
    assert result.instances.masks.shape == (len(result.instances), 150, 230)
    assert (result.image == pixels).all() and result.kinds == kinds
