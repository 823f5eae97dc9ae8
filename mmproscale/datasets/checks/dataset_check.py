"""Check of a dataset on disk: its JSON, its classes, then every image and PNG once."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mmproscale.datasets.checks.categories import class_metainfo, order_categories
from mmproscale.datasets.checks.class_agreement import (
    class_count_faults,
    label_faults,
    stated_class_faults,
    unknown_class_faults,
)
from mmproscale.datasets.checks.dataset_report import DatasetReport, count_content
from mmproscale.datasets.checks.image_check import ImageTask, check_images
from mmproscale.datasets.checks.instance_faults import instance_faults, instance_notes
from mmproscale.datasets.checks.lenient_instances import read_leniently, zero_id_notes
from mmproscale.datasets.checks.missing_files import missing_files
from mmproscale.datasets.checks.panoptic_faults import panoptic_faults, panoptic_notes
from mmproscale.datasets.formats.coco_json import list_faults, read_json_or_fault
from mmproscale.datasets.formats.panoptic_png import MAX_ID, png_name
from mmproscale.utils.faults import Fault, is_int

Progress = Callable[[int, int], None]
Annotations = dict[int | str, list[tuple[str, dict]]]
"""Image id -> its sound annotations, each with its place in the JSON."""
WRONG_FORMAT = {"instances-not-panoptic", "panoptic-not-instances"}


@dataclass(frozen=True)
class DatasetFiles:
    """Files of a dataset, and the requirements that they must meet.

    Args:
        ann_file: the JSON.
        img: folder of the images.
        seg: folder of the panoptic PNGs; None for instances, or where there is no ground truth.
        panoptic: whether the JSON is COCO panoptic, else COCO instances.
        need_annotations: False to accept images without ground truth.
        need_masks: whether instances need masks, or None: see `instance_faults`.
        name: the dataset's name; empty for the JSON's.
        metainfo: names that a config states, as (key, names): 'classes', 'thing_classes', ...
        things_first: whether the reader puts things first itself; mmdet's reader does not.
        scored: whether a metric of ours needs ground truth: of every image if it is panoptic.
        model_classes: the numbers of thing and stuff classes that the config states of its model.
        box_classes: the number of classes that the config states of its detector.
    """

    ann_file: str
    img: str
    seg: str | None = None
    panoptic: bool = True
    need_annotations: bool = True
    need_masks: bool | None = None
    name: str = ""
    metainfo: tuple[tuple[str, tuple[str, ...]], ...] = ()
    things_first: bool = True
    scored: bool = False
    model_classes: tuple[int, int] | None = None
    box_classes: int | None = None


def check_dataset(
    files: DatasetFiles, limit: int = 5, workers: int = 1, progress: Progress | None = None
) -> DatasetReport:
    """Find every fault of a dataset.

    Args:
        files: the dataset.
        limit: number of faults whose text is kept, for each kind.
        workers: number of processes that read images; 1 reads them in this process.
        progress: called as (images done, images in all).
    """
    report = DatasetReport(files.name or files.ann_file, limit)
    content = _read(files, report)
    if content is None:
        return report
    faulty = _check_json(content, files, report)
    if WRONG_FORMAT & report.faults.keys():
        return report
    images = [
        image for place, image in enumerate(content["images"]) if f"images[{place}]" not in faulty
    ]
    annotations: Annotations = defaultdict(list)
    for place, annotation in enumerate(content["annotations"]):
        if f"annotations[{place}]" not in faulty:
            annotations[annotation["image_id"]].append((f"annotations[{place}]", annotation))
    pngs = {} if files.seg is None else _png_names(images, annotations)
    missing = _check_presence(files, images, pngs, report)
    report.counts |= count_content(content, files.panoptic)
    tasks = _tasks(files, images, pngs, missing, annotations, faulty)
    _check_pixels(tasks, len(images), workers, report, progress)
    return report


def compare_datasets(files: Sequence[DatasetFiles], reports: Sequence[DatasetReport]) -> None:
    """Add to reports the faults of datasets of one config whose labels mean different things.

    Args:
        files: the datasets, the training set first.
        reports: results of `check_dataset` for these datasets.
    """
    first = next((place for place, report in enumerate(reports) if report.classes), None)
    if first is None:
        return
    learned, source = reports[first].classes or (), f"'{files[first].ann_file}'"
    for dataset, report in zip(files, reports, strict=True):
        if report.classes is not None:
            report.add(label_faults(report.classes, learned, dataset.ann_file, source))


def _read(files: DatasetFiles, report: DatasetReport) -> dict | None:
    """Return the JSON's content; None where there is nothing further to check."""
    content = read_json_or_fault(files.ann_file)
    if isinstance(content, Fault):
        report.add([content])
        return None
    if isinstance(content, dict) and not files.need_annotations:
        content.setdefault("annotations", [])
    report.add(list_faults(content, files.ann_file))
    if not report.clean or files.panoptic:
        return content if report.clean else None
    report.add(zero_id_notes(content["annotations"], files.ann_file))
    content, notes = read_leniently(content, files.ann_file)
    report.add(notes)
    return content


def _check_json(content: dict, files: DatasetFiles, report: DatasetReport) -> set[str]:
    """Check the JSON itself; return the entries that have a fault, as 'images[3]'."""
    faulty: set[str] = set()
    find = (
        panoptic_faults if files.panoptic else partial(instance_faults, need_masks=files.need_masks)
    )
    for fault in find(content, files.ann_file, files.need_annotations):
        report.add([fault])
        if not fault.note:
            faulty.add(fault.record)
    if files.panoptic:
        for note in panoptic_notes(content, files.ann_file):
            wrong = note.kind == "stuff-first" and not files.things_first
            wrong |= note.kind == "image-without-annotation" and files.scored
            report.add([replace(note, note=not wrong)])
    else:
        report.add(instance_notes(content, files.ann_file))
    if not any(kind.startswith(("category-", "isthing-")) for kind in report.faults):
        report.classes = _classes_by_label(content["categories"], files)
        report.add(_class_faults(content["categories"], report.classes, files))
    return faulty


def _classes_by_label(categories: list[dict], files: DatasetFiles) -> tuple[str, ...]:
    """Return the names of the classes by label, as the reader numbers them."""
    if files.panoptic and files.things_first:
        return class_metainfo(order_categories(categories, files.ann_file))["classes"]
    stated = None if files.panoptic else dict(files.metainfo).get("classes")
    names = (category["name"] for category in categories)
    return tuple(name for name in names if stated is None or name in stated)


def _class_faults(
    categories: list[dict], classes: tuple[str, ...], files: DatasetFiles
) -> Iterator[Fault]:
    """Yield faults between categories, themselves sound, and the classes that the config states."""
    stated, ann_file = dict(files.metainfo), files.ann_file
    if not files.panoptic:
        yield from unknown_class_faults(stated.get("classes", ()), categories, ann_file)
    elif stated:
        found = class_metainfo(order_categories(categories, ann_file))
        yield from stated_class_faults(stated, found, ann_file)
    if files.model_classes is not None:
        stuff = sum(files.panoptic and not category["isthing"] for category in categories)
        counts = (len(classes) - stuff, stuff)
        yield from class_count_faults(counts, files.model_classes, ann_file, "model.panoptic_head")
    if files.box_classes is not None:
        wanted = (files.box_classes,)
        yield from class_count_faults((len(classes),), wanted, ann_file, "model.bbox_head")


def _png_names(images: list[dict], annotations: Annotations) -> dict[int | str, str]:
    """Return image id -> name of its panoptic PNG."""
    return {
        image["id"]: png_name(image, annotation)
        for image in images
        for _, annotation in annotations.get(image["id"], ())
    }


def _check_presence(
    files: DatasetFiles, images: list[dict], pngs: dict, report: DatasetReport
) -> set[str]:
    """Report folders and files that are missing; return the paths of the files."""
    wanted = [(files.img, [image["file_name"] for image in images], "image")]
    if files.seg is not None:
        wanted.append((files.seg, list(pngs.values()), "png"))
    missing: set[str] = set()
    for folder, names, what in wanted:
        for fault in missing_files(folder, names, what, files.ann_file):
            report.add([fault])
            is_folder = fault.kind.endswith("folder-missing")
            missing.update(
                [osp.join(folder, name) for name in names] if is_folder else [fault.file]
            )
    return missing


def _tasks(
    files: DatasetFiles,
    images: list[dict],
    pngs: dict,
    missing: set[str],
    annotations: Annotations,
    faulty: set[str],
) -> Iterator[ImageTask]:
    """Yield one task for each image."""
    for image in images:
        img_path: str | None = osp.join(files.img, image["file_name"])
        img_path = None if img_path in missing else img_path
        task = ImageTask(img_path, image["height"], image["width"], ann_file=files.ann_file)
        entries = annotations.get(image["id"], ())
        if not files.panoptic:
            yield replace(task, objects=tuple(entries))
            continue
        name = pngs.get(image["id"])
        png_path = osp.join(files.seg, name) if files.seg and name else None
        png_path = None if png_path in missing else png_path
        segments = [s for entry in entries for s in _comparable_segments(*entry, faulty)]
        yield replace(task, png_path=png_path, segments=tuple(segments))


def _comparable_segments(record: str, annotation: dict, faulty: set[str]) -> Iterator[dict]:
    """Yield segments with a sound id, with area and box unless these are faulty."""
    known: set[int] = set()
    for place, segment in enumerate(annotation["segments_info"]):
        segment_id = segment.get("id")
        if not is_int(segment_id) or not 0 < segment_id <= MAX_ID or segment_id in known:
            continue
        known.add(segment_id)
        sound = f"{record}.segments_info[{place}]" not in faulty
        yield segment if sound else dict(id=segment_id)


def _check_pixels(
    tasks: Iterable[ImageTask],
    total: int,
    workers: int,
    report: DatasetReport,
    progress: Progress | None,
) -> None:
    pixels = void = crowd = 0
    for done, found in enumerate(check_images(tasks, workers), start=1):
        report.add(found.faults)
        pixels, void, crowd = pixels + found.pixels, void + found.void, crowd + found.crowd
        if progress is not None:
            progress(done, total)
    if pixels:
        report.counts |= {"void_share": void / pixels, "crowd_share": crowd / pixels}
