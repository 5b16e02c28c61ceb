"""Show a folder of results in 3D Slicer: volumes side by side, masks with names and colours, one window for all phases.

In Slicer's Python console:

    exec(open("REPOSITORY/scripts/slicer/load_results.py").read())
    load("DIR")

or `Slicer --python-script REPOSITORY/scripts/slicer/load_results.py DIR`. Where the folder of this file is one of
Slicer's module paths, `from load_results import load` does as well.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".nii.gz", ".nii", ".nrrd")
CONTRASTS = ("T1", "T1C", "T2", "FLAIR")
KINDS = ("phase", "subtraction", "contrast", "image", "mip")
FILE_KINDS = (
    (re.compile(r"_phase(\d+)$"), "phase"),
    (re.compile(r"_subtraction(\d+)$"), "subtraction"),
    (re.compile(r"_mip(\d*)$"), "mip"),
    (re.compile(r"_mammogram()$"), "image"),
    (re.compile(rf"_({'|'.join(sorted(CONTRASTS, key=len, reverse=True))})$"), "contrast"),
)
# Red, green and blue, 0 to 1. The classes run from benign green to malignant red.
COLOURS = {
    "necrosis": (0.85, 0.2, 0.2),
    "oedema": (0.95, 0.8, 0.2),
    "enhancing": (0.2, 0.6, 0.95),
    "whole": (0.9, 0.3, 0.8),
    "tumour": (0.9, 0.3, 0.8),
    "BI-RADS 2": (0.2, 0.7, 0.3),
    "BI-RADS 3": (0.6, 0.8, 0.2),
    "BI-RADS 4": (0.95, 0.75, 0.2),
    "BI-RADS 5": (0.95, 0.45, 0.15),
    "BI-RADS 6": (0.85, 0.1, 0.1),
}
OTHER_COLOUR = (0.6, 0.6, 0.6)
LAYOUT_NUMBER = 7301  # Slicer's own are below 100
SAMPLE_VALUES = 200_000
WIDEST_ROW = 4


class Volume(NamedTuple):
    """A volume to load: `kind` is one of KINDS, `order` its place among those of its kind."""

    path: str
    name: str
    kind: str
    order: int


class Mask(NamedTuple):
    """A mask to load as a segmentation, with the names of its values as far as they are known."""

    path: str
    name: str
    segments: Mapping


class Case(NamedTuple):
    """What belongs together: one case, or one sample."""

    name: str
    volumes: list
    masks: list


def find_cases(folder: str) -> list:
    """The cases of a results folder, or the one case that the folder is, by name.

    Files that are written aside (hidden ones) and pictures are left out. The volumes of a case come in the order in
    which they are looked at: phases, then subtractions, then projections; T1, T1C, T2, FLAIR.

    Raises:
        ValueError: no such folder, or no result in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the output_dir of a run, or one case in it")
    below = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    cases = [_case(path) for path in [root, *below]]
    cases = [case for case in cases if case.volumes or case.masks]
    if not cases:
        raise ValueError(f"{root}: holds no result of ours; give the output_dir of a run, or one case in it")
    return cases


def _case(folder: Path) -> Case:
    volumes, masks = [], []
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.name[: -len(suffix)]
        if stem.lower().endswith((".seg", "_mask")):
            masks.append(Mask(str(path), stem, {} if stem.lower().endswith(".seg") else value_names(path)))
            continue
        for pattern, kind in FILE_KINDS:
            found = pattern.search(stem)
            if found:
                order = CONTRASTS.index(found[1]) if kind == "contrast" else int(found[1] or 0)
                volumes.append(Volume(str(path), stem, kind, order))
                break
    volumes.sort(key=lambda volume: (KINDS.index(volume.kind), volume.order, volume.name))
    return Case(folder.name, volumes, masks)


def value_names(mask: Path) -> dict:
    """Names of a mask's values, from what lies beside it: the classes of lesions, or the regions of a tumour."""
    stem = mask.name[: -len(next(s for s in SUFFIXES if mask.name.lower().endswith(s)))]
    lesions = _read_json(mask.with_name(f"{stem}.json")).get("instances")
    if lesions:
        return {int(number): f"BI-RADS {birads}" for number, birads in lesions.items()}
    record = _read_json(mask.with_name("provenance.json"))
    if record.get("regions"):
        return {int(value): str(name) for value, name in record["regions"].items()}
    return {1: "tumour"} if "tumor_segmentation" in str(record.get("bundle")) else {}


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def view_rows(volumes: Iterable) -> list:
    """Volumes as rows of views: kinds one below the other, four contrasts two by two, projections only if alone."""
    volumes, rows = list(volumes), []
    for kind in KINDS:
        row = [volume for volume in volumes if volume.kind == kind]
        if kind == "mip" and rows:
            continue  # a projection has one slice, on another grid than the volumes
        width = 2 if len(row) == 4 else WIDEST_ROW
        rows += [row[start : start + width] for start in range(0, len(row), width)]
    return rows


def shared_window(ranges: Iterable, kind: str) -> tuple:
    """Lowest and highest value to show of the volumes of one kind.

    Phases have one scale, and so have subtractions: shown alike, what brightens is contrast. A subtraction shows gains.

    Args:
        ranges: low and high percentile of each volume.
        kind: of the volumes.
    """
    lows, highs = zip(*ranges)  # noqa: B905 - Slicer's Python may be 3.9
    low, high = (0.0 if kind == "subtraction" else min(lows)), max(highs)
    return (low, high) if high > low else (low, low + 1.0)


def layout_description(rows: list) -> str:
    """XML of a layout with one slice view for each entry of `rows`."""
    number = 0
    text = ['<layout type="vertical" split="true">']
    for row in rows:
        text.append('<item><layout type="horizontal" split="true">')
        for _ in row:
            number += 1
            text.append(
                f'<item><view class="vtkMRMLSliceNode" singletontag="{view_name(number)}">'
                '<property name="orientation" action="default">Axial</property>'
                f'<property name="viewlabel" action="default">{number}</property>'
                '<property name="viewcolor" action="default">#5A7FA6</property></view></item>'
            )
        text.append("</layout></item>")
    return "".join([*text, "</layout>"])


def view_name(number: int) -> str:
    """Name of a view, counted from 1."""
    return f"OncoSynth{number}"


def load(folder: str, case: str | None = None, image: str | None = None) -> dict:
    """Load one case of a results folder and show it.

    Args:
        folder: `output_dir` of a run, or the folder of one case.
        case: which one; the first if None, the others are named.
        image: a volume to show before all else, for example the one that was put in.

    Returns:
        Nodes: `volumes` and `segmentations`, by name.

    Raises:
        ValueError: nothing to load.
    """
    cases = find_cases(folder)
    names = [one.name for one in cases]
    if case is not None and case not in names:
        raise ValueError(f"{folder}: has no case {case}; there are {', '.join(names)}")
    chosen = cases[names.index(case) if case is not None else 0]
    volumes = list(chosen.volumes)
    if image:
        volumes.insert(0, Volume(str(Path(image).expanduser()), Path(image).name.split(".")[0], "image", 0))
    nodes = {volume.name: _load_volume(volume) for volume in volumes}
    _set_windows(volumes, nodes)
    segmentations = {mask.name: _load_mask(mask, nodes) for mask in chosen.masks}
    rows = view_rows(volumes)
    if image:
        rows = [[volumes[0]]] + [row for row in view_rows(volumes[1:]) if row]
    if rows:
        _show([[nodes[volume.name] for volume in row] for row in rows])
    others = [name for name in names if name != chosen.name]
    print(f"{chosen.name}: {len(nodes)} volumes, {len(segmentations)} segmentations")
    if others:
        print(f"further cases, for load(folder, case): {', '.join(others)}")
    return {"volumes": nodes, "segmentations": segmentations}


def _load_volume(volume: Volume):
    import slicer

    return slicer.util.loadVolume(volume.path, properties={"name": volume.name, "show": False})


def _set_windows(volumes: list, nodes: Mapping) -> None:
    """One window for all phases, one for all subtractions; each other volume has its own."""
    groups: dict = {}
    for volume in volumes:
        alike = volume.kind in ("phase", "subtraction")
        groups.setdefault(volume.kind if alike else volume.name, []).append(volume)
    for group in groups.values():
        low, high = shared_window([_percentiles(nodes[volume.name]) for volume in group], group[0].kind)
        for volume in group:
            display = nodes[volume.name].GetDisplayNode()
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(low, high)


def _percentiles(node: object) -> tuple:
    import numpy as np
    import slicer

    values = np.asarray(slicer.util.arrayFromVolume(node)).ravel()
    values = values[:: max(1, values.size // SAMPLE_VALUES)]
    low, high = np.percentile(values, (1, 99.5))
    return float(low), float(high)


def _load_mask(mask: Mask, nodes: Mapping):
    import slicer

    node = slicer.util.loadSegmentation(mask.path)
    node.SetName(mask.name)
    segmentation = node.GetSegmentation()
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        name = mask.segments.get(segment.GetLabelValue())
        if name:
            segment.SetName(name)
            segment.SetColor(*COLOURS.get(name, OTHER_COLOUR))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetOpacity2DFill(0.25)  # what is below has to be seen
    for volume in nodes.values():
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        break
    return node


def _show(rows: list) -> None:
    """A view for each volume, side by side and linked: what moves in one moves in all."""
    import slicer

    manager = slicer.app.layoutManager()
    layout = manager.layoutLogic().GetLayoutNode()
    text = layout_description(rows)
    if not layout.AddLayoutDescription(LAYOUT_NUMBER, text):
        layout.SetLayoutDescription(LAYOUT_NUMBER, text)
    manager.setLayout(LAYOUT_NUMBER)
    slicer.app.processEvents()  # views exist only now
    composites = []
    for number, node in enumerate((node for row in rows for node in row), start=1):
        logic = manager.sliceWidget(view_name(number)).sliceLogic()
        composites.append(logic.GetSliceCompositeNode())
        composites[-1].SetBackgroundVolumeID(node.GetID())
        logic.GetSliceNode().RotateToVolumePlane(node)
        logic.FitSliceToAll()
    # Not before all have their volume: a linked view hands its volume on to the others.
    for composite in composites:
        composite.SetLinkedControl(True)


class load_results:
    """A hidden module: Slicer takes each Python file in a module path for one and looks for a class of its name."""

    def __init__(self, parent: object) -> None:
        parent.title = "OncoSynth results"
        parent.categories = ["OncoSynth"]
        parent.hidden = True
        self.parent = parent


if __name__ == "__main__" and len(sys.argv) > 1 and os.path.isdir(sys.argv[1]):
    load(*sys.argv[1:])
