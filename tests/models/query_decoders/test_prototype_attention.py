"""Prototype attention against eq. 1-7 written down plainly, and its choices."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from mmproscale.errors import InputError
from mmproscale.models.query_decoders import prototype_attention
from mmproscale.models.query_decoders.prototype_attention import (
    PrototypeAttention,
    active_queries,
    neighbourhood,
)

B, Q, C, HEADS, SHAPE = 2, 5, 16, 4, (6, 7)
N = SHAPE[0] * SHAPE[1]


def make(**choices):
    attention = PrototypeAttention(C, HEADS, **choices)
    torch.nn.init.uniform_(attention.alpha, 0.5, 1.5)
    norm = attention.memory_norm
    for parameter in (norm.weight, norm.bias):
        torch.nn.init.normal_(parameter)
    if isinstance(norm, torch.nn.BatchNorm2d):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return attention


def inputs():
    return [
        torch.randn(B, Q, C, requires_grad=True),
        torch.randn(1, Q, C, requires_grad=True),
        torch.randn(B, N, C, requires_grad=True),
        torch.randn(1, N, C, requires_grad=True),
    ]


def plainly(attention, queries, query_pos, memory, memory_pos, reads=None):
    """Compute attention by the paper's equations, and keep the keys of all tokens."""
    feature_map = (memory + memory_pos).transpose(1, 2).unflatten(2, SHAPE)
    features = attention.memory_conv(attention.memory_norm(feature_map))
    k = F.normalize(attention.memory_proj(features.flatten(2).transpose(1, 2)), dim=-1)
    q = F.normalize(attention.query_proj(attention.query_norm(queries + query_pos)), dim=-1)
    prototypes = torch.empty(B, Q, C)
    width = C // HEADS
    for b in range(B):
        for i in range(Q):
            for head in range(HEADS):
                own = slice(head * width, (head + 1) * width)
                similarity = k[b, :, own] @ q[b, i, own]
                if reads is not None:
                    similarity = similarity.masked_fill(~reads[b, 0, i], float("-inf"))
                prototypes[b, i, own] = k[b, similarity.argmax(), own]
    strength = attention.interaction(q * prototypes)
    strength = strength / strength.norm(dim=-1, keepdim=True)
    return queries + attention.out_proj(attention.alpha * strength + prototypes)


@pytest.fixture(params=[1000, 15], ids=["one stripe", "many stripes"])
def stripes(request, monkeypatch):
    monkeypatch.setattr(prototype_attention, "TOKENS_PER_STRIPE", request.param)


@pytest.mark.parametrize("norm_cfg", [dict(type="BN"), dict(type="GN", num_groups=2)], ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_is_the_papers_equations_forward_and_backward(masked, training, norm_cfg, stripes):
    attention = make(norm_cfg=norm_cfg, prototypes="masked" if masked else "any").train(training)
    given = inputs()
    reads = torch.rand(B, 1, Q, N) > 0.8 if masked else None
    parameters = [p for p in attention.parameters()]
    probe = torch.randn(B, Q, C)
    out = attention(*given, SHAPE, reads)
    expected = plainly(attention, *given, reads)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        ungraded = attention(*given, SHAPE, reads)
    torch.testing.assert_close(ungraded, expected, rtol=0, atol=1e-5)
    ours, theirs = (
        torch.autograd.grad(result, [*given, *parameters], probe) for result in (out, expected)
    )
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_only_the_mask_can_be_chosen_from(stripes):
    attention, given = make().eval(), inputs()
    reads = torch.zeros(B, 1, Q, N, dtype=torch.bool)
    reads[..., 11] = True
    changed = [tensor.clone() for tensor in given]
    far = [n for n in range(N) if n not in neighbourhood(torch.tensor(11), SHAPE)[0]]
    changed[2][:, far] += torch.randn(B, len(far), C)
    torch.testing.assert_close(attention(*given, SHAPE, reads), attention(*changed, SHAPE, reads))
    assert not torch.allclose(attention(*given, SHAPE), attention(*changed, SHAPE), atol=1e-3)


@torch.no_grad()
def test_queries_are_compared_with_stripes_of_their_masks(monkeypatch):
    monkeypatch.setattr(prototype_attention, "TOKENS_PER_STRIPE", 2 * SHAPE[1])  # one row of each
    compared, find = [], prototype_attention.blockwise_max
    monkeypatch.setattr(
        prototype_attention, "blockwise_max", lambda x: compared.append(x.shape[2]) or find(x)
    )
    reads = torch.zeros(B, 1, Q, *SHAPE, dtype=torch.bool)
    reads[:, :, 0] = True
    reads[0, 0, 1, 2], reads[1, 0, 2, 2], reads[1, 0, 3:, 5, 3] = True, True, True
    attention, given = make().eval(), inputs()
    attention(*given, SHAPE, reads.flatten(3))
    assert compared == [1, 1, 3, 1, 1, 3]
    compared.clear()
    attention(*given, SHAPE)
    assert compared == [Q] * 6


@torch.no_grad()
def test_a_trace_made_with_some_masks_holds_for_others(monkeypatch):
    monkeypatch.setattr(prototype_attention, "TOKENS_PER_STRIPE", 15)
    attention = make().eval().requires_grad_(False)
    given = [tensor.detach() for tensor in inputs()]
    reads = torch.zeros(2, B, 1, Q, N, dtype=torch.bool)
    reads[0, ..., :3], reads[1, ..., -3:] = True, True

    class OfMap(torch.nn.Module):
        def forward(self, *tensors):
            return attention(*tensors[:4], SHAPE, tensors[4])

    traced = torch.jit.trace(OfMap(), (*given, reads[0]))
    torch.testing.assert_close(
        traced(*given, reads[1]), attention(*given, SHAPE, reads[1]), rtol=0, atol=1e-6
    )


@torch.no_grad()
def test_the_papers_normalisation_does_not_depend_on_the_other_queries():
    given = inputs()
    fewer = [given[0][:, :2], given[1][:, :2], *given[2:]]
    alike = {}
    for axis in ("channels", "queries"):
        attention = make(normalised_over=axis).eval()
        whole, part = attention(*given, SHAPE)[:, :2], attention(*fewer, SHAPE)
        alike[axis] = torch.allclose(whole, part, atol=1e-6)
    assert alike == {"channels": True, "queries": False}


@torch.no_grad()
def test_without_prototypes_all_queries_get_the_sum_of_tokens():
    attention, given = make(prototypes="sum").eval(), inputs()
    given[0], given[1] = given[0] * 0, given[1] * 0
    out = attention(*given, SHAPE)
    torch.testing.assert_close(out, out[:, :1].expand(-1, Q, -1))
    order = torch.randperm(N)
    uniform = [
        *given[:2],
        *(tensor.mean(1, keepdim=True).expand(-1, N, -1) for tensor in given[2:]),
    ]
    moved = [*uniform[:2], *(tensor[:, order] for tensor in uniform[2:])]
    torch.testing.assert_close(attention(*uniform, SHAPE), attention(*moved, SHAPE))


@pytest.mark.parametrize("tokens", [1, 63, 64, 320])
def test_the_largest_is_the_first_of_those_that_are_as_large(tokens):
    x = torch.randint(0, 9, (2, 3, 5, tokens)).float()
    x[0, 0, 0] = float("-inf")
    value, index = (found.squeeze(-1) for found in prototype_attention.blockwise_max(x))
    assert torch.equal(value, x.amax(-1))
    assert torch.equal(index, (x == value.unsqueeze(-1)).int().argmax(-1))


def test_weights_learn_under_autocast_what_they_learn_in_fp32():
    attention = make().train()
    gradients = []
    given = inputs()
    for half in (False, True):
        attention.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = attention(*given, SHAPE)
        out.float().square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in attention.named_parameters()})
    for name, full in gradients[0].items():
        assert F.cosine_similarity(full.flatten(), gradients[1][name].flatten(), dim=0) > 0.9, name


@pytest.mark.parametrize(
    ("choices", "fault"),
    [
        (dict(prototypes="mean"), "prototypes='mean' must be one of"),
        (dict(normalised_over="heads"), "normalised_over='heads'"),
        (dict(empty_masks="batch"), "empty_masks='batch'"),
        (dict(num_heads=3), "num_heads=3: the heads"),
    ],
)
def test_invalid_choices_are_errors(choices, fault):
    with pytest.raises(InputError, match=fault):
        PrototypeAttention(C, **choices)


def test_all_queries_are_active_for_a_fake_mask():
    with FakeTensorMode():
        mask = torch.zeros(1, 1, 3, 4, dtype=torch.bool)
    assert active_queries(mask, whole=False) == slice(None)
