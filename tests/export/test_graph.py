"""Graphs equal the models that they are made of, without their data samples."""

import pytest
import torch
from helpers.exported_models import small_predictor
from helpers.tiny_detectors import scheduled
from mmdet.structures import DetDataSample

from mmproscale.errors import InputError
from mmproscale.export.graph import ExitGraph, GateGraph, early_exits, graph_of, traceable


def detector_outputs(model, images):
    """The head's last outputs by mmdet's own way, with data samples."""
    size = tuple(images.shape[-2:])
    meta = dict(img_shape=size, ori_shape=size, batch_input_shape=size)
    samples = [DetDataSample(metainfo=meta) for _ in images]
    inputs = model.forward_transformer(model.extract_feat(images), samples)
    classes, boxes = model.bbox_head(**inputs)[:2]
    return classes[-1], boxes[-1]


@pytest.mark.parametrize("family", ["M2F", "PRO-SCALE", "PEM", "DINO", "DETR"])
@torch.no_grad()
def test_a_graph_has_the_models_outputs(family, tmp_path):
    model = small_predictor(family, tmp_path).model
    images = torch.randn(2, 3, 75, 101)
    if family in ("DINO", "DETR"):
        expected = detector_outputs(model, images)
    else:
        predictions = model.query_predictions(images)
        expected = predictions.class_logits[-1], predictions.masks()
    with traceable(model):
        found = graph_of(model)(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed sizes", "dynamic sizes"])
@pytest.mark.parametrize("family", ["M2F", "PRO-SCALE", "Lite", "PEM", "ECO", "Swin"])
@torch.no_grad()
def test_compiles_without_a_graph_break(family, dynamic, tmp_path):
    model = small_predictor(family, tmp_path).model
    if family == "ECO":
        early_exits(model).exit = 2
    graph = graph_of(model).eval()
    torch._dynamo.reset()
    with traceable(model):
        compiled = torch.compile(graph, fullgraph=True, dynamic=dynamic, backend="eager")
        for size in ((64, 96), (96, 128)):
            images = torch.randn(1, 3, *size)
            for ours, theirs in zip(compiled(images), graph(images), strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_gate_and_exit_together_are_the_model(tmp_path):
    model = small_predictor("ECO", tmp_path).model
    part, graph, images = early_exits(model), graph_of(model), torch.randn(2, 3, 64, 96)
    with traceable(model):
        logits, *maps = GateGraph(graph, 4)(images)
        part.exit = 2
        classes, masks = ExitGraph(graph, 4)(*maps)
        predictions = model.query_predictions(images)
    assert logits.shape == (2, len(part.exits))
    assert predictions.exits == (2, 2)
    torch.testing.assert_close(classes, predictions.class_logits[-1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(masks, predictions.masks(), atol=1e-5, rtol=1e-4)
    part.exit = None
    last = model.query_predictions(images)
    assert not torch.allclose(masks, last.masks()), "the exits of this model do not differ"


def test_stock_attention_is_itself_again_afterwards(tmp_path):
    model = small_predictor("DINO", tmp_path).model
    methods = [getattr(module, "forward", None) for module in model.modules()]
    with traceable(model):
        assert methods != [getattr(module, "forward", None) for module in model.modules()]
    assert methods == [getattr(module, "forward", None) for module in model.modules()]


def test_models_without_a_graph_are_named():
    with pytest.raises(InputError, match="DDQ selects queries by non-maximum suppression"):
        graph_of(scheduled("DDQDETR"))
    with pytest.raises(InputError, match="a Linear can't be exported"):
        graph_of(torch.nn.Linear(1, 1))
