"""Candidates of plans."""

from mmproscale.planning.candidates import make_candidate
from mmproscale.planning.published import CONV, LPE

M2F = make_candidate(dict(type="m2f", layers=6), CONV)
THREE_STAGES = ((64, 32), 16, 8)


def growth(*repeats, embedding=LPE):
    """PRO-SCALE of Mask2Former."""
    return make_candidate(dict(type="pro_scale", repeats=repeats), embedding)


def boxes(kind, **fields):
    """Encoder of a detector."""
    levels = fields.pop("levels", (64, 32, 16, 8))
    return make_candidate(dict(type=kind, **fields, levels=levels), None)
