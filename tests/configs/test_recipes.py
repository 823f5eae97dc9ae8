"""Training recipes are those of their sources, or docs/recipes.md says why not."""

import pytest
from helpers import recipe_page
from helpers.recipes import entries_for, find_differences, read_recipes, stated_sources


def test_every_value_is_its_sources_or_has_one_entry_that_says_why():
    wrong = [difference for difference in find_differences() if len(entries_for(difference)) != 1]
    assert not wrong, "\n".join(map(str, wrong))


def test_every_entry_is_of_a_difference_and_gives_a_reason():
    used = {number for difference in find_differences() for number in entries_for(difference)}
    entries = stated_sources()["differences"]
    assert used == set(range(1, len(entries) + 1))
    assert all(entry["why"].strip() for entry in entries)


def test_the_batch_that_runs_is_that_of_the_recipe():
    for recipe in read_recipes():
        devices = 8 if recipe.sources else 1
        for values in recipe.values.values():
            assert int(values["batch"]) == devices * int(values["images per device"]), recipe.name


def test_every_value_that_a_source_states_is_read_from_the_configs():
    """A row that only a source has would never be compared."""
    for recipe in read_recipes():
        rows = {row for values in recipe.values.values() for row in values}
        for source in recipe.sources:
            assert {*source.values} <= rows, (recipe.name, source.name, {*source.values} - rows)


def test_the_page_is_what_the_configs_say():
    assert recipe_page.PAGE.read_text() == recipe_page.page(), (
        "docs/recipes.md is stale: run PYTHONPATH=tests python -m helpers.recipe_page"
    )


@pytest.mark.parametrize(
    ("row", "value"), [("colours", "unchanged"), ("steps", "1"), ("decay of norms", "0.05")]
)
def test_a_value_that_drifts_is_seen(row, value, monkeypatch):
    recipe = read_recipes()[0]
    monkeypatch.setitem(recipe.values["r50"], row, f"another {value}")
    unexplained = [d for d in find_differences() if not entries_for(d)]
    assert {(d.recipe, d.backbone, d.row) for d in unexplained} == {(recipe.name, "r50", row)}
