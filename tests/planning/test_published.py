"""Rows of the papers' tables."""

from mmproscale.planning.published import PUBLISHED


def test_every_row_of_the_paper_occurs_once():
    keys = [(r.dataset, r.backbone, r.schedule, r.pixel_embedding) for r in PUBLISHED]
    assert len(set(keys)) == len(keys)
