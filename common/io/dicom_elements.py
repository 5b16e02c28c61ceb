"""What all DICOM files written here share: UIDs from texts, decimal strings, file meta data, and how software is named.

No clock and no chance: the same texts give the same UIDs. Synthetic images say so in every place where a viewer or an
archive looks.
"""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

SYNTHETIC = "SYNTHETIC"
SYNTHETIC_COMMENT = "SYNTHETIC image made by software, not acquired from a patient; not for diagnosis"
LONGEST_LO = 64
_IMPLEMENTATION_UID = generate_uid(entropy_srcs=["OncoSynth DICOM writer"])


def uid_of(*texts: str) -> str:
    """A UID that follows from texts."""
    return str(generate_uid(entropy_srcs=["OncoSynth", *texts]))


def decimal(value: float) -> str:
    """A number as DICOM's decimal string of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def file_meta(sop_class: str, sop_instance: str) -> FileMetaDataset:
    """Meta data of a file in explicit little endian, without compression."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # counted when it is written
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop_instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION_UID
    return meta


def series_description(description: str, synthetic: bool) -> str:
    """SeriesDescription; begins with SYNTHETIC if `synthetic`."""
    if synthetic and not description.startswith(SYNTHETIC):
        description = f"{SYNTHETIC} {description}".strip()
    return description[:LONGEST_LO]


def mark_synthetic(tags: Dataset, value_3: str = "OTHER") -> None:
    """Say that an image was made by software; `value_3` is ImageType's third value."""
    tags.ImageType = ["DERIVED", "SECONDARY", value_3, SYNTHETIC]
    tags.ImageComments = SYNTHETIC_COMMENT
    tags.DerivationDescription = SYNTHETIC_COMMENT


def name_software(tags: Dataset, software: str, version: str | None, synthetic: bool) -> None:
    """Put the software that made an image into ContributingEquipmentSequence."""
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = DicomSequence([code("109102", "DCM", "Processing Equipment")])
    equipment.Manufacturer = "OncoSynth"
    equipment.ManufacturerModelName = software[:LONGEST_LO]
    if version:
        equipment.SoftwareVersions = version[:LONGEST_LO]
    if synthetic:
        equipment.ContributionDescription = SYNTHETIC_COMMENT
    tags.ContributingEquipmentSequence = DicomSequence([equipment])
