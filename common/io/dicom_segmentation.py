"""DICOM segmentations (SEG): read onto a volume's grid, and written for a series that they were made from.

A segmentation is a part of its series' study, not an image of its own: what it says of the patient and the study is
copied from the series, as DICOM demands. UIDs derive from texts and dates from the study, so that the same mask gives
the same bytes.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as DicomCode

from ..errors import InputError
from .dicom_elements import LONGEST_LO, series_description, uid_of
from .dicom_headers import DicomSeries, find_series, read_series
from .dicom_series import POSITION_TOLERANCE_MM, SPACING_TOLERANCE, series_affine
from .files import write_atomically
from .segmentation_writer import check_labels
from .segmentations import Segment, Segmentation
from .terminology import Code, SegmentKind
from .volumes import GRID_TOLERANCE, unreadable

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SERIES_NUMBER = 1000
MANUFACTURER = "OncoSynth"
_FAMILY = DicomCode("123110", "DCM", "Artificial Intelligence")  # CID 7162
_STORAGE = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}  # binary or fractional, label map
# Elements that may be empty but have to be there; de-identification removes some.
_TYPE_2 = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
           "StudyID", "ReferringPhysicianName")  # fmt: skip
_DATES = ("ContentDate", "AcquisitionDate", "SeriesDate", "StudyDate")
UTF_8 = "ISO_IR 192"
NO_DATE, NO_TIME = "19000101", "000000"
FINEST_STEP_MM = 0.2


@dataclass(frozen=True)
class _Frame:
    """One frame: pixels (rows, columns), the segment's number (0: the pixels' values are numbers), place in LPS."""

    pixels: np.ndarray
    number: int
    position: np.ndarray
    axes: np.ndarray  # 3x2: millimetres from one column to the next, from one row to the next


def read_dicom_segmentation(
    path: str | Path, reference: DicomSeries | tuple[Sequence[int], np.ndarray] | None = None
) -> Segmentation:
    """Read a DICOM segmentation as masks of a volume.

    Without a reference the grid is that of the file's own frames: from the first to the last, at the stated distance of
    slices where all frames lie on multiples of it, else at the widest distance of which all are multiples. What the
    file says of distances may be wrong, positions decide.

    Args:
        path: the file.
        reference: the grid to put the masks on: a series, or the shape (X, Y, Z) and affine (4x4, RAS) of a volume,
            whose axes may run in other orders and directions than the frames'.

    Raises:
        InputError: no segmentation, unreadable, fractional, in another frame of reference than the series, on another
            grid than the reference, or reaching beyond it.
    """
    path = Path(path)
    dataset, pixels = _read(path)
    frames = _frames(path, dataset, pixels)
    if isinstance(reference, DicomSeries):
        if reference.frame_of_reference != dataset.get("FrameOfReferenceUID"):
            raise InputError(
                f"{path}: lies in another frame of reference than series {reference.title}, so nothing says where its "
                "segments are in it; give the series that was segmented"
            )
        shape, affine = _series_grid(reference)
    else:
        shape, affine = reference or _own_grid(path, dataset, frames)
    shape, affine = tuple(int(side) for side in shape), np.asarray(affine, float)
    masks: dict[int, np.ndarray] = {}
    for frame in frames:
        _place(path, frame, shape, affine, masks)
    items = {int(item.SegmentNumber): item for item in dataset.SegmentSequence}
    strangers = sorted(set(masks) - set(items))
    if strangers:
        raise InputError(f"{path}: segment {strangers[0]} has voxels but no name; export the segmentation again")
    segments = [_segment(items[number], masks[number]) for number in sorted(masks)]
    return Segmentation(segments, shape, affine)


def write_dicom_segmentation(
    path: str | Path,
    labels: np.ndarray,
    affine: np.ndarray,
    kinds: Mapping[int, SegmentKind],
    source: DicomSeries | str | Path | Sequence[Path],
    *,
    description: str,
    software: tuple[str, str],
    uid_root_text: str,
    series_number: int = SERIES_NUMBER,
    synthetic: bool = False,
) -> None:
    """Write a label map as a binary DICOM segmentation of a series, under a temporary name that is then renamed.

    Patient and study are those of the series. The file names itself as made automatically by OncoSynth.

    Args:
        path: the file, `.dcm`.
        labels: (X, Y, Z), whole numbers; 0 is background.
        affine: 4x4, voxel to millimetres (RAS): the grid of the series, whose axes may be in another order or reversed.
        kinds: what each label value is, in the order of the segments.
        source: the series that was segmented: from `find_series`, its folder, or its files; for one of several phases
            the series entry of that phase.
        description: SeriesDescription; begins with SYNTHETIC if `synthetic`.
        software: name and version of what made the mask, such as a bundle's.
        uid_root_text: what UIDs are derived from, together with the source's and the mask.
        series_number: SeriesNumber.
        synthetic: the series shows a synthetic image.

    Raises:
        InputError: an empty mask, another grid than that of the series, values that no kind describes, no single
            series, or one that no segmentation can refer to.
    """
    hd = _highdicom()
    path = Path(path)
    labels = check_labels(labels, kinds, str(path))
    if not labels.any():
        raise InputError(f"{path}: the mask is empty, and a DICOM segmentation has at least one frame; write .seg.nrrd")
    series = _single_series(source)
    labels = _on_series(path, labels, np.asarray(affine, float), series)
    numbers = {value: number for number, value in enumerate(kinds, 1)}
    numbered = np.zeros(labels.shape, np.uint8 if len(kinds) < 256 else np.uint16)
    for value, number in numbers.items():
        numbered[labels == value] = number
    headers = [_header(file) for file in series.files]
    content = hashlib.sha256(numbered.tobytes()).hexdigest()
    texts = (uid_root_text, str(headers[0].SeriesInstanceUID), str(series_number), description, content)
    try:
        # Names of one component, as pseudonyms are, make highdicom warn.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            segmentation = hd.seg.Segmentation(
                source_images=headers,
                pixel_array=np.ascontiguousarray(numbered.transpose(2, 1, 0)),
                segmentation_type="BINARY",
                segment_descriptions=[
                    _description(hd, numbers[value], kind, software) for value, kind in kinds.items()
                ],
                series_instance_uid=uid_of("segmentation series", *texts),
                series_number=series_number,
                sop_instance_uid=uid_of("segmentation", *texts),
                instance_number=1,
                manufacturer=MANUFACTURER,
                manufacturer_model_name=software[0][:LONGEST_LO],
                software_versions=software[1][:LONGEST_LO],
                device_serial_number="0",
                content_label="SEGMENTATION",
                content_description=series_description(description, synthetic),
                series_description=series_description(description, synthetic),
            )
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: series {series.title} cannot be referred to by a segmentation ({error})") from error
    segmentation.SpecificCharacterSet = UTF_8
    # What highdicom takes from the clock or by chance.
    segmentation.ContentDate = next((headers[0].get(name) for name in _DATES if headers[0].get(name)), NO_DATE)
    segmentation.ContentTime = NO_TIME
    for item in (segmentation, *segmentation.get("ContributingEquipmentSequence", ())):
        for name in ("InstanceCreationDate", "InstanceCreationTime", "ContributionDateTime"):
            if name in item:
                delattr(item, name)
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid_of("segmentation dimensions", *texts)
    write_atomically(path, segmentation.save_as)


def _highdicom() -> ModuleType:
    try:
        import highdicom
    except ImportError as error:
        raise InputError(
            "DICOM segmentations need the package highdicom: pip install highdicom, or use .seg.nrrd"
        ) from error
    return highdicom


def _read(path: Path) -> tuple[Dataset, np.ndarray]:
    """Header and pixels (frames, rows, columns)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    hd = _highdicom()
    try:
        uid = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID")
    except Exception as error:
        raise unreadable(path, error) from error
    if uid not in _STORAGE:
        raise InputError(
            f"{path}: holds {getattr(uid, 'name', None) or 'no image'}, not a segmentation; give a DICOM SEG file"
        )
    try:
        dataset = hd.seg.segread(path)
        pixels = dataset.pixel_array
    except Exception as error:
        raise unreadable(path, error) from error
    if dataset.SegmentationType == "FRACTIONAL":
        raise InputError(f"{path}: holds shares from 0 to 1, not a mask; export it as a binary segmentation")
    return dataset, pixels.reshape(-1, dataset.Rows, dataset.Columns)


def _frames(path: Path, dataset: Dataset, pixels: np.ndarray) -> list[_Frame]:
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    frames = []
    for image, groups in zip(pixels, dataset.PerFrameFunctionalGroupsSequence, strict=True):

        def entry(name: str, groups: Dataset = groups) -> Dataset | None:
            found = groups.get(name) or shared[0].get(name)
            return found[0] if found else None

        position, orientation = entry("PlanePositionSequence"), entry("PlaneOrientationSequence")
        measures, segment = entry("PixelMeasuresSequence"), entry("SegmentIdentificationSequence")
        if position is None or orientation is None or measures is None:
            raise InputError(f"{path}: its frames have no place in the patient; only segmentations of volumes are read")
        directions = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
        down, right = (float(side) for side in measures.PixelSpacing)
        frames.append(
            _Frame(
                image,
                0 if segment is None else int(segment.ReferencedSegmentNumber),
                np.array(position.ImagePositionPatient, float),
                np.stack([directions[0] * right, directions[1] * down], axis=1),
            )
        )
    return frames


def _own_grid(path: Path, dataset: Dataset, frames: list[_Frame]) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine (RAS) of the smallest volume that holds all frames."""
    first = frames[0]
    if any(not np.allclose(frame.axes, first.axes, rtol=0, atol=GRID_TOLERANCE) for frame in frames):
        raise InputError(f"{path}: its frames are oriented differently or have several pixel spacings")
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    normal /= np.linalg.norm(normal)
    order = sorted(frames, key=lambda frame: float(normal @ frame.position))
    places = np.array([normal @ frame.position for frame in order])
    gaps = np.diff(places)
    gaps = gaps[gaps > POSITION_TOLERANCE_MM]
    stated = _stated_step(dataset)
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 3] = first.axes, order[0].position
    if len(gaps) == 0:
        affine[:3, 2] = normal * (stated or 1.0)
        slices = 1
    else:
        step = _step(gaps, stated)
        if step is None:
            raise InputError(f"{path}: its frames lie on no regular stack of slices; give the segmented series")
        slices = round((places[-1] - places[0]) / step) + 1
        affine[:3, 2] = (order[-1].position - order[0].position) / (slices - 1)
    rows, columns = first.pixels.shape
    return (columns, rows, slices), LPS @ affine


def _stated_step(dataset: Dataset) -> float | None:
    groups = (*(dataset.get("SharedFunctionalGroupsSequence") or ()), *dataset.PerFrameFunctionalGroupsSequence[:1])
    measures = [item for group in groups for item in group.get("PixelMeasuresSequence") or ()]
    values = [item.get(name) for name in ("SpacingBetweenSlices", "SliceThickness") for item in measures]
    return next((float(value) for value in values if value and float(value) > POSITION_TOLERANCE_MM), None)


def _step(gaps: np.ndarray, stated: float | None) -> float | None:
    """The distance of slices in mm: the stated one if it divides all gaps, else the widest that does."""
    smallest = float(gaps.min())
    parts = range(1, max(1, int(smallest / FINEST_STEP_MM)) + 1)
    for step in (*([stated] if stated else []), *(smallest / part for part in parts)):
        counts = np.rint(gaps / step)
        if counts.min() >= 1 and np.abs(gaps - counts * step).max() <= max(POSITION_TOLERANCE_MM, step / 50):
            return float(gaps.sum() / counts.sum())
    return None


def _place(path: Path, frame: _Frame, shape: tuple[int, ...], affine: np.ndarray, masks: dict[int, np.ndarray]) -> None:
    """Add a frame's pixels to the masks, by segment number; axes may be in another order or reversed.

    Scanners round positions: along the slices a frame may lie beside its place as in series.
    """
    axes = LPS[:3, :3] @ frame.axes
    start = np.linalg.solve(affine, [*(LPS[:3, :3] @ frame.position), 1.0])[:3]
    steps = np.rint(np.linalg.solve(affine[:3, :3], axes))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    offset = np.abs(start - np.rint(start)) * spacing
    across = ~steps.any(axis=1)
    allowed = np.where(across, np.maximum(POSITION_TOLERANCE_MM, SPACING_TOLERANCE * spacing), POSITION_TOLERANCE_MM)
    turned = np.array_equal(np.abs(steps).sum(0), [1, 1]) and across.sum() == 1
    if not turned or np.abs(affine[:3, :3] @ steps - axes).max() > GRID_TOLERANCE or (offset > allowed).any():
        raise InputError(
            f"{path}: its frames do not lie on the voxels of the given image; give the image that was segmented"
        )
    rows, columns = np.nonzero(frame.pixels)
    index = np.rint(start).astype(int)[:, None] + steps.astype(int) @ np.stack([columns, rows])
    if (index < 0).any() or (index >= np.array(shape)[:, None]).any():
        raise InputError(f"{path}: reaches beyond the given image; give the whole image that was segmented")
    numbers = frame.pixels[rows, columns] if frame.number == 0 else np.full(len(rows), frame.number)
    for number in np.unique(numbers).tolist():
        mask = masks.setdefault(number, np.zeros(shape, bool))
        mask[tuple(index[:, numbers == number])] = True


def _segment(item: Dataset, mask: np.ndarray) -> Segment:
    types = item.get("SegmentedPropertyTypeCodeSequence")
    code = Code(types[0].CodingSchemeDesignator, types[0].CodeValue, types[0].CodeMeaning) if types else None
    return Segment(str(item.SegmentLabel).strip(), int(item.SegmentNumber), "", mask, code)


def _single_series(source: DicomSeries | str | Path | Sequence[Path]) -> DicomSeries:
    if isinstance(source, DicomSeries):
        return source
    found = find_series(source) if isinstance(source, (str, Path)) else read_series([Path(file) for file in source])
    if len(found) != 1:
        titles = "; ".join(series.title for series in found[:6]) or "none"
        raise InputError(f"source {source}: a segmentation belongs to one series with one phase (found: {titles})")
    return found[0]


def _series_grid(series: DicomSeries) -> tuple[tuple[int, int, int], np.ndarray]:
    # Of volumes that are read for the networks only MR is taken; what was segmented may as well be CT.
    affine = series_affine(replace(series, modality="MR"))
    return (series.slices[0].columns, series.slices[0].rows, len(series.slices)), affine


def _on_series(path: Path, labels: np.ndarray, affine: np.ndarray, series: DicomSeries) -> np.ndarray:
    """Labels with the axes of a series: X along the rows, Y along the columns, Z along the slices."""
    shape, target = _series_grid(series)
    turns = nibabel.orientations.io_orientation(np.linalg.solve(target, affine))
    turned = nibabel.orientations.apply_orientation(labels, turns)
    moved = affine @ nibabel.orientations.inv_ornt_aff(turns, labels.shape)
    if turned.shape != shape or not np.allclose(moved, target, rtol=0, atol=GRID_TOLERANCE):
        raise InputError(
            f"{path}: the mask ({' x '.join(map(str, labels.shape))}) is not on the grid of series {series.title} "
            f"({' x '.join(map(str, shape))}); resample it to the series first"
        )
    return turned


def _header(file: Path) -> Dataset:
    header = pydicom.dcmread(file, stop_before_pixels=True)
    header.decode()
    header.SpecificCharacterSet = UTF_8
    for name in _TYPE_2:
        if name not in header:
            setattr(header, name, "")
    return header


def _description(hd: ModuleType, number: int, kind: SegmentKind, software: tuple[str, str]) -> Any:
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=kind.name[:LONGEST_LO],
        segmented_property_category=_dicom_code(kind.category),
        segmented_property_type=_dicom_code(kind.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=MANUFACTURER, family=_FAMILY, version=software[1][:LONGEST_LO], source=software[0][:LONGEST_LO]
        ),
        anatomic_regions=[_dicom_code(kind.region)],
    )
    item.RecommendedDisplayCIELabValue = cielab(kind.colour)
    return item


def _dicom_code(code: Code) -> DicomCode:
    return DicomCode(code.value, code.scheme, code.meaning)


def cielab(colour: tuple[int, int, int]) -> list[int]:
    """RGB (sRGB, 0 to 255) as DICOM writes CIELab: L from 0 to 100 and a, b from -128 to 127, each on 0 to 65535.

    DICOM PS3.3 C.10.7.1.1; white point D50 as in ICC profiles.
    """
    shares = np.array(colour) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
    ratio = np.array(to_xyz) @ linear / (0.96422, 1.0, 0.82521)
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    stored = (lightness / 100, (a + 128) / 255, (b + 128) / 255)
    return [int(np.clip(round(65535 * value), 0, 65535)) for value in stored]
