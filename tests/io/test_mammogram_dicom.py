import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from common.errors import InputError
from common.io.carried_tags import CARRIED_OVER
from common.io.mammogram_dicom import SOP_CLASS, write_mammogram_dicom

try:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut
except ImportError:  # pydicom 2
    from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_voi_lut

PIXELS = np.random.default_rng(0).integers(0, 4096, (9, 7)).astype(np.uint16)


def write(path, pixels=PIXELS, **options):
    options = {"laterality": "L", "view": "CC", "uid_root_text": "test", "bits_stored": 12, **options}
    return write_mammogram_dicom(path, pixels, **options)


def displayed(header):
    return apply_voi_lut(apply_modality_lut(header.pixel_array, header), header)


def test_stored_values_come_back_as_a_mammogram_for_presentation(tmp_path):
    header = pydicom.dcmread(write(tmp_path / "a.dcm", spacing=(0.07, 0.08), manufacturer="SIEMENS"))
    np.testing.assert_array_equal(header.pixel_array, PIXELS)
    assert header.SOPClassUID == header.file_meta.MediaStorageSOPClassUID == SOP_CLASS == "1.2.840.10008.5.1.4.1.1.1.2"
    assert header.SOPInstanceUID == header.file_meta.MediaStorageSOPInstanceUID
    assert (header.Modality, header.PresentationIntentType) == ("MG", "FOR PRESENTATION")
    assert (header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation) == (16, 12, 11, 0)
    assert header.ImagerPixelSpacing == header.PixelSpacing == [0.07, 0.08]
    assert (header.Manufacturer, header.PresentationLUTShape) == ("SIEMENS", "IDENTITY")
    assert (header.StudyDate, header.StudyTime) == ("", "")


@pytest.mark.parametrize("view", ["CC", "MLO", "ML", "LM"])
@pytest.mark.parametrize("laterality", ["L", "R"])
def test_view_and_side_are_in_every_tag(tmp_path, view, laterality):
    header = pydicom.dcmread(write(tmp_path / "a.dcm", view=view, laterality=laterality))
    assert (header.ImageLaterality, header.ViewPosition) == (laterality, view)
    meaning = {"CC": "cranio-caudal", "MLO": "medio-lateral oblique", "ML": "medio-lateral", "LM": "latero-medial"}
    assert header.ViewCodeSequence[0].CodeMeaning == meaning[view]
    assert header.PatientOrientation[0] == {"L": "A", "R": "P"}[laterality]


@pytest.mark.parametrize(("function", "expected"), [("LINEAR", 0), ("LINEAR_EXACT", 1), ("SIGMOID", 2)])
def test_a_window_is_written_with_its_meaning(tmp_path, function, expected):
    header = pydicom.dcmread(write(tmp_path / "a.dcm", window=(2000.0, 3000.0), voi_function=function))
    stored = PIXELS.astype(float)
    shown = [
        np.clip((stored - 1999.5) / 2999 + 0.5, 0, 1),
        np.clip((stored - 2000) / 3000 + 0.5, 0, 1),
        1 / (1 + np.exp(-4 * (stored - 2000) / 3000)),
    ]
    np.testing.assert_allclose(displayed(header) / 4095, shown[expected], atol=1e-9)


def test_a_lut_is_written_in_place_of_a_window(tmp_path):
    values = np.rint(65535 * (np.arange(4096) / 4095) ** 2).astype(np.uint16)
    header = pydicom.dcmread(write(tmp_path / "a.dcm", lut=(0, values)))
    np.testing.assert_array_equal(displayed(header), values[PIXELS])
    assert "WindowCenter" not in header
    full = pydicom.dcmread(write(tmp_path / "b.dcm", bits_stored=16, lut=(0, np.arange(65536))))
    assert list(full.VOILUTSequence[0].LUTDescriptor)[0] in (0, 65536)
    np.testing.assert_array_equal(displayed(full), PIXELS)


def test_synthetic_images_say_so_everywhere_and_others_do_not(tmp_path):
    options = {"description": "lesion painted", "software": "bundle", "software_version": "0.1.0"}
    header = pydicom.dcmread(write(tmp_path / "a.dcm", **options))
    assert list(header.ImageType) == ["DERIVED", "SECONDARY", "", "SYNTHETIC"]
    assert header.SeriesDescription == "SYNTHETIC lesion painted"
    assert "SYNTHETIC" in header.ImageComments and "SYNTHETIC" in header.DerivationDescription
    equipment = header.ContributingEquipmentSequence[0]
    assert (equipment.ManufacturerModelName, equipment.SoftwareVersions) == ("bundle", "0.1.0")
    assert (header.PatientID, str(header.PatientName)) == ("SYNTHETIC", "SYNTHETIC")
    plain = pydicom.dcmread(write(tmp_path / "b.dcm", synthetic=False, patient_id="P1", description="x"))
    assert "SYNTHETIC" not in str(plain)
    assert list(plain.ImageType)[:2] == ["ORIGINAL", "PRIMARY"]


def test_the_same_call_gives_the_same_bytes_and_texts_tie_images_together(tmp_path):
    a = write(tmp_path / "a.dcm", study_text="study")
    b = write(tmp_path / "b.dcm", study_text="study")
    assert a.read_bytes() == b.read_bytes()
    first = pydicom.dcmread(a)
    second = pydicom.dcmread(write(tmp_path / "c.dcm", study_text="study", instance=2))
    other = pydicom.dcmread(write(tmp_path / "d.dcm", study_text="study", uid_root_text="other"))
    assert first.StudyInstanceUID == second.StudyInstanceUID == other.StudyInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != other.SeriesInstanceUID
    assert len({h.SOPInstanceUID for h in (first, second, other)}) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dcm", "b.dcm", "c.dcm", "d.dcm"]


def original(tmp_path):
    """A signed MONOCHROME1 file in implicit VR with a LUT, an identity, and things hidden in sequences."""
    path = write(tmp_path / "o.dcm", laterality="R", view="MLO", spacing=(0.05, 0.06), synthetic=False)
    header = pydicom.dcmread(path)
    header.PatientName, header.PatientID, header.PatientBirthDate = "Doe^Jane", "HOSPITAL-7", "19610203"
    header.StudyDate, header.ContentTime, header.InstitutionName = "20200102", "111213", "Clinic"
    header.OperatorsName, header.DeviceSerialNumber, header.AccessionNumber = "Roe", "4711", "ACC9"
    header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID = "1.2.3", "1.2.4", "1.2.5"
    header.PhotometricInterpretation, header.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    header.PixelRepresentation, header.RescaleIntercept, header.RescaleSlope = 1, "100", "2"
    header.add_new("PixelPaddingValue", "SS", -2048)
    header.PatientComments = "Jane"
    header.BurnedInAnnotation, header.LossyImageCompression = "YES", "01"
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [4096, -2048, 16])
    item.add_new("LUTData", "OW", np.arange(0, 65536, 16).astype("<u2").tobytes())
    item.LUTExplanation = "made for Jane Doe"
    item.add_new((0x0029, 0x0010), "LO", "Jane")
    header.VOILUTSequence = Sequence([item])
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    header.PixelData = (PIXELS.astype(np.int16) - 2048).tobytes()
    implicit = pydicom.dataset.FileDataset(
        str(path), header, file_meta=header.file_meta, preamble=b"\0" * 128, is_implicit_VR=True, is_little_endian=True
    )
    implicit.save_as(path)
    return pydicom.dcmread(path)


def test_a_source_gives_the_image_and_never_the_person(tmp_path):
    source = original(tmp_path)
    pixels = source.pixel_array
    path = write_mammogram_dicom(
        tmp_path / "a.dcm", pixels, laterality=None, view=None, uid_root_text="t", source=source
    )
    header = pydicom.dcmread(path)
    np.testing.assert_array_equal(header.pixel_array, pixels)
    assert pixels.min() < 0
    np.testing.assert_array_equal(displayed(header), displayed(source))
    for keyword in set(CARRIED_OVER) - {"VOILUTSequence"}:
        assert header.get(keyword) == source.get(keyword), keyword
    assert (header.ImageLaterality, header.ViewPosition) == ("R", "MLO")
    text = path.read_bytes()
    for secret in ("Doe", "Jane", "HOSPITAL", "19610203", "20200102", "111213", "Clinic", "Roe", "4711", "ACC9"):
        assert secret.encode() not in text, secret
    assert not {"1.2.3", "1.2.4", "1.2.5"} & {header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID}


def test_arguments_replace_what_a_source_says(tmp_path):
    source = original(tmp_path)
    header = pydicom.dcmread(
        write(
            tmp_path / "a.dcm",
            np.zeros((4, 5), np.uint8),
            source=source,
            view="CC",
            photometric="MONOCHROME2",
            window=(5, 9),
            spacing=(1, 2),
        )
    )
    assert (header.ViewPosition, header.ViewCodeSequence[0].CodeMeaning) == ("CC", "cranio-caudal")
    assert (header.PhotometricInterpretation, header.PresentationLUTShape) == ("MONOCHROME2", "IDENTITY")
    assert (header.WindowCenter, header.WindowWidth, header.PixelSpacing) == (5, 9, [1, 2])
    assert "VOILUTSequence" not in header
    assert (header.Rows, header.Columns) == (4, 5)


def test_further_tags_replace_what_is_written(tmp_path):
    header = pydicom.dcmread(write(tmp_path / "a.dcm", extra_tags={"SeriesNumber": 7, "PatientSex": "F"}))
    assert (header.SeriesNumber, header.PatientSex) == (7, "F")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"laterality": "B"}, "use L or R"),
        ({"laterality": None}, "use L or R"),
        ({"view": "XYZ"}, "use CC or MLO"),
        ({"photometric": "RGB"}, "use MONOCHROME2 or MONOCHROME1"),
        ({"bits_stored": 4}, "use 8 to 16"),
        ({"bits_stored": 10}, "don't fit into 10 bits"),
        ({"pixels": PIXELS.astype(float)}, "give whole numbers"),
        ({"pixels": PIXELS[None]}, "give whole numbers"),
        ({"pixels": PIXELS.astype(int) - 3000}, "don't fit"),
        ({"window": (1, 2), "voi_function": "CUBIC"}, "use LINEAR or"),
        ({"window": (1, 2), "lut": (0, np.arange(4))}, "not both"),
        ({"lut": (0, np.arange(4) - 1)}, "16 bits"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path / "a.dcm", **options)
    assert not list(tmp_path.iterdir())


def test_a_real_header_is_carried_over_without_identity(real_data, tmp_path):
    source = pydicom.dcmread(real_data / "mammography" / "dicom" / "WG04_MG1_J2KI.dcm", stop_before_pixels=True)
    pixels = np.random.default_rng(1).integers(0, 2 ** int(source.BitsStored), (20, 30))
    path = write_mammogram_dicom(
        tmp_path / "a.dcm", pixels, laterality="L", view="CC", uid_root_text="t", source=source
    )
    header = pydicom.dcmread(path)
    np.testing.assert_array_equal(header.pixel_array, pixels)
    assert header.PhotometricInterpretation == source.PhotometricInterpretation
    assert header.get("WindowCenter") == source.get("WindowCenter")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID"):
        assert header[keyword].value != source[keyword].value
