"""Rows of the paper that rank encoders, and the frontier."""

from dataclasses import replace

from helpers.plan_candidates import M2F, THREE_STAGES, boxes, growth

from mmproscale.planning.candidates import FRAMEWORKS, make_candidate
from mmproscale.planning.published import CITYSCAPES, COCO, CONV
from mmproscale.planning.ranking import PaperRanking, frontier, includes

SWIN_T = PaperRanking.of_backbone("swin-t")


def test_more_layers_and_the_convolution_include_less():
    assert includes(growth(2, 2, 2), growth(1, 1, 1))
    assert includes(growth(1, 1, 1, embedding=CONV), growth(1, 1, 1))
    assert not includes(growth(1, 1, 1), growth(1, 1, 1, embedding=CONV))
    assert not includes(growth(1, 3, 1), growth(1, 1, 3))
    assert not includes(M2F, growth(1, 1, 1))


def test_the_papers_rows_agree_with_the_assumption():
    for dataset in (COCO, CITYSCAPES):
        for backbone in ("swin-t", "r50"):
            rows = PaperRanking.of_backbone(
                backbone, replace(FRAMEWORKS["m2f"], dataset=dataset)
            ).rows
            for more, better in rows:
                for less, row in rows:
                    if includes(more, less):
                        assert better.pq >= row.pq
    coco = sorted(
        (c.mean_updates, row.pq) for c, row in SWIN_T.rows if c.schedule.name.startswith("PRO")
    )
    assert [pq for _, pq in coco] == sorted(pq for _, pq in coco)


def test_lower_bound_is_the_best_row_of_an_included_encoder():
    assert SWIN_T.row_of(growth(3, 3, 3)).pq == 52.82
    assert SWIN_T.row_of(growth(3, 3, 2)) is None
    assert SWIN_T.lower_bound(growth(3, 3, 2)).pq == 52.12  # (2,2,2)
    assert SWIN_T.lower_bound(growth(3, 3, 3, embedding=CONV)).pq == 52.82
    assert SWIN_T.lower_bound(make_candidate(dict(type="m2f", layers=5), CONV)) is None


def test_a_backbone_without_rows_is_ordered_by_swin_ts():
    assert not SWIN_T.is_borrowed and not PaperRanking.of_backbone("r50").is_borrowed
    borrowed = PaperRanking.of_backbone("swin-b")
    assert borrowed.is_borrowed and borrowed.order == SWIN_T.rows and borrowed.rows == ()
    assert borrowed.row_of(growth(3, 3, 3)) is None


def test_a_backbone_with_few_rows_is_quoted_and_ordered_by_swin_ts():
    few = PaperRanking.of_backbone("mvitv2-t")
    assert few.is_borrowed
    assert (few.row_of(M2F).pq, few.row_of(growth(1, 1, 3)).pq) == (54.11, 53.70)
    assert few.lower_bound(growth(1, 1, 3)).pq == 52.40


def test_every_step_of_the_frontier_ranks_higher():
    prices = {growth(1, 1, 1): 5, growth(2, 2, 2): 3, growth(1, 1, 3): 4, growth(3, 3, 3): 9}
    kept = frontier(list(prices), SWIN_T, prices.get)
    assert kept == [growth(2, 2, 2), growth(1, 1, 3), growth(3, 3, 3)]


def test_detectors_have_two_rows_in_the_paper():
    ranking = PaperRanking.of_backbone("r50", FRAMEWORKS["dino"])
    assert (
        not ranking.is_borrowed
        and PaperRanking.of_backbone("swin-t", FRAMEWORKS["dino"]).is_borrowed
    )
    assert ranking.row_of(boxes("m2f", layers=6)).score == 49.0
    assert ranking.row_of(boxes("pro_scale", repeats=(3, 3, 3, 3))).score == 49.4
    assert ranking.lower_bound(boxes("pro_scale", repeats=(3, 3, 3), levels=THREE_STAGES)) is None
    prices = {
        boxes("lite", coarse_layers=5, blocks=1, fine_channels=256): 44,
        boxes("pro_scale", repeats=(2, 2, 2, 2)): 61,
        boxes("pro_scale", repeats=(3, 3, 3, 3)): 91,
        boxes("m2f", layers=6): 139,
    }
    assert frontier(list(prices), ranking, prices.get) == list(prices)[:3]
