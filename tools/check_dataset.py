"""Check datasets for faults, so that training does not stop at them later.

Reads the datasets of a config (train, val, test), or the files that the options name, in COCO's
panoptic or instance format: the JSON, then every image and PNG once. Training refuses faults or
would learn from wrong data; notes are only information. Exit status: 0 clean, 1 faults found,
2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import mmproscale  # noqa: F401  (applies compat before mmdet is imported)
from mmproscale.cli.command_line import add_cfg_options, at_least, command_line
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.errors import InputError
from mmproscale.utils.config import load_config
from mmproscale.utils.processes import usable_cores
from mmproscale.utils.progress import progress_bars

if TYPE_CHECKING:
    from mmproscale.datasets.checks.dataset_check import DatasetFiles


def parse_args() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG", help="config file, or name of an mmproscale config"
    )
    add_cfg_options(parser)
    parser.add_argument("--ann", metavar="FILE", help="annotation file, instead of a config")
    parser.add_argument("--img", metavar="DIR", help="folder of the images of --ann")
    parser.add_argument(
        "--seg",
        metavar="DIR",
        help="folder of the panoptic PNGs of --ann; without this option, --ann has COCO instances",
    )
    parser.add_argument(
        "--repair",
        metavar="FILE",
        help="write a mended copy of --ann to FILE, say what was changed, and check the copy",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--limit",
        type=at_least(1),
        default=5,
        metavar="N",
        help="faults shown of each kind; default: 5",
    )
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=min(8, usable_cores()),
        metavar="N",
        help="processes that read images; default: one per core, at most 8",
    )
    return parser.parse_args()


@command_line
def main() -> None:
    """Check each dataset, print the reports, and exit with status 0 or 1."""
    args = parse_args()
    files = datasets(args)
    if args.repair:
        if args.config:
            raise InputError("--repair needs --ann and --img instead of a config: one file")
        from mmproscale.datasets.checks.repair import repair_dataset

        print("\n".join(repair_dataset(files[0], args.repair)))
        files = [replace(files[0], ann_file=args.repair)]
    reports = check(files, args.limit, args.workers)
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
    """Return the datasets to check: the config's, or the one that the options name."""
    if args.config and not (args.ann or args.img or args.seg):
        config = load_config(args.config, args.cfg_options)
        # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
        from mmproscale.models.config_keys import check_keys
        from mmproscale.training.datasets_of_config import datasets_of_config

        check_keys(config, args.config)
        return datasets_of_config(config)
    if args.config or not (args.ann and args.img):
        raise InputError("name a CONFIG, or --ann FILE and --img DIR")
    from mmproscale.datasets.checks.dataset_check import DatasetFiles

    return [DatasetFiles(args.ann, args.img, args.seg, panoptic=bool(args.seg))]


def check(files: Sequence[DatasetFiles], limit: int, workers: int) -> list[DatasetReport]:
    """Check each dataset, with a progress bar, and then that their classes agree."""
    from mmproscale.datasets.checks.dataset_check import check_dataset, compare_datasets

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
