"""Plans: what the paper makes sure, the frontier, and that predicted costs are the traced ones."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.errors import InputError
from mmproscale.planning.frameworks import DINO, FRAMEWORKS
from mmproscale.planning.plan_prices import priced_candidates, with_latency
from mmproscale.planning.planning import (
    Evidence,
    base_config,
    config_of,
    config_text,
    frontier,
    has_all_of,
    make_candidate,
)
from mmproscale.planning.published import CITYSCAPES, COCO, CONV, LPE, PUBLISHED
from mmproscale.utils.config import load_config


def growth(*repeats, embedding=LPE):
    return make_candidate(dict(type="pro_scale", repeats=repeats), embedding)


M2F = make_candidate(dict(type="m2f", layers=6), CONV)
SWIN_T = Evidence.of("swin-t")


def test_updates_count_the_layers_of_each_level():
    assert growth(1, 2, 3).updates == (6, 5, 3)
    assert make_candidate(dict(type="lite", coarse_layers=5), LPE).updates == (6, 6, 1)
    assert growth(1, 1, 3).mean_updates == pytest.approx(60 ** (1 / 3))


def test_more_layers_of_one_family_and_the_convolution_have_all_of_less():
    assert has_all_of(growth(2, 2, 2), growth(1, 1, 1))
    assert has_all_of(growth(1, 1, 1, embedding=CONV), growth(1, 1, 1))
    assert not has_all_of(growth(1, 1, 1), growth(1, 1, 1, embedding=CONV))
    assert not has_all_of(growth(1, 3, 1), growth(1, 1, 3))
    assert not has_all_of(M2F, growth(1, 1, 1))


def test_the_papers_rows_agree_with_what_the_plan_assumes():
    for dataset in (COCO, CITYSCAPES):
        for backbone in ("swin-t", "r50"):
            rows = Evidence.of(backbone, replace(FRAMEWORKS["m2f"], dataset=dataset)).rows
            for more, better in rows:
                for less, row in rows:
                    if has_all_of(more, less):
                        assert better.pq >= row.pq
    coco = sorted(
        (c.mean_updates, row.pq) for c, row in SWIN_T.rows if c.schedule.name.startswith("PRO")
    )
    assert [pq for _, pq in coco] == sorted(pq for _, pq in coco)


def test_the_paper_makes_sure_what_an_encoder_has_all_of():
    assert SWIN_T.exact(growth(3, 3, 3)).pq == 52.82
    assert SWIN_T.exact(growth(3, 3, 2)) is None
    assert SWIN_T.at_least(growth(3, 3, 2)).pq == 52.12  # (2,2,2)
    assert SWIN_T.at_least(growth(3, 3, 3, embedding=CONV)).pq == 52.82
    assert SWIN_T.at_least(make_candidate(dict(type="m2f", layers=5), CONV)) is None


def test_a_backbone_without_rows_is_ordered_by_swin_ts():
    assert not SWIN_T.is_borrowed and not Evidence.of("r50").is_borrowed
    borrowed = Evidence.of("swin-b")
    assert borrowed.is_borrowed and borrowed.order == SWIN_T.rows and borrowed.rows == ()
    assert borrowed.exact(growth(3, 3, 3)) is None


def test_a_backbone_with_few_rows_is_quoted_and_ordered_by_swin_ts():
    few = Evidence.of("mvitv2-t")
    assert few.is_borrowed
    assert (few.exact(M2F).pq, few.exact(growth(1, 1, 3)).pq) == (54.11, 53.70)
    assert few.at_least(growth(1, 1, 3)).pq == 52.40


def test_the_frontier_promises_more_with_every_step():
    prices = {growth(1, 1, 1): 5, growth(2, 2, 2): 3, growth(1, 1, 3): 4, growth(3, 3, 3): 9}
    kept = frontier(list(prices), SWIN_T, prices.get)
    assert kept == [growth(2, 2, 2), growth(1, 1, 3), growth(3, 3, 3)]


def test_no_row_of_the_paper_is_there_twice():
    keys = [(r.dataset, r.backbone, r.schedule, r.pixel_embedding) for r in PUBLISHED]
    assert len(set(keys)) == len(keys)


@pytest.fixture(scope="module")
def candidates():
    configs = Path(__file__).resolve().parents[2] / "configs"
    return list(priced_candidates(configs, "r50", (301, 420), max_repeats=2))


def test_every_schedule_comes_with_both_embeddings(candidates):
    assert len(candidates) == 2 * (2**3 + 6 + 5) == len({c.name for c in candidates})
    assert all(c.macs > 0 for c in candidates)


@pytest.mark.parametrize("index", [0, 7, 9, 18, 19, 26, 30, 37])
def test_the_predicted_cost_is_that_of_the_config_that_is_written(candidates, configs, index):
    config = config_of(candidates[index], base_config(configs, "r50"))
    cost = model_cost(build_network(config), (301, 420))
    assert cost.published_total == candidates[index].macs


def test_the_written_config_is_flat_and_loads_beside_its_base(configs, tmp_path):
    text = config_text(growth(1, 2, 1, embedding=CONV), str(configs / "proscale_m2f_r50_coco.py"))
    ast.parse(text)
    (tmp_path / "mine.py").write_text(text)
    decoder = load_config(tmp_path / "mine.py").model.panoptic_head.pixel_decoder
    assert decoder.encoder.schedule == dict(type="pro_scale", repeats=(1, 2, 1))
    assert decoder.pixel_embedding.type == "ConvPixelEmbedding"
    assert decoder.encoder.layer_cfg.ffn_cfg.feedforward_channels == 1024


def test_latency_is_measured_for_each(configs):
    rounds = []
    some = with_latency(
        [growth(1, 1, 1), M2F],
        base_config(configs, "r50"),
        (64, 64),
        device="cpu",
        rounds=2,
        after_round=lambda: rounds.append(1),
    )
    assert len(rounds) == 3
    assert [c.schedule for c in some] == [growth(1, 1, 1).schedule, M2F.schedule]
    assert all(c.latency > 0 for c in some)


def test_files_are_named_by_the_schedules_numbers():
    assert growth(3, 3, 1).file_stem == "proscale-331-lpe"
    assert M2F.file_stem == "m2f-6-conv"
    assert make_candidate(dict(type="lite", coarse_layers=5), LPE).file_stem == "lite-5-lpe"


def test_an_unknown_backbone_is_answered_with_those_that_are_there(configs):
    with pytest.raises(InputError, match=r"--backbone vgg is not among .*r50.*swin-t"):
        base_config(configs, "vgg")


def boxes(kind, **fields):
    levels = fields.pop("levels", (64, 32, 16, 8))
    return make_candidate(dict(type=kind, **fields, levels=levels), None)


THREE_STAGES = ((64, 32), 16, 8)


def test_of_detectors_the_paper_has_two_rows():
    evidence = Evidence.of("r50", DINO)
    assert not evidence.is_borrowed and Evidence.of("swin-t", DINO).is_borrowed
    assert evidence.exact(boxes("m2f", layers=6)).score == 49.0
    assert evidence.exact(boxes("pro_scale", repeats=(3, 3, 3, 3))).score == 49.4
    assert evidence.at_least(boxes("pro_scale", repeats=(3, 3, 3), levels=THREE_STAGES)) is None
    prices = {
        boxes("lite", coarse_layers=5, blocks=1, fine_channels=256): 44,
        boxes("pro_scale", repeats=(2, 2, 2, 2)): 61,
        boxes("pro_scale", repeats=(3, 3, 3, 3)): 91,
        boxes("m2f", layers=6): 139,
    }
    assert frontier(list(prices), evidence, prices.get) == list(prices)[:3]


def test_predicted_costs_of_detectors_are_those_of_the_configs_that_are_written(configs):
    shape = (220, 250)
    candidates = {
        one.file_stem + str(len(one.schedule.stages)): one
        for one in priced_candidates(configs, "r50", shape, 2, DINO)
    }
    assert len(candidates) == 2**4 + 2**3 + 6 + 5 + 2 + 1
    base = base_config(configs, "r50", DINO)
    for name in ("proscale-21214", "lite-136"):
        config = config_of(candidates[name], base)
        cost = model_cost(build_network(config), shape)
        assert cost.total == candidates[name].macs


def test_a_detectors_config_is_written_with_its_recalibration(configs, tmp_path):
    base = str(configs / "proscale_dino_r50_coco.py")
    for one, recalibration in (
        (boxes("pro_scale", repeats=(1, 2, 1), levels=THREE_STAGES), dict(type="TRC")),
        (boxes("m2f", layers=4), None),
    ):
        (tmp_path / "mine.py").write_text(config_text(one, base))
        model = load_config(tmp_path / "mine.py").model
        assert model.recalibration == recalibration
        assert model.encoder.schedule == dict(one.config)


def test_latency_of_detectors_is_measured(configs):
    some = with_latency(
        [boxes("m2f", layers=1)], base_config(configs, "r50", DINO), (224, 256), "cpu", rounds=1
    )
    assert some[0].latency > 0
