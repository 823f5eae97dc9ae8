"""Any number of processes gives the same figures; a lost image is an error on each of them."""

import pytest
from helpers.evaluating_processes import deal, evaluate_on, evaluate_others_on
from helpers.tiny_universal import write_universal

SIZES = (0, 1, 2, 7, 50)
WORLDS = (2, 3, 4)


@pytest.fixture(scope="module")
def ann_file(tmp_path_factory):
    return write_universal(tmp_path_factory.mktemp("truth"), 50)


@pytest.fixture(scope="module")
def answers(ann_file, tmp_path_factory):
    """Return the answers of each process to each job, by number of processes."""
    folder = tmp_path_factory.mktemp("processes")
    metric = dict(ann_file=str(ann_file), kinds=["panoptic", "semantic", "instance"])
    found = {}
    for world in (1, *WORLDS):
        jobs = [
            dict(size=size, dealt=deal(size, world) if size else [[]] * world) for size in SIZES
        ]
        if world > 1:
            lost, twice = deal(7, world), deal(7, world)
            lost[1].pop(1)
            twice[1].insert(1, twice[0][1])
            jobs += [dict(size=7, dealt=lost), dict(size=7, dealt=twice)]
        prefix = dict(outfile_prefix=str(folder / f"kept{world}"), per_image=True)
        found[world] = evaluate_on(world, folder / str(world), jobs, metric | prefix)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_figures_are_those_of_one_process(answers, world):
    (single,) = answers[1]
    for rank, answer in enumerate(answers[world]):
        for job, size in enumerate(SIZES):
            assert answer[job]["figures"] == single[job]["figures"], (rank, size)
        assert answer[4]["report"]["per_class"] == single[4]["report"]["per_class"]
    main = answers[world][0]
    assert [main[job]["report"] for job in range(5)] == [single[job]["report"] for job in range(5)]
    assert 20 < main[4]["figures"]["universal/PQ"] < 95
    assert set(main[0]["figures"].values()) == {None}, "no images, no figures"


@pytest.mark.parametrize("world", WORLDS)
def test_lost_and_doubled_images_are_named_on_every_process(answers, world):
    for answer in answers[world]:
        gone = deal(7, world)[1][1]
        assert f"1 of the dataset's 7 images have no result: image {gone};" in answer[5]["error"]
        doubled = deal(7, world)[0][1]
        assert f"image {doubled} has several results" in answer[6]["error"]


def test_the_kept_predictions_are_those_of_one_process(ann_file, answers, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    kept = {p.name: p.read_text() for p in folder.glob("processes*/kept*.json")}
    assert len(kept) == 8
    for ending in ("panoptic.json", "per_image.json"):
        assert len({kept[f"kept{world}.{ending}"] for world in (1, *WORLDS)}) == 1


@pytest.mark.slow
def test_other_metrics_figures_are_those_of_one_process(tmp_path):
    sizes = list(SIZES[1:])
    (single,) = evaluate_others_on(1, tmp_path / "1", sizes)
    for world in WORLDS:
        assert evaluate_others_on(world, tmp_path / str(world), sizes) == [single] * world
    assert {"encoder/GFLOPs", "mIoU", "coco/bbox_mAP"} <= single[-1].keys()
    assert len({figures["coco/bbox_mAP"] for figures in single}) > 1
