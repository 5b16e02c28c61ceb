import itk
import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless

from common.errors import InputError
from common.io.mammogram_dicom import write_mammogram_dicom
from common.io.mammogram_pictures import save_mammogram
from common.io.mammogram_tags import VIEW_CODES, vendor_word
from common.io.mammograms import NO_SPACING, is_mammogram_file, load_mammogram

SHAPE = (96, 72)


def breast(side="left", largest=3000):
    """A half ellipse at one side, with texture, and a dark part of its own in the upper corner; integers."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((y - 48) / 36) ** 2 + (x / 44) ** 2 < 1
    tissue = largest * (0.5 + 0.5 * np.sin(x / 5) * np.cos(y / 7))
    image = np.where(inside, 400 + 0.8 * tissue, 0).astype(np.uint16)
    return image if side == "left" else image[:, ::-1].copy()


def write(path, pixels, **options):
    options = {
        "laterality": "L",
        "view": "CC",
        "uid_root_text": "test",
        "spacing": (0.1, 0.1),
        "manufacturer": "HOLOGIC, Inc.",
        "bits_stored": 12,
        "window": (2048, 4096),
        **options,
    }
    return write_mammogram_dicom(path, pixels, **options)


def edit(path, **tags):
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def refused(path, **options):
    with pytest.raises(InputError) as error:
        load_mammogram(path, **options)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_a_dicom_file_comes_with_stored_values_window_and_tags(tmp_path):
    pixels = breast()
    mammogram = load_mammogram(write(tmp_path / "m.dcm", pixels))
    np.testing.assert_array_equal(mammogram.pixels, pixels)
    assert mammogram.pixels.dtype == np.uint16
    assert (mammogram.laterality, mammogram.view, mammogram.vendor) == ("L", "CC", "hologic")
    assert (mammogram.spacing, mammogram.bits_stored, mammogram.modality) == ((0.1, 0.1), 12, "MG")
    assert mammogram.guessed == () and mammogram.warnings == () and mammogram.photometric == "MONOCHROME2"
    assert "PixelData" not in mammogram.header and mammogram.window.stored_range == (0, 4095)
    shown = mammogram.display()
    assert shown.dtype == np.float32 and shown.min() == 0 and 0.6 < shown.max() < 1
    assert np.abs(mammogram.window.stored(shown) - pixels).max() < 1


def compressed(path, how):
    dataset = pydicom.dcmread(path)
    if how == "rle":
        dataset.compress(RLELossless)
        dataset.save_as(path)
        return path
    image = itk.image_from_array(dataset.pixel_array.astype(np.uint16))
    io = itk.GDCMImageIO.New()
    kinds = itk.GDCMImageIOEnums
    io.SetCompressionType({"jpeg": kinds.Compression_JPEG, "j2k": kinds.Compression_JPEG2000}[how])
    other = path.with_name(f"{how}.dcm")
    writer = itk.ImageFileWriter[type(image)].New(image, ImageIO=io)
    writer.SetFileName(str(other))
    writer.UseCompressionOn()
    writer.Update()
    packed = pydicom.dcmread(other)
    dataset.PixelData, dataset.BitsStored, dataset.HighBit = packed.PixelData, packed.BitsStored, packed.HighBit
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(("how", "name"), [("rle", "RLE"), ("jpeg", "JPEG Lossless"), ("j2k", "JPEG 2000")])
def test_compressed_files_give_the_same_values(tmp_path, how, name):
    pixels = breast()
    path = compressed(write(tmp_path / "m.dcm", pixels), how)
    assert name in pydicom.dcmread(path).file_meta.TransferSyntaxUID.name
    np.testing.assert_array_equal(load_mammogram(path).pixels, pixels)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("rescale", [(1, 0), (2, -100)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT"])
def test_the_window_is_what_pydicom_applies(tmp_path, photometric, rescale, function):
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    options = {"window": (1900, 1500), "voi_function": function}
    if function == "LUT":
        curve = (65535 * np.linspace(0, 1, 3000) ** 1.7).astype(np.uint16)
        options = {"window": None, "lut": (600, curve)}
    path = write(tmp_path / "m.dcm", pixels, photometric=photometric, **options)
    slope, intercept = rescale
    dataset = pydicom.dcmread(edit(path, RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US"))
    values = apply_modality_lut(pixels, dataset)
    shown = apply_voi_lut(values.astype(np.int64) if function == "LUT" else values, dataset).astype(np.float64)
    low, high = (0, 65535) if function == "LUT" else (intercept, 4095 * slope + intercept)
    expected = (shown - low) / (high - low)
    mammogram = load_mammogram(path, guess=False)
    np.testing.assert_array_equal(mammogram.pixels, pixels)
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    np.testing.assert_allclose(mammogram.display(), expected, atol=2e-4)
    assert mammogram.window.inverted == (photometric == "MONOCHROME1")


def test_inversion_is_done_once_where_it_is_said_twice(tmp_path):
    path = write(tmp_path / "m.dcm", breast(), photometric="MONOCHROME1")
    edit(path, PresentationLUTShape="INVERSE")
    assert load_mammogram(path, guess=False).display()[0, -1] == 1
    edit(path, PhotometricInterpretation="MONOCHROME2")
    assert load_mammogram(path, guess=False).display()[0, -1] == 1
    edit(path, PresentationLUTShape="IDENTITY")
    assert load_mammogram(path, guess=False).display()[0, -1] == 0


def test_signed_values_and_the_first_of_several_windows(tmp_path):
    pixels = breast().astype(np.int16) - 1000
    path = write(tmp_path / "m.dcm", breast())
    edit(path, PixelRepresentation=1, PixelData=pixels.tobytes(), WindowCenter=["0", "1"], WindowWidth=["2001", "9"])
    mammogram = load_mammogram(path)
    np.testing.assert_array_equal(mammogram.pixels, pixels)
    assert mammogram.window.stored_range == (-2048, 2047)
    # PS3.3: white from centre - 0.5 + (width - 1) / 2 on
    np.testing.assert_allclose(mammogram.window.display([-1001, -0.5, 999.5]), [0, 0.5, 1], atol=1e-3)


def test_without_a_window_percentiles_are_shown_and_it_is_said(tmp_path, caplog):
    path = write(tmp_path / "m.dcm", breast())
    edit(path, WindowCenter=None, WindowWidth=None, PresentationIntentType="FOR PROCESSING")
    mammogram = load_mammogram(path)
    assert "no window" in mammogram.warnings[0] and "for processing" in mammogram.warnings[1]
    assert mammogram.display().max() == 1
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("tags", "told"),
    [({"VOILUTFunction": "CURVED"}, "CURVED"), ({"WindowWidth": "0"}, "WindowWidth 0"), ({"WindowWidth": "-5"}, "-5")],
)
def test_unusable_windows_are_refused(tmp_path, tags, told):
    assert told in refused(edit(write(tmp_path / "m.dcm", breast()), **tags))


def test_views_are_read_from_either_element(tmp_path):
    path = write(tmp_path / "m.dcm", breast(), view="MLO")
    edit(path, ViewPosition=None)
    mammogram = load_mammogram(path)
    assert mammogram.view == "MLO" and mammogram.guessed == ()
    named = {code.meaning: code.value for code in (getattr(codes.cid4014, name) for name in codes.cid4014.dir())}
    expected = {"CC": "cranio-caudal", "MLO": "medio-lateral oblique", "LM": "latero-medial", "ML": "medial-lateral"}
    for view, meaning in expected.items():
        assert VIEW_CODES[named[meaning]] == view


def test_other_views_are_not_taken_for_one_of_the_four(tmp_path):
    path = edit(write(tmp_path / "m.dcm", breast()), ViewPosition="XCCL", ImageLaterality=None)
    mammogram = load_mammogram(path)
    assert mammogram.view is None and any("XCCL" in told for told in mammogram.warnings)
    assert mammogram.guessed == ("laterality",)


@pytest.mark.parametrize(
    ("name", "word"),
    [("HOLOGIC, Inc.", "hologic"), ("LORAD, A Hologic Company", "hologic"), ("Siemens Healthineers", "siemens")]
    + [("GE MEDICAL SYSTEMS", "ge"), ("", None), (None, None)],
)
def test_vendors_are_one_word(name, word):
    assert vendor_word(name) == word


def test_tags_come_before_arguments_and_arguments_before_pixels(tmp_path, caplog):
    caplog.set_level("INFO")
    path = write(tmp_path / "m.dcm", breast("right"), laterality="R", view="CC")
    mammogram = load_mammogram(path, laterality="L", view="CC")
    assert mammogram.laterality == "R" and "L was given" in mammogram.warnings[0]
    edit(path, ImageLaterality=None, ViewPosition=None, ViewCodeSequence=None)
    mammogram = load_mammogram(path, laterality="L", view="MLO")
    assert (mammogram.laterality, mammogram.view, mammogram.guessed) == ("L", "MLO", ())
    caplog.clear()
    mammogram = load_mammogram(path)
    assert (mammogram.laterality, mammogram.view) == ("R", "CC")
    assert mammogram.guessed == ("laterality", "view")
    assert [r.levelname for r in caplog.records] == ["INFO", "INFO"] and "laterality R" in caplog.text
    assert load_mammogram(path, guess=False).laterality is None


def test_logs_do_not_name_the_patient(tmp_path, caplog):
    caplog.set_level("DEBUG")
    path = write(tmp_path / "m.dcm", breast(), patient_id="HOSPITAL-42", patient_name="DOE^JANE")
    edit(path, ImagerPixelSpacing=None, PixelSpacing=None, ImageLaterality=None)
    mammogram = load_mammogram(path)
    assert caplog.records and mammogram.spacing is None and NO_SPACING in mammogram.warnings
    assert "DOE" not in caplog.text and "HOSPITAL" not in caplog.text
    caplog.clear()
    load_mammogram(path, quiet=True)
    assert not caplog.records


def test_other_modalities_are_refused_unless_asked_for(tmp_path):
    path = edit(write(tmp_path / "m.dcm", breast()), Modality="CR")
    told = refused(path)
    assert "modality CR" in told and "--any_modality True" in told
    assert load_mammogram(path, any_modality=True).modality == "CR"


def test_what_is_no_single_grey_image_is_refused(tmp_path):
    path = write(tmp_path / "m.dcm", breast())
    assert "frames" in refused(edit(path, NumberOfFrames=3))
    path = write(tmp_path / "c.dcm", breast())
    edit(path, PhotometricInterpretation="PALETTE COLOR")
    assert "PALETTE" in refused(path)


def test_dicom_colours_are_taken_where_they_are_grey(tmp_path):
    grey = (breast() // 16).astype(np.uint8)
    path = write(tmp_path / "m.dcm", breast())
    colours = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "WindowCenter": "128", "WindowWidth": "256"}
    edit(path, PixelData=np.repeat(grey[..., None], 3, -1).tobytes(), **colours, **bits)
    np.testing.assert_array_equal(load_mammogram(path).pixels, grey)
    coloured = np.repeat(grey[..., None], 3, -1)
    coloured[40, 10] = (200, 10, 10)
    assert "colour" in refused(edit(path, PixelData=coloured.tobytes()))


@pytest.mark.parametrize("how", ["plain", "jpeg", "j2k"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_truncated_dicom_files_are_refused(tmp_path, how, share):
    path = write(tmp_path / "m.dcm", breast())
    path = path if how == "plain" else compressed(path, how)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated" in refused(path)


def test_damaged_headers_are_refused(tmp_path):
    path = write(tmp_path / "m.dcm", breast())
    dataset = pydicom.dcmread(path)
    assert "has no Rows" in refused(edit(path, Rows=None))
    edit(path, Rows=SHAPE[0], BitsStored=20)
    assert "damaged" in refused(path)
    edit(path, BitsStored=12, BitsAllocated=32)
    assert "8 or 16 bits" in refused(path)
    content = write(path, breast()).read_bytes()
    uid = str(dataset.file_meta.TransferSyntaxUID).encode()
    path.write_bytes(content.replace(uid, uid[:-1] + b"x"))
    assert "damaged" in refused(path)


def test_files_that_are_no_mammograms_are_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "none.dcm")
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    assert "give one of" in refused(text)
    text.rename(tmp_path / "notes.dcm")
    assert "not a DICOM file" in refused(tmp_path / "notes.dcm")
    for word, options in (("laterality=B", {"laterality": "B"}), ("view=XCCL", {"view": "XCCL"})):
        with pytest.raises(InputError, match=word):
            load_mammogram(tmp_path / "notes.dcm", **options)
    assert not is_mammogram_file(tmp_path / "notes.txt") and is_mammogram_file(tmp_path / "notes.dcm")


def test_a_dicom_file_needs_no_suffix(tmp_path):
    path = write(tmp_path / "IM0001", breast())
    assert is_mammogram_file(path) and load_mammogram(path).view == "CC"


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif"])
@pytest.mark.parametrize(("bits", "white"), [(8, 255), (12, 4095), (16, 65535)])
def test_pictures_keep_their_values_and_are_shown_in_the_depth_they_use(tmp_path, suffix, bits, white):
    pixels = (breast().astype(np.float64) / breast().max() * 0.9 * white).astype(np.uint8 if bits == 8 else np.uint16)
    path = tmp_path / f"m{suffix}"
    Image.fromarray(pixels).save(path)
    mammogram = load_mammogram(path)
    np.testing.assert_array_equal(mammogram.pixels, pixels)
    assert mammogram.bits_stored == bits and mammogram.spacing is None and mammogram.header is None
    assert mammogram.warnings == (NO_SPACING,) and mammogram.guessed == ("laterality", "view")
    np.testing.assert_allclose(mammogram.display(), pixels / white, atol=1e-6)


def test_coloured_pictures_are_taken_where_they_are_grey_and_no_bit_is_lost(tmp_path):
    grey = (breast() // 16).astype(np.uint8)
    path = tmp_path / "m.png"
    Image.fromarray(np.repeat(grey[..., None], 3, -1)).save(path)
    np.testing.assert_array_equal(load_mammogram(path).pixels, grey)
    coloured = np.repeat(grey[..., None], 3, -1)
    coloured[40, 10, 0] += 1
    Image.fromarray(coloured).save(path)
    assert "colour" in refused(path)
    content = bytearray((tmp_path / "m.png").read_bytes())
    content[24] = 16  # of the header: 16 bits in each of three channels, which Pillow reads as 8
    path.write_bytes(bytes(content))
    assert "16 bits in several channels" in refused(path)


def test_damaged_pictures_and_several_pages_are_refused(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(breast()).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated" in refused(path)
    pages = [Image.fromarray(breast()), Image.fromarray(breast())]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    assert "2 pages" in refused(tmp_path / "m.tif")
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(path)
    assert "every pixel is 0" in refused(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_volumes_of_one_slice_have_columns_first_and_a_pixel_size(tmp_path, suffix):
    pixels = breast()
    path = tmp_path / f"m{suffix}"
    if suffix == ".nrrd":
        header = {"space": "left-posterior-superior", "space directions": np.diag([0.08, 0.07, 1.0])}
        nrrd.write(str(path), pixels.T[..., None], header)
    else:
        nibabel.save(nibabel.Nifti1Image(pixels.T[..., None], np.diag([-0.08, -0.07, 1, 1])), path)
    mammogram = load_mammogram(path)
    np.testing.assert_array_equal(mammogram.pixels, pixels)
    assert mammogram.spacing == pytest.approx((0.07, 0.08)) and mammogram.bits_stored == 12
    assert mammogram.laterality == "L" and mammogram.warnings == ()


def test_prepared_mammograms_are_read_as_they_are_written_dark_ones_too(tmp_path):
    display = (breast() / 20000).astype(np.float32)
    save_mammogram(tmp_path / "a.nii.gz", display, (0.2, 0.3))
    save_mammogram(tmp_path / "b.nii.gz", display, (0.2, 0.3))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    mammogram = load_mammogram(tmp_path / "a.nii.gz", quiet=True)
    np.testing.assert_allclose(mammogram.display(), display, atol=1e-5)
    assert mammogram.spacing == pytest.approx((0.2, 0.3)) and mammogram.pixels.dtype == np.uint16


def test_float_slices_are_shown_between_percentiles_and_volumes_are_refused(tmp_path):
    path = tmp_path / "m.nii.gz"
    nibabel.save(nibabel.Nifti1Image((breast() / 1000 - 1).astype(np.float32).T[..., None], np.eye(4)), path)
    mammogram = load_mammogram(path, quiet=True)
    assert mammogram.pixels.dtype == np.float32 and mammogram.display().max() == 1
    nibabel.save(nibabel.Nifti1Image(np.ones((20, 20, 3), np.uint8), np.eye(4)), path)
    assert "one slice" in refused(path)


def test_the_real_scanned_film(real_data):
    path = real_data / "mammography" / "dicom" / "WG04_MG1_J2KI.dcm"
    assert "modality RG" in refused(path)
    mammogram = load_mammogram(path, any_modality=True, quiet=True)
    assert mammogram.pixels.shape == (4664, 3064) and mammogram.pixels.max() <= 4095
    assert (mammogram.laterality, mammogram.view, mammogram.spacing) == ("L", "MLO", None)
    assert mammogram.warnings == (NO_SPACING,) and mammogram.guessed == ()
    np.testing.assert_allclose(mammogram.display()[::50, ::50], mammogram.pixels[::50, ::50] / 4095, atol=4e-4)


def test_real_pictures_keep_16_bits(real_data):
    path = real_data / "mammography" / "nyu_gmic_exam0" / "0_R-MLO.png"
    mammogram = load_mammogram(path, laterality="R", quiet=True)
    np.testing.assert_array_equal(mammogram.pixels, np.asarray(Image.open(path)))
    assert mammogram.bits_stored == 16 and (mammogram.laterality, mammogram.view) == ("R", "MLO")
