"""The operator: every backend against mmcv's PyTorch form; by which name it runs; what sees it."""

import warnings

import pytest
import torch
from helpers.stock_attention import attention_inputs, mmcv_fallback, output_and_gradients

from mmproscale.errors import InputError
from mmproscale.ops import (
    BACKENDS,
    attention_backend,
    check_backend,
    embedding_bag_attention,
    multi_scale_deformable_attention,
)

# The function's name hides its module's.
OPERATOR = multi_scale_deformable_attention.__globals__
PORTABLE = pytest.mark.parametrize("backend", ["torch", "grid_sample"])
SHAPES = [(5, 7), (3, 2)]


def both(backend, shapes):
    """Return the operator, and mmcv's own form, as functions of the three tensors."""

    def ours(value, locations, weights):
        return multi_scale_deformable_attention(value, shapes, locations, weights, backend)

    def theirs(value, locations, weights):
        return mmcv_fallback()(value, torch.tensor(shapes), locations, weights)

    return ours, theirs


def check_equal(backend, shapes, inputs, **tolerance):
    ours, theirs = (output_and_gradients(function, inputs) for function in both(backend, shapes))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, **tolerance)


@PORTABLE
@pytest.mark.parametrize(
    "shapes",
    [
        [(5, 7)],
        [(1, 1)],
        [(1, 9), (9, 1)],
        [(3, 2), (6, 5), (1, 1)],
        [(2, 3), (4, 6), (7, 11), (13, 17)],
        [(2, 3)] * 5,
    ],
    ids=str,
)
def test_equals_mmcv_forward_and_backward(backend, shapes):
    check_equal(backend, shapes, attention_inputs(shapes))


@PORTABLE
@pytest.mark.parametrize(
    "sizes",
    [
        dict(images=1, queries=1, heads=1, head_dim=1, points=1),
        dict(images=4, queries=3, heads=8, head_dim=16, points=4),
        dict(images=3, queries=41, head_dim=5, points=3),  # as many queries as tokens
        dict(queries=100),
    ],
    ids=str,
)
def test_equals_mmcv_at_any_number_of_things(backend, sizes):
    check_equal(backend, SHAPES, attention_inputs(SHAPES, **sizes))


@PORTABLE
@pytest.mark.parametrize("outside", [1.0, 50.0, 1e9])
def test_equals_mmcv_where_points_are_far_outside(backend, outside):
    inputs = attention_inputs(SHAPES, outside=outside)
    check_equal(backend, SHAPES, inputs)
    assert (
        multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:], backend).isfinite().all()
    )


@PORTABLE
def test_equals_mmcv_where_points_are_on_the_cells_themselves(backend):
    # Sizes of powers of two, so that both reckon without rounding.
    shapes = [(4, 8)]
    value, locations, weights = attention_inputs(shapes, queries=13 * 9, heads=1, points=1)
    ys, xs = torch.meshgrid(torch.arange(-2, 7), torch.arange(-2, 11), indexing="ij")
    centres = torch.stack([(xs + 0.5) / 8, (ys + 0.5) / 4], dim=-1)  # two cells beyond each side
    locations = centres.to(locations).view(1, -1, 1, 1, 1, 2).repeat(2, 1, 1, 1, 1, 1)
    check_equal(backend, shapes, (value, locations.requires_grad_(), weights))


@PORTABLE
def test_equals_mmcv_in_single_precision(backend):
    shapes = [(5, 7), (10, 14), (25, 34)]
    inputs = attention_inputs(shapes, dtype=torch.float32, head_dim=8)
    # A location is rounded to 1e-7, and its gradient is multiplied by the map's size.
    check_equal(backend, shapes, inputs, rtol=1e-4, atol=1e-4)


@PORTABLE
def test_takes_tensors_that_are_not_contiguous(backend):
    def strided(tensor):
        return tensor.detach().repeat_interleave(2, dim=-1)[..., ::2].requires_grad_()

    inputs = attention_inputs(SHAPES)
    value = inputs[0].detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    others = tuple(strided(tensor) for tensor in inputs)
    assert not any(tensor.is_contiguous() for tensor in (value, *others))
    check_equal(backend, SHAPES, (value, *others[1:]))
    # One number for all queries, as `expand` gives it.
    weights = inputs[2].detach()[:, :1].expand_as(inputs[2])
    check_equal(backend, SHAPES, (*others[:2], weights.requires_grad_()))


@PORTABLE
def test_takes_an_output_gradient_that_is_not_contiguous(backend):
    inputs = attention_inputs(SHAPES)
    probe = torch.randn(2, 12, 11, dtype=torch.float64).transpose(1, 2)
    results = [torch.autograd.grad(f(*inputs), inputs, probe) for f in both(backend, SHAPES)]
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected)


@PORTABLE
@pytest.mark.parametrize("empty", [(0, 3), (3, 0), (0, 0)])
def test_an_empty_level_reads_as_zeros(backend, empty):
    shapes = [(5, 7), empty, (3, 2)]
    value, locations, weights = inputs = attention_inputs(shapes)
    ours = output_and_gradients(both(backend, shapes)[0], inputs)
    without = (value, locations[:, :, :, ::2], weights[:, :, :, ::2])
    theirs = output_and_gradients(both(None, SHAPES)[1], without)
    torch.testing.assert_close(ours[:2], theirs[:2])
    for mine, expected in zip(ours[2:], theirs[2:], strict=True):
        torch.testing.assert_close(mine[:, :, :, ::2], expected)
        assert not mine[:, :, :, 1].any()


@PORTABLE
def test_nothing_but_empty_levels(backend):
    inputs = attention_inputs([(0, 3), (0, 0)])
    assert not multi_scale_deformable_attention(
        inputs[0], [(0, 3), (0, 0)], *inputs[1:], backend
    ).any()


@PORTABLE
@pytest.mark.parametrize("none", ["images", "queries", "points"])
def test_none_at_all(backend, none):
    inputs = attention_inputs(SHAPES, **{none: 0})
    output, *gradients = output_and_gradients(both(backend, SHAPES)[0], inputs)
    assert output.shape == (*inputs[1].shape[:2], 12)
    assert [g.shape for g in gradients] == [tensor.shape for tensor in inputs]
    assert not any(tensor.any() for tensor in (output, *gradients))


@PORTABLE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_location_that_is_no_number_reads_zeros(backend, dtype, odd):
    value, locations, weights = attention_inputs(SHAPES, dtype=dtype)
    results = []
    for x in (odd, -9.0):  # the second is as far outside as matters
        moved = locations.detach().clone()
        moved[0, 0, 0, 0, 0, 0] = moved[1, -1, -1, -1, -1, 1] = x
        moved.requires_grad_()
        results.append(output_and_gradients(both(backend, SHAPES)[0], (value, moved, weights)))
    for mine, expected in zip(*results, strict=True):
        assert mine.isfinite().all()
        torch.testing.assert_close(mine, expected)
    assert not results[0][2][0, 0, 0, 0, 0].any()  # neither x nor y pulls at it


@PORTABLE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_values_as_under_autocast(backend, dtype):
    value, locations, weights = attention_inputs(SHAPES, dtype=torch.float32)
    value = value.detach().to(dtype).requires_grad_()
    ours = output_and_gradients(both(backend, SHAPES)[0], (value, locations, weights))
    assert [t.dtype for t in ours] == [dtype, dtype, torch.float32, torch.float32]

    exact = value.detach().float().requires_grad_()
    output = both(backend, SHAPES)[1](exact, locations, weights)
    # The same probe, rounded as the output's gradient is.
    generator = torch.Generator().manual_seed(1)
    probe = torch.randn(output.shape, generator=generator, dtype=dtype).float()
    gradients = torch.autograd.grad(output, (exact, locations, weights), probe)
    for mine, expected in zip(ours, (output, *gradients), strict=True):
        torch.testing.assert_close(mine, expected.to(mine.dtype), rtol=2e-2, atol=1e-5)


@PORTABLE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_all_in_half_precision(backend, dtype):
    inputs = [t.detach().to(dtype).requires_grad_() for t in attention_inputs(SHAPES)]
    output, *gradients = output_and_gradients(both(backend, SHAPES)[0], tuple(inputs))
    assert {t.dtype for t in (output, *gradients)} == {dtype}
    expected = both(backend, SHAPES)[1](*(t.float() for t in inputs))
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.1)


def test_shapes_may_come_as_a_tensor():
    value, locations, weights = attention_inputs(SHAPES)
    assert torch.equal(
        multi_scale_deformable_attention(value, SHAPES, locations, weights),
        multi_scale_deformable_attention(value, torch.tensor(SHAPES), locations, weights),
    )


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, True, True)]
)
def test_no_gradient_where_none_is_wanted(wanted):
    inputs = attention_inputs(SHAPES)
    for tensor, want in zip(inputs, wanted, strict=True):
        tensor.requires_grad_(want)
    both("torch", SHAPES)[0](*inputs).square().sum().backward()
    assert tuple(tensor.grad is not None for tensor in inputs) == wanted


def changed(name):
    """Return the three tensors, one of them of another shape."""
    value, locations, weights = attention_inputs(SHAPES)
    return {
        "value without heads": (value.flatten(2), locations, weights),
        "value of other tokens": (value[:, :-1], locations, weights),
        "value of other images": (value[:1], locations, weights),
        "value of other heads": (value[:, :, :-1], locations, weights),
        "locations without (x, y)": (value, locations[..., 0], weights),
        "locations (x, y, z)": (value, torch.cat([locations, locations[..., :1]], -1), weights),
        "locations of other queries": (value, locations[:, :-1], weights),
        "locations of other levels": (value, locations[:, :, :, :1], weights),
        "weights of other points": (value, locations, weights[..., :1]),
        "weights not apart by level": (value, locations, weights.flatten(3)),
        "levels not those of the maps": (value, locations[:, :, :, :1], weights[:, :, :, :1]),
    }[name]


CHANGED = [
    "value without heads",
    "value of other tokens",
    "value of other images",
    "value of other heads",
    "locations without (x, y)",
    "locations (x, y, z)",
    "locations of other queries",
    "locations of other levels",
    "weights of other points",
    "weights not apart by level",
    "levels not those of the maps",
]


@PORTABLE
@pytest.mark.parametrize("name", CHANGED)
def test_shapes_that_do_not_belong_together_are_refused_by_name(backend, name):
    value, locations, weights = changed(name)
    with pytest.raises(InputError) as caught:
        multi_scale_deformable_attention(value, SHAPES, locations, weights, backend)
    message = str(caught.value)
    assert "\n" not in message
    assert f"maps {SHAPES} (41 tokens) got values {tuple(value.shape)}" in message
    assert f"locations {tuple(locations.shape)} and weights {tuple(weights.shape)}" in message


def test_an_unknown_backend_is_refused_by_name():
    expected = "attention backend 'cudnn' is not one of mmcv, torch, deformops, grid_sample"
    inputs = attention_inputs(SHAPES)
    with pytest.raises(InputError, match=expected):
        multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:], backend="cudnn")
    with pytest.raises(InputError, match=expected):
        check_backend("cudnn")
    with pytest.raises(InputError, match=expected), attention_backend("cudnn"):
        pass
    assert [check_backend(name) for name in (None, *BACKENDS)] == [None, *BACKENDS]


def test_mmcv_is_refused_where_it_cannot_run():
    inputs = attention_inputs(SHAPES)
    message = r"'mmcv' takes fp32, fp16 and bf16 on CUDA, not torch.float64 on cpu: set another"
    with pytest.raises(InputError, match=message):
        multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:], backend="mmcv")
    with attention_backend("mmcv"), pytest.raises(InputError, match=message):
        multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:])


@pytest.fixture
def ran(monkeypatch):
    """Names of the backends that ran, which compute nothing here."""
    names = []

    def noting(name):
        def forward(value, shapes, locations, weights):
            names.append(name)
            return value.new_zeros(*locations.shape[:2], value.shape[2] * value.shape[3])

        return forward

    monkeypatch.setattr(embedding_bag_attention, "forward", noting("torch"))
    monkeypatch.setitem(OPERATOR, "grid_sample_attention", noting("grid_sample"))
    return names


def test_the_argument_rules_the_innermost_context_next(ran):
    inputs = attention_inputs(SHAPES)

    def run(backend=None):
        multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:], backend)
        return ran.pop()

    assert run("torch") == "torch"
    with attention_backend("torch"):
        assert run() == "torch"
        assert run("grid_sample") == "grid_sample"
        with attention_backend("grid_sample"):
            assert (run(), run("torch")) == ("grid_sample", "torch")
        assert run() == "torch"
    assert run() == "grid_sample"  # the automatic choice for so few


def test_a_context_ends_with_an_exception(ran):
    inputs = attention_inputs(SHAPES)
    with pytest.raises(KeyError), attention_backend("torch"):
        raise KeyError
    with pytest.raises(InputError), attention_backend("torch"), attention_backend("cudnn"):
        pass
    multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:])
    assert ran == ["grid_sample"]


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(
    ("shapes", "queries", "expected"),
    [
        ([(1, 1), (2, 2), (4, 4)], 21, "grid_sample"),
        ([(25, 34), (50, 68), (100, 136)], 17_850, "torch"),
        ([(25, 34), (50, 68), (100, 136)], 1, "grid_sample"),
    ],
)
def test_the_automatic_choice_on_a_cpu(ran, trains, shapes, queries, expected):
    tokens = sum(h * w for h, w in shapes)
    nothing = torch.zeros(())  # one number, expanded
    value = nothing.expand(1, tokens, 8, 32)
    locations = nothing.expand(1, queries, 8, 3, 4, 2)
    if trains:
        value.requires_grad_()
    multi_scale_deformable_attention(value, shapes, locations, locations[..., 0])
    assert ran == [expected]


def test_a_backward_pass_takes_its_forward_passs_backend(monkeypatch):
    kernel = embedding_bag_attention.backward
    calls = []
    monkeypatch.setattr(
        embedding_bag_attention, "backward", lambda *a: calls.append(1) or kernel(*a)
    )
    inputs = attention_inputs(SHAPES)
    with attention_backend("torch"):
        output = multi_scale_deformable_attention(inputs[0], SHAPES, *inputs[1:])
    with attention_backend("grid_sample"):
        output.sum().backward()
    assert calls == [1]


def our_op():
    return torch.ops.mmproscale.multi_scale_deformable_attention.default


class Attention(torch.nn.Module):
    def __init__(self, backend=None):
        super().__init__()
        self.backend = backend

    def forward(self, value, locations, weights):
        inputs = 2 * value, SHAPES, locations, weights
        return multi_scale_deformable_attention(*inputs, self.backend) + 1


def test_is_a_torch_library_operator():
    value, locations, weights = attention_inputs(SHAPES)
    arguments = (value, locations, weights, [5, 7, 3, 2], "torch")
    torch.library.opcheck(our_op(), arguments)
    grad = torch.randn(2, 11, 12, dtype=torch.float64)
    plain = (tensor.detach() for tensor in (grad, value, locations, weights))
    torch.library.opcheck(
        torch.ops.mmproscale.multi_scale_deformable_attention_backward.default,
        (*plain, [5, 7, 3, 2], "torch"),
    )


@pytest.mark.parametrize("backend", [None, "torch", "grid_sample"])
def test_compiles_whole(backend):
    inputs = attention_inputs(SHAPES)
    torch.compiler.reset()
    compiled = torch.compile(Attention(backend), fullgraph=True, backend="aot_eager")
    results = [output_and_gradients(module, inputs) for module in (Attention(), compiled)]
    for eager, mine in zip(*results, strict=True):
        torch.testing.assert_close(mine, eager)


def test_the_compiler_sees_one_operator():
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    torch.compile(Attention(), fullgraph=True, backend=backend)(*attention_inputs(SHAPES))
    (graph,) = graphs
    assert sum("multi_scale_deform" in str(n.target) for n in graph.graph.nodes) == 1
    assert not any("grid_sample" in str(n.target) for n in graph.graph.nodes)


@pytest.mark.parametrize("dynamic", [False, True])
def test_export_holds_one_operator(dynamic):
    inputs = tuple(tensor.detach() for tensor in attention_inputs(SHAPES))
    sizes = {0: torch.export.Dim("images"), 1: torch.export.Dim("queries")}
    dynamic_shapes = ({0: sizes[0]}, sizes, sizes) if dynamic else None
    program = torch.export.export(Attention(), inputs, dynamic_shapes=dynamic_shapes)
    targets = [node.target for node in program.graph.nodes]
    assert targets.count(our_op()) == 1
    assert not any("grid_sampler" in str(target) for target in targets)
    others = attention_inputs(SHAPES, images=5, queries=17) if dynamic else inputs
    torch.testing.assert_close(program.module()(*others), Attention()(*others))


@pytest.mark.parametrize("context", [None, "torch"])
def test_a_trace_holds_standard_operators_unless_a_backend_is_named(context):
    # As many as would be summed by an operator of ours otherwise.
    inputs = tuple(tensor.detach() for tensor in attention_inputs(SHAPES, queries=4000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        if context:
            with attention_backend(context):
                traced = torch.jit.trace(Attention(), inputs)
        else:
            traced = torch.jit.trace(Attention(), inputs)
    kinds = {node.kind().partition("::")[0] for node in traced.inlined_graph.nodes()}
    assert ("mmproscale" in kinds) == (context is not None)
    assert kinds - {"mmproscale"} <= {"aten", "prim"}
    torch.testing.assert_close(traced(*inputs), Attention()(*inputs))


@pytest.mark.parametrize(
    ("shapes", "dtype"), [([(-4, -5)], torch.float32), ([(4, 5)], torch.int32)]
)
def test_maps_of_negative_size_and_whole_numbers_are_refused(shapes, dtype):
    value = torch.ones(1, 20, 2, 4, dtype=dtype)
    with pytest.raises(InputError, match="these must be floats"):
        multi_scale_deformable_attention(
            value, shapes, torch.rand(1, 3, 2, 1, 4, 2), torch.rand(1, 3, 2, 1, 4)
        )
