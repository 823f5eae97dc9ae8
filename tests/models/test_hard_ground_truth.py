"""Every family learns from every ground truth, also from one that is empty or odd."""

import pytest
import torch
from helpers.extent import all_or
from helpers.families import BUILDERS, inputs_of, losses_by_name
from helpers.hard_ground_truth import CASES, kind_of
from helpers.parallel_families import cases

FAMILIES = all_or(("PRO-SCALE", "PEM semantic", "DDQ"), tuple(cases()))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_ground_truth_gives_a_finite_loss_and_all_gradients(family):
    torch.manual_seed(0)
    model = (BUILDERS | cases())[family]().train()
    for case, change in CASES.items():
        images, samples = inputs_of(model)
        change(samples, kind_of(model))
        model.zero_grad(set_to_none=True)
        losses = losses_by_name(model, images, samples)
        assert all(loss.isfinite() for loss in losses.values()), case
        sum(losses.values()).backward()
        trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        assert not [name for name, grad in trained.items() if grad is None], case
        assert all(grad.isfinite().all() for grad in trained.values()), case
    print(
        f"ground truth matrix ({', '.join(CASES)}): {family}: finite loss, a gradient in each of "
        f"{len(trained)} parameters"
    )


def test_the_ground_truth_is_what_its_name_says():
    model = BUILDERS["PRO-SCALE"]()
    for case, objects in (("empty", 0), ("zero area", 2), ("more objects than queries", 40)):
        _, samples = inputs_of(model)
        CASES[case](samples, "panoptic")
        assert [len(sample.gt_instances) for sample in samples] == [objects] * 2
    assert model.panoptic_head.num_queries < 40
