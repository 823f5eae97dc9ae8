"""Metafiles of the model zoo: generated, complete, papers' figures separate from measured ones."""

import re
from pathlib import Path

import pytest
import yaml
from helpers import zoo

ROOT = zoo.ROOT
METAFILES = sorted((ROOT / "configs/metafiles").iterdir())


def models() -> list[dict]:
    return [m for file in METAFILES for m in yaml.safe_load(file.read_text())["Models"]]


def test_the_files_are_what_configs_and_tables_say():
    stale = [path for path, text in zoo.files().items() if path.read_text() != text]
    assert not stale, "run PYTHONPATH=tests python -m helpers.zoo"


def test_the_index_lists_all_metafiles_and_is_where_mim_looks_for_it():
    for index in (ROOT / "model-index.yml", ROOT / "mmproscale/.mim/model-index.yml"):
        listed = yaml.safe_load(index.read_text())["Import"]
        assert sorted(index.parent / name for name in listed) == [
            index.parent / "configs/metafiles" / file.name for file in METAFILES
        ]
        assert all((index.parent / name).is_file() for name in listed)


def test_each_config_has_one_model_of_a_collection():
    configs = [f"configs/{path.name}" for path in sorted((ROOT / "configs").glob("*.py"))]
    assert sorted(model["Config"] for model in models()) == configs
    for file in METAFILES:
        content = yaml.safe_load(file.read_text())
        (collection,) = content["Collections"]
        assert content["Models"]
        for model in content["Models"]:
            assert model["In Collection"] == collection["Name"]
            assert Path(model["Config"]).stem == model["Name"]


def test_figures_of_papers_have_a_source_and_measured_ones_a_command_and_hardware():
    published = [figure for model in models() for figure in model.get("Published", ())]
    measured = [figure for model in models() for figure in model.get("Results", ())]
    assert len(published) > 40 and len(measured) > 10
    keys = {"Task", "Dataset", "Metrics"}
    assert all(set(figure) == keys | {"Source"} for figure in published)
    assert all(set(figure) == keys | {"Command", "Hardware"} for figure in measured)


def test_a_row_of_the_papers_table_brings_its_other_columns():
    (model,) = (model for model in models() if model["Name"] == "proscale_m2f_swin-t_coco")
    (figure,) = model["Published"]
    assert figure["Metrics"] == {"PQ": 52.82, "mIoU": 63.49, "mask AP": 42.6, "GFLOPs": 171.7}
    assert figure["Source"] == "PRO-SCALE, Table 1" and "Results" not in model


@pytest.mark.parametrize("entry", yaml.safe_load(zoo.SOURCES.read_text())["measured"], ids=str)
def test_measured_figures_are_those_of_the_page_on_results_or_of_published_weights(entry):
    if "Weights" in entry:
        assert re.search(r"-[0-9a-f]{8}\.(pth|safetensors)$", entry["Weights"])
        return
    rows = (ROOT / "docs/results.md").read_text().splitlines()
    rows = [row for row in rows if row.startswith(f"| `{Path(entry['Config']).stem}` |")]
    for result in entry["Results"]:
        for figure in result["Metrics"].values():
            assert any(re.search(rf"[ |]{figure}[ ,]", row) for row in rows), figure
