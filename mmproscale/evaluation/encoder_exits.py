"""Metric of the encoder exits that images take, and of their exact cost at each image's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from terminaltables import AsciiTable

from mmproscale.cost.cost_report import ExitCost, exit_cost, mean_cost
from mmproscale.cost.model_cost import ModelCost, Network, model_cost
from mmproscale.cost.model_parts import exit_holder
from mmproscale.cost.random_model import model_without_weights
from mmproscale.errors import InputError
from mmproscale.registry import METRICS
from mmproscale.utils.progress import progress_bars

GIGA = 1e9
Size = tuple[int, int]
Taken = tuple[int, Size]  # an image's exit, and the (H, W) that the network saw


@METRICS.register_module()
class EncoderExitMetric(BaseMetric):
    """Histogram of exits and mean cost as run; ``report`` holds both under ``early_exit``.

    An image's cost is that of its padded size, which the network computes.

    Args:
        model: The config of the model that is tested.
    """

    default_prefix = "encoder"

    def __init__(self, model: Mapping) -> None:
        super().__init__()
        config = model_without_weights(Config(dict(model=dict(model))))
        self.network = Network(MODELS.build(config)).eval()
        self.report: dict[str, Any] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each image's exit and size.

        Args:
            data_batch: Not used.
            data_samples: Predictions as dicts, with ``encoder_exit`` and ``batch_input_shape``.

        Raises:
            InputError: A prediction has no ``encoder_exit``.
        """
        for sample in data_samples:
            if "encoder_exit" not in sample:
                raise InputError(
                    f"the model does not say where image {sample['img_id']} left the encoder: take "
                    "mmproscale.UniversalSegmentor, or a detector of ours, as its type"
                )
            taken = sample["encoder_exit"], tuple(sample["batch_input_shape"])
            self.results.append((sample["img_id"], taken))

    def compute_metrics(self, results: list[tuple[Any, Taken]]) -> dict[str, float]:
        """Return the mean exit and the mean GMACs, called GFLOPs as in the papers.

        ``GFLOPs`` is the cost as run, ``published_GFLOPs`` that of the papers' form.

        Raises:
            InputError: The metric's model has no encoder with exits.
        """
        taken = list(dict(results).values())  # images that fill up the last batch count once
        if not taken:
            return {}
        exits = self._exits()
        costs = self._costs({size for _, size in taken})
        of_images = [(exit_, exit_cost(costs[size], exit_)) for exit_, size in taken]
        self.report = {"early_exit": exit_report(of_images, exits)}
        is_detector = self.network.mask_head is None
        MMLogger.get_current_instance().info(exit_table(self.report["early_exit"], is_detector))
        mean = self.report["early_exit"]["gmacs"]
        return {
            "mean_exit": sum(exit_ for exit_, _ in taken) / len(taken),
            "GFLOPs": mean["total"],
            "published_GFLOPs": mean["published_total"],
        }

    def _exits(self) -> Sequence[int]:
        """Return the exits that the model can take."""
        found = exit_holder(self.network.model)
        if found is None:
            raise InputError("EncoderExitMetric: its model has no encoder with exits")
        holder: Any = found[1]
        return holder.exits if holder.exit is None else (holder.exit,)

    def _costs(self, sizes: set[Size]) -> dict[Size, ModelCost]:
        """Compute the model's cost at each size."""
        with progress_bars() as bars:
            task = bars.add_task("costs by image size", total=len(sizes))
            costs = {}
            for size in sorted(sizes):
                costs[size] = model_cost(self.network, size)
                bars.advance(task)
        return costs


def exit_report(
    of_images: Sequence[tuple[int, ExitCost]], exits: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return the histogram of exits and the mean costs.

    Args:
        of_images: Exit and cost of each image, at least one.
        exits: All exits of the model, including those that no image took.

    Returns:
        ``exits``: exit as text -> ``images``, their number, and ``gmacs``, their mean GMACs as run;
        ``gmacs``: mean GMACs of all images, by part.
    """
    at_exits = {k: [cost for exit_, cost in of_images if exit_ == k] for k in exits}
    return {
        "exits": {
            str(k): {"images": len(costs), "gmacs": _gmacs(costs)["total"] if costs else None}
            for k, costs in at_exits.items()
        },
        "gmacs": _gmacs([cost for _, cost in of_images]),
    }


def exit_table(report: Mapping[str, Any], is_detector: bool = False) -> str:
    """Lay out the histogram and the means; a detector's costs have no published form."""
    number = sum(entry["images"] for entry in report["exits"].values())
    rows = [["exit", "images", "share", "GFLOPs as run"]]
    for exit_, entry in report["exits"].items():
        share = f"{entry['images'] / number:.1%}"
        rows.append([exit_, str(entry["images"]), share, _figure(entry["gmacs"])])
    mean = report["gmacs"]
    rows.append(["mean", str(number), "", _figure(mean["total"])])
    table = AsciiTable(rows)
    table.justify_columns = dict.fromkeys(range(1, 4), "right")
    histogram, encoder = table.table, _figure(mean["pixel_decoder"])
    if is_detector:
        return f"Where images left the encoder:\n{histogram}\nencoder {encoder} GFLOPs"
    return (
        f"Where images left the encoder:\n{histogram}\npixel decoder "
        f"{encoder} GFLOPs; in the papers' form "
        f"{_figure(mean['published_pixel_decoder'])}, in all {_figure(mean['published_total'])}"
    )


def _gmacs(costs: Sequence[ExitCost]) -> dict[str, float]:
    return {name: macs / GIGA for name, macs in asdict(mean_cost(costs)).items()}


def _figure(gmacs: float | None) -> str:
    return "-" if gmacs is None else f"{gmacs:.4g}"
