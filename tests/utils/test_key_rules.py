"""Tables of keys: renaming, joining and reordering, and the way back."""

import pytest
import torch

from mmproscale.utils.key_rules import (
    FLATTENED,
    MERGED,
    REORDERED,
    KeyRule,
    map_back,
    map_keys,
    merge_channel_major,
    merge_quadrant_major,
    modules,
    under,
)

RULES = (
    *modules({"a.{n}.norm": "b.{n}.norms.0"}),
    KeyRule(tuple(f"a.{{n}}.{name}.{{p}}" for name in "qkv"), "b.{n}.qkv.{p}", MERGED),
    KeyRule("down.{n}.weight", "merge.{n}.weight", REORDERED),
    KeyRule("alpha", "alpha", FLATTENED),
)


def weights():
    named = {f"a.{n}.norm.{p}": torch.randn(4) for n in (0, 11) for p in ("weight", "running_mean")}
    named |= {f"a.{n}.{x}.weight": torch.randn(2, 3) for n in (0, 11) for x in "qkv"}
    return named | {"down.1.weight": torch.randn(5, 12), "alpha": torch.randn(1, 1, 4)}


def test_every_change_and_its_inverse():
    theirs = weights()
    mapped = map_keys(theirs, RULES)
    assert not mapped.unknown
    assert torch.equal(
        mapped.weights["b.11.norms.0.running_mean"], theirs["a.11.norm.running_mean"]
    )
    joined = torch.cat([theirs[f"a.0.{name}.weight"] for name in "qkv"])
    assert torch.equal(mapped.weights["b.0.qkv.weight"], joined)
    assert mapped.origin["b.0.qkv.weight"][1] == tuple(f"a.0.{name}.weight" for name in "qkv")
    assert mapped.weights["alpha"].shape == (4,)
    back = map_back(mapped.weights, RULES)
    assert not back.unknown and back.weights.keys() == theirs.keys()
    assert all(torch.equal(back.weights[key], value) for key, value in theirs.items())


def test_unknown_keys_and_a_part_that_is_missing():
    theirs = weights() | {"a.0.normal.weight": torch.zeros(1), "xalpha": torch.zeros(1)}
    del theirs["a.11.k.weight"]
    mapped = map_keys(theirs, RULES)
    assert set(mapped.unknown) == {
        *("a.0.normal.weight", "xalpha", "a.11.q.weight", "a.11.v.weight")
    }
    assert "b.11.qkv.weight" not in mapped.weights
    assert map_back({"c.weight": torch.zeros(1)}, RULES).unknown == ("c.weight",)


def test_the_first_rule_counts_and_no_key_is_filled_twice():
    rules = modules({"x": "y", "z": "y"})
    mapped = map_keys({"z.weight": torch.ones(1), "x.weight": torch.zeros(1)}, rules)
    assert mapped.weights["y.weight"] == 1 and mapped.unknown == ("x.weight",)
    assert list(map_back({"y.weight": torch.ones(1)}, rules).weights) == ["x.weight"]


def test_prefixes():
    (rule,) = under(modules({"a.{n}": "b.{n}"}), "theirs.", "ours.")
    assert (rule.theirs, rule.ours) == ("theirs.a.{n}.{p}", "ours.b.{n}.{p}")
    assert rule.placeholders == ("n",)


@pytest.mark.parametrize("shape", [(8,), (3, 12), (2, 20)])
def test_reordering_back(shape):
    value = torch.randn(shape)
    assert torch.equal(merge_quadrant_major(merge_channel_major(value)), value)
    assert not torch.equal(merge_channel_major(value), value)
