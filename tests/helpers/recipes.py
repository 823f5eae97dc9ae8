"""Recipes of all configs next to what their sources state, and how the two differ."""

import importlib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
from helpers.recipe_values import BACKBONE_ROWS, KINDS, config_values, effective_rates
from mmengine.config import Config

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests/configs/recipe_sources.yaml"
BACKBONE = re.compile(
    r"(?<=_)(r\d+|swin-[tsbl]|mvitv2-t|stdc\d|timm)(-dino|-moby|-efficientnet-lite0)?(?=_)"
)
NOT_COMPARED = {"images per device"}
DECAY_ROWS = {f"decay of {kind}" for kind in (*KINDS, "norms", "the backbone's norms")}


@dataclass
class Source:
    """Values that one source states: for all backbones, and for some of them."""

    name: str
    place: str
    values: dict[str, str]
    backbones: dict[str, dict[str, str]] = field(default_factory=dict)

    def stated(self, backbone: str) -> dict[str, str]:
        return self.values | self.backbones.get(backbone, {})


@dataclass
class Recipe:
    """Configs that train alike: names by backbone, values by backbone, and sources."""

    name: str
    configs: dict[str, list[str]]
    values: dict[str, dict[str, str]]
    sources: list[Source]
    like: str | None = None

    def rows(self, of_backbones: bool) -> list[str]:
        """Return the rows that depend on the backbone, or the others, in the page's order."""
        rows = dict.fromkeys(row for values in self.values.values() for row in values)
        return [row for row in rows if (row in BACKBONE_ROWS) == of_backbones]


@dataclass(frozen=True)
class Difference:
    """A value that a source states otherwise."""

    recipe: str
    backbone: str
    source: str
    row: str
    here: str | None
    there: str


@cache
def stated_sources() -> dict:
    """Return tests/configs/recipe_sources.yaml."""
    return yaml.safe_load(SOURCES.read_text())


@cache
def read_recipes() -> list[Recipe]:
    """Read all recipes with their configs and sources.

    Raises:
        ValueError: A config has no recipe or two, or trains otherwise than its recipe's others.
    """
    names = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    recipes = []
    for stated in stated_sources()["recipes"]:
        mine = [name for name in names if re.fullmatch(stated["configs"], name)]
        recipes.append(_read_recipe(stated, mine))
    found = [name for recipe in recipes for some in recipe.configs.values() for name in some]
    if sorted(found) != names:
        wrong = {*names} ^ {*found} | {name for name in found if found.count(name) > 1}
        raise ValueError(f"configs without a recipe, or with two: {sorted(wrong)}")
    return recipes


def _read_recipe(stated: dict, names: list[str]) -> Recipe:
    sources = [_read_source(source) for source in stated.get("sources", ())]
    recipe = Recipe(stated["name"], {}, {}, sources, stated.get("like"))
    for name in names:
        backbone = BACKBONE.search(f"_{name}_").group()
        config = load_config(ROOT / "configs" / f"{name}.py")
        values = config_values(config) | _cached_rates(recipe, name, backbone, config)
        known = recipe.values.setdefault(backbone, values)
        rows = {row: v for v_ in recipe.values.values() for row, v in v_.items()}
        for row, value in values.items():
            other = known.get(row) if row in BACKBONE_ROWS else rows[row]
            if other != value:
                raise ValueError(f"{name}: {row} is {value}, in its recipe's others {other}")
        recipe.configs.setdefault(backbone, []).append(name)
    if not recipe.configs:
        raise ValueError(f"no config is named {stated['configs']}")
    rows, earlier = {row for values in recipe.values.values() for row in values}, set()
    for source, how in zip(recipe.sources, stated.get("sources", ()), strict=True):
        # What a model does not have has no decay in a source either.
        left_out = DECAY_ROWS - rows
        left_out |= earlier if how.get("fills") else set()
        source.values = {row: v for row, v in source.values.items() if row not in left_out}
        earlier |= {*source.values}
    return recipe


_rates: dict[tuple, dict] = {}


def _cached_rates(recipe: Recipe, name: str, backbone: str, config: Config) -> dict[str, str]:
    """Return effective rates, of one model for all configs of a backbone with one optimizer."""
    if config.model.backbone.type.startswith(("mmpretrain.", "mmproscale.Timm")):
        # Their packages need not be installed.
        return {}
    key = (recipe.name, backbone, str(config.optim_wrapper), str(config.model.backbone))
    if key not in _rates:
        _rates[key] = effective_rates(config)
    return _rates[key]


def _read_source(stated: dict) -> Source:
    if "published" in stated:
        published = stated_sources()["published"][stated["published"]]
        backbones = {b: _known(v) for b, v in published.get("backbones", {}).items()}
        return Source(published["name"], published["from"], _known(published["values"]), backbones)
    stocks = {backbone: _stock_values(place) for backbone, place in stated["stock"].items()}
    first = next(iter(stocks.values()))
    general = {row: value for row, value in first.items() if row not in BACKBONE_ROWS}
    return Source(stated["name"], ", ".join(stated["stock"].values()), general, stocks)


def _known(values: dict) -> dict[str, str]:
    return {row: value for row, value in values.items() if value is not None}


@cache
def _stock_values(place: str) -> dict[str, str]:
    """Return the values of mmdet's or mmseg's own config."""
    package, _, path = place.partition("/")
    folder = Path(importlib.import_module(package).__file__).parent / ".mim/configs"
    config = Config.fromfile(folder / path)
    return config_values(config) | effective_rates(config)


def find_differences() -> list[Difference]:
    """Return every value of every recipe and backbone that a source states otherwise."""
    return [
        Difference(recipe.name, backbone, source.name, row, here.get(row), there)
        for recipe in read_recipes()
        for backbone, here in recipe.values.items()
        for source in recipe.sources
        for row, there in source.stated(backbone).items()
        if row not in NOT_COMPARED | _not_read(here) and here.get(row) != there
    ]


def _not_read(values: dict) -> set[str]:
    """Return the rows of a model that was not built, see `_cached_rates`."""
    return set() if "rate multipliers" in values else {"rate multipliers", *DECAY_ROWS}


def entries_for(difference: Difference) -> list[int]:
    """Return the numbers of the entries that explain a difference; they begin with 1."""
    return [
        number
        for number, entry in enumerate(stated_sources()["differences"], 1)
        if entry["row"] == difference.row
        and difference.source in entry["sources"]
        and difference.recipe in entry.get("recipes", [difference.recipe])
        and (entry["here"], entry["there"]) == (difference.here, difference.there)
    ]
