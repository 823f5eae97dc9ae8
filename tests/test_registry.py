"""Registries: types of this package by their plain names, in any default scope."""

import pytest
from mmengine.registry import DefaultScope

from mmproscale.errors import InputError
from mmproscale.models.encoders.token_recalibration import TokenRecalibration
from mmproscale.registry import build_part


@pytest.mark.parametrize("scope", ["mmdet", "mmseg"])
def test_a_part_has_its_plain_name_in_every_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        built = build_part(dict(type="TRC", eps=0.5), embed_dims=8)
    assert isinstance(built, TokenRecalibration)
    assert built.eps == 0.5 and built.phi.in_features == 8


def test_a_part_without_a_type_is_refused():
    with pytest.raises(InputError, match="is a part of a model without a type such as"):
        build_part(dict(eps=0.5))
