"""Evaluate on several processes, which take images as DefaultSampler deals them out."""

from pathlib import Path
from typing import Any

from helpers.gloo import on_processes

EXITS = (2, 3, 4)


def evaluate_on(
    world: int, folder: Path, jobs: list[dict[str, Any]], metric: dict[str, Any]
) -> list[list[dict]]:
    """Return the result of each job in each process.

    Args:
        world: Number of processes.
        folder: Folder that the processes write to.
        jobs: Each with ``size``, and ``dealt``: lists of image numbers, by process.
        metric: Arguments of the metric.

    Returns:
        For each process, for each job, a dict with ``figures`` and ``report``, or ``error``.
    """
    return on_processes(world, folder, _answers, jobs, metric, preload=["mmproscale.evaluation"])


def deal(size: int, world: int) -> list[list[int]]:
    """Image numbers of each process, filled up with the first ones."""
    total = -(-size // world) * world
    order = [index % size for index in range(total)]
    return [order[rank::world] for rank in range(world)]


def _answers(rank: int, jobs: list[dict], metric: dict) -> list[dict]:
    from mmproscale.evaluation import UniversalSegMetric

    return [_answer(UniversalSegMetric(**metric), job["dealt"][rank], job["size"]) for job in jobs]


def _answer(metric: Any, numbers: list[int], size: int) -> dict:
    from helpers.tiny_universal import predicted

    from mmproscale.errors import InputError
    from mmproscale.utils.json_values import nan_to_null

    try:
        for number in numbers:
            metric.process(None, [predicted(number)])
        return {"figures": nan_to_null(metric.evaluate(size)), "report": nan_to_null(metric.report)}
    except InputError as error:
        return {"error": str(error)}


def evaluate_others_on(world: int, folder: Path, sizes: list[int]) -> list[list[dict[str, float]]]:
    """Return the figures of the configs' other metrics by process and size."""
    return on_processes(world, folder, _figures_of_others, str(folder), sizes)


def _figures_of_others(rank: int, folder: str, sizes: list[int]) -> list[dict[str, float]]:
    import os

    from mmengine.dataset import DefaultSampler

    os.chdir(folder)  # mmengine exchanges results by files
    figures = []
    for size in sizes:
        numbers = list(DefaultSampler(range(size), shuffle=False))
        metrics = (build() for build in (_exits, _labels, _boxes))
        figures.append({k: v for m in metrics for k, v in _score(m, numbers, size).items()})
    return figures


def _score(metric: Any, numbers: list[int], size: int) -> dict[str, float]:
    metric.dataset_meta = dict(classes=("a", "b", "c"))
    for number in numbers:
        metric.process(None, [_prediction(number)])
    return {key: float(value) for key, value in metric.evaluate(size).items()}


def _exits() -> Any:
    from helpers.tiny_eco import CONFIG

    from mmproscale.evaluation.encoder_exits import EncoderExitMetric
    from mmproscale.utils.config import load_config

    return EncoderExitMetric(load_config(CONFIG).model)


def _labels() -> Any:
    from mmseg.evaluation import IoUMetric

    return IoUMetric()


def _boxes() -> Any:
    from mmdet.evaluation import CocoMetric

    return CocoMetric(metric="bbox")


def _prediction(number: int) -> dict[str, Any]:
    """A sample of all three metrics; every third one's boxes are wrong."""
    import torch

    random = torch.Generator().manual_seed(number)
    corners = torch.rand(3, 2, generator=random) * 20
    boxes = torch.cat([corners, corners + 10], 1)
    labels = torch.randint(3, (3,), generator=random)
    truth = [
        dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=0)
        for box, label in zip(boxes, labels, strict=True)
    ]
    maps = torch.randint(3, (2, 1, 8, 8), generator=random)
    scores = torch.rand(3, generator=random)
    found = boxes + (5 if number % 3 == 0 else 1)
    return dict(
        img_id=number,
        ori_shape=(32, 32),
        instances=truth,
        pred_instances=dict(bboxes=found, labels=labels, scores=scores),
        gt_sem_seg=dict(data=maps[0]),
        pred_sem_seg=dict(data=maps[1]),
        encoder_exit=EXITS[number % 3],
        batch_input_shape=(64, 64),
    )
