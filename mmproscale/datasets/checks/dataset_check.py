"""Check a dataset on disk: its JSON, that its files are there, then every image and PNG once."""

from __future__ import annotations

import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from mmproscale.datasets.checks.annotation_faults import is_image_id, list_faults
from mmproscale.datasets.checks.class_check import class_faults, class_names
from mmproscale.datasets.checks.dataset_files import DatasetFiles
from mmproscale.datasets.checks.dataset_report import DatasetReport, size_counts
from mmproscale.datasets.checks.faults import Fault, is_int
from mmproscale.datasets.checks.image_check import ImageTask, check_images
from mmproscale.datasets.checks.instance_faults import instance_faults, instance_notes
from mmproscale.datasets.checks.panoptic_faults import (
    MAX_ID,
    by_hashable_id,
    panoptic_faults,
    panoptic_notes,
)
from mmproscale.datasets.formats.panoptic_files import missing_files, parse_json, png_name

Progress = Callable[[int, int], None]
OTHER_KINDS = {"instances-not-panoptic", "panoptic-not-instances"}


def check_dataset(
    files: DatasetFiles, limit: int = 5, workers: int = 1, progress: Progress | None = None
) -> DatasetReport:
    """Find everything that is wrong with a dataset.

    Args:
        files: where it lies.
        limit: faults whose text is kept, for each kind.
        workers: processes that read images; 1 for this one alone.
        progress: called as (images done, images in all).
    """
    report = DatasetReport(files.name or files.ann_file, limit)
    content = _read(files, report)
    if content is None:
        return report
    faulty = _check_json(content, files, report)
    if OTHER_KINDS & report.faults.keys():
        return report
    images = _sound_images(content, faulty)
    pngs = _png_names(content, files, images, faulty)
    missing = _check_presence(files, images, pngs, report)
    _count(content, files, report)
    truth = (_segments if files.panoptic else _objects)(content, faulty)
    tasks = _tasks(files, images, pngs, missing, truth)
    _check_pixels(tasks, len(images), workers, report, progress)
    return report


def _read(files: DatasetFiles, report: DatasetReport) -> dict | None:
    """The JSON's content; None where there is nothing further to check."""
    content = parse_json(files.ann_file)
    if isinstance(content, Fault):
        report.add([content])
        return None
    if isinstance(content, dict) and not files.need_annotations:
        content.setdefault("annotations", [])
    report.add(list_faults(content, files.ann_file))
    return content if report.clean else None


def _check_json(content: dict, files: DatasetFiles, report: DatasetReport) -> set[str]:
    """Check what the JSON tells; return the entries that have a fault, as 'images[3]'."""
    faulty: set[str] = set()
    if files.panoptic:
        faults = panoptic_faults(content, files.ann_file, files.need_annotations)
    else:
        faults = instance_faults(content, files.ann_file, files.need_annotations)
    for fault in faults:
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
        report.add(class_faults(content["categories"], files))
        report.classes = class_names(content["categories"], files)
    return faulty


def _sound_images(content: dict, faulty: set[str]) -> list[dict]:
    """Images of which the JSON tells all that is needed to read them."""
    return [
        image for place, image in enumerate(content["images"]) if f"images[{place}]" not in faulty
    ]


def _png_names(
    content: dict, files: DatasetFiles, images: list[dict], faulty: set[str]
) -> dict[int | str, str]:
    """Image id -> name of its panoptic PNG."""
    if files.seg is None:
        return {}
    by_id = by_hashable_id(images)
    names = {}
    for place, annotation in enumerate(content["annotations"]):
        if f"annotations[{place}]" not in faulty:
            image = by_id.get(annotation["image_id"])
            if image is not None:
                names[image["id"]] = png_name(image, annotation)
    return names


def _check_presence(
    files: DatasetFiles, images: list[dict], pngs: dict, report: DatasetReport
) -> set[str]:
    """Report folders and files that are not there; return the paths of the files."""
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


def _count(content: dict, files: DatasetFiles, report: DatasetReport) -> None:
    """Count what the JSON lists: images, segments or instances, of each class."""
    annotations = content["annotations"]
    lists = [a.get("segments_info") for a in annotations] if files.panoptic else [annotations]
    objects = [o for entries in lists if isinstance(entries, list) for o in entries]
    objects = [o for o in objects if isinstance(o, dict)]
    per_id = Counter(o["category_id"] for o in objects if type(o.get("category_id")) is int)
    categories = [c for c in content["categories"] if type(c.get("id")) is int]
    by_class = {str(c.get("name")): per_id[c["id"]] for c in categories}
    what = "segments" if files.panoptic else "instances"
    annotated = {a.get("image_id") for a in annotations if is_image_id(a.get("image_id"))}
    sizes = Counter((str(i.get("width")), str(i.get("height"))) for i in content["images"])
    report.counts |= {
        "images": len(content["images"]),
        "annotated_images": len(annotated),
        what: len(objects),
        f"crowd_{what}": sum(bool(o.get("iscrowd")) for o in objects),
        "image_sizes": size_counts(sizes),
        f"{what}_by_class": by_class,
        "classes_that_never_occur": [name for name, count in by_class.items() if not count],
    }
    if files.panoptic:
        report.counts["images_without_things"] = _without_things(annotations, categories)


def _without_things(annotations: list[dict], categories: list[dict]) -> int:
    things = {c["id"] for c in categories if c.get("isthing")}
    lists = [a["segments_info"] for a in annotations if isinstance(a.get("segments_info"), list)]
    return sum(
        not any(
            isinstance(s, dict) and is_int(s.get("category_id")) and s["category_id"] in things
            for s in segments
        )
        for segments in lists
    )


def _segments(content: dict, faulty: set[str]) -> dict[int | str, list[dict]]:
    """Image id -> its segments, with area and box where those are to be compared with the PNG."""
    by_image: dict[int | str, list[dict]] = {}
    for place, annotation in enumerate(content["annotations"]):
        record = f"annotations[{place}]"
        if record not in faulty:
            entries = annotation["segments_info"]
            by_image[annotation["image_id"]] = list(_comparable(entries, record, faulty))
    return by_image


def _comparable(entries: list[dict], record: str, faulty: set[str]) -> Iterator[dict]:
    known: set[int] = set()
    for place, segment in enumerate(entries):
        segment_id = segment.get("id")
        if type(segment_id) is not int or not 0 < segment_id <= MAX_ID or segment_id in known:
            continue
        known.add(segment_id)
        sound = f"{record}.segments_info[{place}]" not in faulty
        yield segment if sound else dict(id=segment_id)


def _objects(content: dict, faulty: set[str]) -> dict[int | str, list[tuple[str, dict]]]:
    """Image id -> its instances, each with its place in the JSON."""
    by_image: dict[int | str, list[tuple[str, dict]]] = defaultdict(list)
    for place, annotation in enumerate(content["annotations"]):
        record = f"annotations[{place}]"
        if record not in faulty:
            by_image[annotation["image_id"]].append((record, annotation))
    return by_image


def _tasks(
    files: DatasetFiles, images: list[dict], pngs: dict, missing: set[str], truth: dict
) -> Iterator[ImageTask]:
    """One task for each image, made when it is asked for."""
    for image in images:
        img_path: str | None = osp.join(files.img, image["file_name"])
        img_path = None if img_path in missing else img_path
        task = ImageTask(img_path, image["height"], image["width"], ann_file=files.ann_file)
        entries = tuple(truth.get(image["id"], ()))
        if not files.panoptic:
            yield replace(task, objects=entries)
            continue
        name = pngs.get(image["id"])
        png_path = osp.join(files.seg, name) if files.seg and name else None
        png_path = None if png_path in missing else png_path
        yield replace(task, png_path=png_path, segments=entries)


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
