"""What a derived mammogram takes over from the header of the image it was made from: the image, never the person."""

from __future__ import annotations

import copy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

# What describes the image and not the person, the place or the time.
CARRIED_OVER = (
    "PhotometricInterpretation",
    "BitsStored",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "PixelAspectRatio",
    "EstimatedRadiographicMagnificationFactor",
    "PatientOrientation",
    "ImageLaterality",
    "ViewPosition",
    "ViewCodeSequence",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "BreastImplantPresent",
    "PartialView",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
# The same within their sequences; private elements and explanations in free text stay behind.
CARRIED_OVER_ITEMS = (
    "LUTDescriptor",
    "ModalityLUTType",
    "LUTData",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "CodeMeaning",
    "ViewModifierCodeSequence",
)


def carry_over(tags: Dataset, source: Dataset) -> None:
    """Copy into `tags` what `source` says of the image, and nothing that says who, where or when."""
    _copy(tags, source, CARRIED_OVER)


def _copy(tags: Dataset, source: Dataset, keywords: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword not in source:
            continue
        element = copy.deepcopy(source[keyword])
        if element.VR == "SQ":
            items = [Dataset() for _ in element.value]
            for item, original in zip(items, element.value, strict=True):
                _copy(item, original, CARRIED_OVER_ITEMS)
            element.value = DicomSequence(items)
        tags[keyword] = element
