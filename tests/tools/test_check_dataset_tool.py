"""tools/check_dataset.py: exit status, text, JSON, and options that exclude each other."""

import json
from pathlib import Path

import pytest

from mmproscale.datasets.shapes.generation import ShapesSpec, make_shapes

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "proscale_m2f_r18_shapes.py"


@pytest.fixture
def shapes(tmp_path) -> Path:
    root = tmp_path / "shapes"
    make_shapes(root, ShapesSpec(train=4, val=2, size=64))
    return root


@pytest.fixture
def check(run_tool):
    def run(*arguments):
        return run_tool("check_dataset.py", *arguments, "--workers", 1)

    return run


def plain(root: Path) -> tuple:
    pngs = root / "annotations" / "panoptic_train"
    return ("--ann", f"{pngs}.json", "--img", root / "train", "--seg", pngs)


def test_a_clean_config_has_status_0(check, shapes):
    status, out, error = check(CONFIG, "--cfg-options", f"data_root={shapes}")
    assert status == 0 and "panoptic_train.json (train): clean" in out
    assert "panoptic_val.json (val, test): clean" in out and "images: 4" in out
    assert "4/4" in error  # the bar


def test_a_key_that_nothing_reads_is_refused(check, shapes):
    options = (f"data_root={shapes}", "model.panoptic_head.num_querys=9")
    status, _, error = check(CONFIG, "--cfg-options", *options)
    assert status == 2 and "did you mean num_queries?" in error


def test_faults_have_status_1_and_are_named_in_text_and_json(check, shapes):
    for number in range(3):
        (shapes / "train" / f"00000{number}.jpg").write_bytes(b"")
    status, out, _ = check(*plain(shapes), "--limit", 1)
    assert status == 1 and "fault image-empty: 3" in out and "... and 2 more" in out
    status, out, _ = check(CONFIG, "--json", "--cfg-options", f"data_root={shapes}")
    report = json.loads(out)
    train, val = report["datasets"]
    assert status == 1 and not report["clean"] and not train["clean"] and val["clean"]
    empty = train["faults"]["image-empty"]
    assert empty["count"] == 3 and empty["first"][0]["file"].endswith("train/000000.jpg")
    assert train["counts"]["images"] == 4 and "stuff-first" in train["notes"]


def test_several_processes_find_the_same(run_tool, shapes):
    (shapes / "train" / "000002.jpg").write_bytes(b"")
    outputs = [
        run_tool("check_dataset.py", *plain(shapes), "--json", "--workers", n)[1] for n in (1, 2)
    ]
    assert outputs[0] == outputs[1] and "image-empty" in outputs[0]


@pytest.mark.parametrize(
    ("kind", "status"), [("mmdet.CocoPanopticDataset", 1), ("mmproscale.PanopticDataset", 0)]
)
def test_stuff_first_is_a_fault_for_mmdets_own_class(check, shapes, tmp_path, kind, status):
    dataset = dict(
        type=kind,
        data_root=str(shapes),
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img="train/", seg="annotations/panoptic_train/"),
    )
    config = tmp_path / "config.py"
    config.write_text(f"train_dataloader = dict(dataset={dataset!r})\n")
    found, out, error = check(config)
    assert found == status, error
    assert f"{'fault' if status else 'note'} stuff-first: 1" in out


def test_class_names_of_the_config_are_compared(check, shapes):
    options = [f"data_root={shapes}", "train_dataloader.dataset.metainfo.classes=(horse,)"]
    status, out, _ = check(CONFIG, "--cfg-options", *options)
    assert status == 1 and "fault classes-differ: 1" in out and "horse" in out


def edit(shapes: Path, split: str, change) -> None:
    path = shapes / "annotations" / f"panoptic_{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def faults_of(check, shapes: Path) -> list[dict]:
    """Return kind -> text of the faults, for the training and for the validation set."""
    _, out, _ = check(CONFIG, "--json", "--cfg-options", f"data_root={shapes}")
    datasets = json.loads(out)["datasets"]
    return [{k: f["first"][0]["message"] for k, f in d["faults"].items()} for d in datasets]


def test_an_image_that_cannot_be_scored_is_a_fault(check, shapes):
    edit(shapes, "train", lambda content: content["annotations"].pop())
    assert faults_of(check, shapes) == [{}, {}]  # it is only not trained on
    edit(shapes, "val", lambda content: content["annotations"].pop())
    train, val = faults_of(check, shapes)
    assert not train and list(val) == ["image-without-annotation"]
    assert "'000001.jpg'" in val["image-without-annotation"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["categories"].reverse(),
        lambda content: content["categories"][0].update(name="another"),
    ],
)
def test_labels_that_differ_between_training_and_validation_are_a_fault(check, shapes, change):
    edit(shapes, "val", change)
    train, val = faults_of(check, shapes)
    assert not train and list(val) == ["labels-differ"]
    assert "panoptic_val.json" in val["labels-differ"] and "panoptic_train" in val["labels-differ"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["categories"].append(dict(id=999, name="cone", isthing=1)),
        lambda content: content["categories"][0].update(isthing=1),
        lambda content: content["categories"][-1].update(isthing=0),
    ],
)
def test_a_class_count_other_than_the_models_is_a_fault(check, shapes, change):
    for split in ("train", "val"):
        edit(shapes, split, change)
    for faults in faults_of(check, shapes):
        assert list(faults) == ["class-count"]
        assert "model.panoptic_head has 4 and 4" in faults["class-count"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--ann", "a.json"),
        ("--img", "images"),
        (CONFIG, "--ann", "a.json", "--img", "images"),
        ("no_such_config.py",),
    ],
)
def test_bad_usage_has_status_2_and_one_line(check, arguments):
    status, out, error = check(*arguments)
    assert status == 2 and not out and len(error.strip().splitlines()) == 1
