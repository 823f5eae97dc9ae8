"""What is wrong with a dataset, before training finds it.

Reads the datasets of a config (train, val, test), or the files that the options name, in COCO's
panoptic or instance format: the JSON, then every image and PNG once. Faults are what training
refuses or would learn wrong; notes are worth knowing. Exit status: 0 clean, 1 faults found,
2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import add_cfg_options, at_least, command_line
from mmproscale.datasets.checks.class_check import compare_datasets
from mmproscale.datasets.checks.dataset_check import check_dataset
from mmproscale.datasets.checks.dataset_files import DatasetFiles
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.datasets.checks.image_check import default_workers
from mmproscale.errors import InputError
from mmproscale.training.datasets_of_config import datasets_of_config
from mmproscale.utils.config import load_config
from mmproscale.utils.progress import progress_bars


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG", help="config file, or the name of one of ours"
    )
    add_cfg_options(parser)
    parser.add_argument("--ann", metavar="FILE", help="annotation file, instead of a config")
    parser.add_argument("--img", metavar="DIR", help="folder of its images")
    parser.add_argument(
        "--seg", metavar="DIR", help="folder of its panoptic PNGs; without it FILE is of instances"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--limit", type=at_least(1), default=5, metavar="N", help="faults shown of each kind; 5"
    )
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=default_workers(),
        metavar="N",
        help="processes that read images; by default one for each core, at most 8",
    )
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    reports = check(datasets(args), args.limit, args.workers)
    if args.json:
        content = dict(
            clean=all(report.clean for report in reports),
            datasets=[report.as_json() for report in reports],
        )
        print(json.dumps(content, indent=1))
    else:
        print("\n".join(line for report in reports for line in report.lines()))
    sys.exit(int(not all(report.clean for report in reports)))


def datasets(args: argparse.Namespace) -> list[DatasetFiles]:
    """What to check: the config's datasets, or the one that the options name."""
    if args.config and not (args.ann or args.img or args.seg):
        return datasets_of_config(load_config(args.config, args.cfg_options))
    if args.config or not (args.ann and args.img):
        raise InputError("name a CONFIG, or --ann FILE and --img DIR")
    return [DatasetFiles(args.ann, args.img, args.seg, panoptic=bool(args.seg))]


def check(files: Sequence[DatasetFiles], limit: int, workers: int) -> list[DatasetReport]:
    """Check one dataset after the other, with a bar for each, then whether they agree."""
    reports = []
    with progress_bars() as bars:
        for dataset in files:
            task = bars.add_task(dataset.ann_file.rpartition("/")[2], total=None)

            def show(done: int, total: int, task=task) -> None:
                bars.update(task, completed=done, total=total)

            reports.append(check_dataset(dataset, limit, workers, show))
    compare_datasets(files, reports)
    return reports


if __name__ == "__main__":
    main()
