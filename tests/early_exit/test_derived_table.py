"""The derived dataset in memory: costs of exits, and the split into two parts."""

from dataclasses import replace

import numpy as np
from helpers.derived_tables import derived_table, origin

from mmproscale.early_exit.derived_table import split


def test_a_tail_runs_after_every_exit():
    layers = np.array([[10, 10, 10, 10, 10, 70]])
    table = replace(derived_table(1), origin=origin(exits=(2, 4), tail=1), layer_macs=layers)
    assert table.encoder_costs.tolist() == [[90, 110]]
    assert table.costs.tolist() == [[90 + 5 * 10**9, 110 + 5 * 10**9]]
    assert table.relative_costs.tolist() == [[4.5, 5.5]]


def test_the_split_of_an_image_does_not_depend_on_the_others():
    table = derived_table(1000)
    fitting, judging = split(table, 0.2)
    assert set(fitting.image_ids) | set(judging.image_ids) == set(table.image_ids)
    assert 150 < len(judging) < 250 and len(fitting) + len(judging) == 1000
    fewer = split(table.take(np.arange(0, 1000, 3)[::-1]), 0.2)[1]
    assert set(fewer.image_ids) == set(judging.image_ids) & {str(n) for n in range(0, 1000, 3)}
    assert set(split(table, 0.2, seed=1)[1].image_ids) != set(judging.image_ids)
    assert split(table, 0) == (table, table)
    place = {image_id: n for n, image_id in enumerate(table.image_ids)}
    chosen = [place[image_id] for image_id in judging.image_ids]
    assert np.array_equal(judging.counts.values, table.counts.values[chosen])
    assert table.take(np.arange(3)).image_ids == ("0", "1", "2")
