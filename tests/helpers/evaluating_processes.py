"""Evaluate on several processes, which take images as DefaultSampler deals them out."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

PATIENCE = 120


def evaluate_on(
    world: int, folder: Path, jobs: list[dict[str, Any]], metric: dict[str, Any]
) -> list[list[dict]]:
    """What each process says of each job.

    Args:
        world: How many processes.
        folder: For what they write.
        jobs: Each with ``size``, and ``dealt``: lists of image numbers, by process.
        metric: Arguments of the metric.

    Returns:
        For each process, for each job, a dict with ``figures`` and ``report``, or ``error``.
    """
    # The server imports what is slow once; workers are forked from it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmproscale.evaluation"])
    folder.mkdir()
    workers = [
        context.Process(target=_work, args=(rank, world, folder, jobs, metric))
        for rank in range(world)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        worker.kill()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]


def deal(size: int, world: int) -> list[list[int]]:
    """Image numbers of each process, filled up with the first ones."""
    total = -(-size // world) * world
    order = [index % size for index in range(total)]
    return [order[rank::world] for rank in range(world)]


def _work(rank: int, world: int, folder: Path, jobs: list[dict], metric: dict) -> None:
    import torch

    import mmproscale  # noqa: F401
    from mmproscale.evaluation import UniversalSegMetric

    torch.set_num_threads(1)
    address = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=world)
    answers = [
        _answer(UniversalSegMetric(**metric), job["dealt"][rank], job["size"]) for job in jobs
    ]
    (folder / f"{rank}.json").write_text(json.dumps(answers))
    torch.distributed.destroy_process_group()


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
