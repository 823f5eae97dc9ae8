"""Step B on a small model: its rows, continued runs, and several processes."""

import copy
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from helpers.tiny_eco import (
    CONFIG,
    IMAGES,
    derive_on,
    derive_once,
    options,
    write_checkpoint,
    write_shapes,
)
from mmengine.dataset import pseudo_collate

from mmproscale.cost.cost_report import exit_cost
from mmproscale.cost.model_cost import Network, model_cost
from mmproscale.early_exit import derived_file
from mmproscale.early_exit.derivation import (
    ImageDerivation,
    derive,
    load_gated_model,
    training_images,
)
from mmproscale.early_exit.derived_file import read_table
from mmproscale.errors import InputError
from mmproscale.evaluation import UniversalSegMetric
from mmproscale.utils.config import load_config


@pytest.fixture(autouse=True)
def usual_parts(monkeypatch):
    monkeypatch.setattr(derived_file, "PART_SIZE", derived_file.PART_SIZE)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model") / "step_a.pth")


@pytest.fixture(scope="module")
def derived(shapes, checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("derived") / "derived.parquet"
    usual = derived_file.PART_SIZE
    derive_once(shapes, checkpoint, out)
    derived_file.PART_SIZE = usual
    return out


@pytest.fixture(scope="module")
def model_and_images(shapes, checkpoint):
    config = load_config(CONFIG, options(shapes))
    dataset = training_images(config)
    model, _ = load_gated_model(config, checkpoint, dataset, "panoptic")
    return model.eval(), dataset


@pytest.mark.slow
def test_the_file_has_every_training_image_and_its_origin(derived, model_and_images):
    _, dataset = model_and_images
    table = read_table(derived)
    expected = [str(dataset.get_data_info(i)["img_id"]) for i in range(IMAGES)]
    assert list(table.image_ids) == expected
    assert (table.sizes == 128).all(), "the size of the test pipeline"
    assert table.quality.shape == (IMAGES, 5) and table.gate_inputs.shape == (IMAGES, 64)
    origin = table.origin
    assert (origin.config, origin.exits, origin.quality) == (CONFIG.name, (2, 3, 4, 5, 6), "pq")
    assert (origin.num_layers, origin.tail, len(origin.categories)) == (6, 0, 8)
    assert not derived.with_name("derived.parquet.parts").exists()


@pytest.mark.slow
def test_qualities_and_counts_equal_the_metrics_at_a_forced_exit(derived, model_and_images):
    model, dataset = model_and_images
    table = read_table(derived)
    for place, exit_ in enumerate(table.origin.exits):
        metric = UniversalSegMetric(dataset.ann_file, dataset.data_prefix["seg"], per_image=True)
        metric.dataset_meta = dataset.metainfo
        forced = copy.deepcopy(model)
        forced.panoptic_head.pixel_decoder.exit = exit_
        for item in (dataset[i] for i in range(IMAGES)):
            with torch.no_grad():
                results = forced.test_step(pseudo_collate([item]))
            metric.process(None, [sample.to_dict() for sample in results])
        metric.evaluate(IMAGES)
        of_images = [metric.report["per_image"][i]["pq"] for i in table.image_ids]
        np.testing.assert_allclose(table.quality[:, place], of_images, atol=1e-12)
        totals = table.counts.totals(np.full(IMAGES, place))
        for label, figures in enumerate(metric.report["per_class"].values()):
            assert totals[label, 1:].tolist() == [figures[k] for k in ("tp", "fp", "fn")]
    assert table.counts.values.any()


def test_the_gate_input_equals_that_of_the_gate(derived, model_and_images):
    model, dataset = model_and_images
    decoder = model.panoptic_head.pixel_decoder
    seen = []
    hook = decoder.exit_gate.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.test_step(pseudo_collate([dataset[3]]))
    hook.remove()
    np.testing.assert_allclose(read_table(derived).gate_inputs[3], seen[0][0], atol=1e-6)


def test_costs_are_those_of_the_model_as_run(derived, model_and_images):
    table = read_table(derived)
    cost = model_cost(Network(model_and_images[0]), tuple(table.sizes[0]))
    expected = [exit_cost(cost, exit_).total for exit_ in table.origin.exits]
    assert (table.costs == expected).all()


def test_backbone_and_encoder_run_once(model_and_images, monkeypatch):
    model, dataset = model_and_images
    calls = []
    counted = [model.backbone, *model.panoptic_head.pixel_decoder.encoder.layers]
    hooks = [m.register_forward_hook(lambda *_: calls.append(1)) for m in counted]
    quality = Mock(measure=lambda *_: (0.5, None), columns=lambda *_: {})
    images = ImageDerivation(model, quality)
    monkeypatch.setattr(images, "_fixed", lambda *_: 1)
    images.derive(dataset[0])
    for hook in hooks:
        hook.remove()
    assert len(calls) == 7


@pytest.mark.slow
def test_a_killed_run_continues_and_writes_the_same_file(
    shapes, checkpoint, derived, tmp_path, monkeypatch
):
    out, shown = tmp_path / "derived.parquet", []
    derive = ImageDerivation.derive
    calls = []

    def killed(self, item):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return derive(self, item)

    monkeypatch.setattr(ImageDerivation, "derive", killed)
    with pytest.raises(KeyboardInterrupt):
        derive_once(shapes, checkpoint, out)
    folder = tmp_path / "derived.parquet.parts"
    assert not out.exists() and len(list(folder.glob("part-*.parquet"))) == 1
    (folder / ".part-000001.parquet.99.tmp.parquet").write_bytes(b"half")
    calls.clear()
    monkeypatch.setattr(ImageDerivation, "derive", lambda s, i: calls.append(1) or derive(s, i))
    derive_once(shapes, checkpoint, out, progress=lambda *done: shown.append(done))
    assert len(calls) == IMAGES - 4, "the first part's images again"
    assert shown[0] == (4, IMAGES) and shown[-1] == (IMAGES, IMAGES)
    assert out.read_bytes() == derived.read_bytes() and not folder.exists()


@pytest.mark.slow
def test_two_processes_write_the_same_file_as_one(shapes, checkpoint, derived, tmp_path):
    assert derive_on(2, shapes, checkpoint, tmp_path / "derived.parquet") == ["", ""]
    assert (tmp_path / "derived.parquet").read_bytes() == derived.read_bytes()
    # An error of one process is raised on all.
    errors = derive_on(2, shapes, checkpoint, derived)
    assert errors[0] == errors[1] and "is there already: --restart derives it again" in errors[0]


@pytest.mark.slow
def test_parts_of_another_model_or_other_images_are_refused(
    shapes, checkpoint, tmp_path, monkeypatch
):
    out = tmp_path / "derived.parquet"

    def stop(self, item):
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageDerivation, "derive", stop)
    with pytest.raises(KeyboardInterrupt):
        derive_once(shapes, checkpoint, out)
    other = write_checkpoint(tmp_path / "other.pth", seed=1)
    with pytest.raises(InputError, match=r"parts of another model \(eco_m2f_r18_shapes.py\)"):
        derive_once(shapes, other, out)
    changed = load_config(CONFIG, options(shapes) | {"model.test_cfg.object_mask_thr": 0.01})
    with pytest.raises(InputError, match=r"another run, which had another model\.test_cfg"):
        derive(changed, checkpoint, out, torch.device("cpu"))
    monkeypatch.setattr(derived_file, "PART_SIZE", 5)
    with pytest.raises(KeyboardInterrupt):
        derive_once(shapes, other, out, restart=True)


def test_configs_that_cannot_be_derived_from(shapes, checkpoint):
    plain = load_config(CONFIG, options(shapes))
    plain.model.panoptic_head.pixel_decoder.exit_gate = None
    with pytest.raises(InputError, match="the model has no exit gate: name a config"):
        load_gated_model(plain, checkpoint, None, "panoptic")
    typo = load_config(CONFIG, options(shapes) | {"model.panoptic_head.num_querys": 9})
    with pytest.raises(InputError, match=r"did you mean num_queries\?"):
        load_gated_model(typo, checkpoint, None, "panoptic")
    empty = load_config(CONFIG, options(shapes))
    empty.train_dataloader = None
    with pytest.raises(InputError, match="has no single training set"):
        training_images(empty)
