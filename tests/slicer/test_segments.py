"""Segments of brain tumours as label maps."""

import importlib
import sys

import nrrd
import numpy as np
import pytest

from common.errors import InputError
from common.io import label_images, segmentations, volumes
from tests.slicer.harness import TURN, write_segments

ORIGIN = np.array([-17.31, 22.7, 103.003])


@pytest.fixture
def segments(monkeypatch):
    """The module, with this repository's shared code in the place of the bundle's."""
    import common

    names = {"": common, ".errors": sys.modules["common.errors"], ".io": sys.modules["common.io"]}
    names |= {".io.label_images": label_images, ".io.segmentations": segmentations, ".io.volumes": volumes}
    for name, module in names.items():
        monkeypatch.setitem(sys.modules, f"scripts.common{name}", module)
    monkeypatch.delitem(sys.modules, "oncosynth_slicer.segments", raising=False)
    yield importlib.import_module("oncosynth_slicer.segments")
    del sys.modules["oncosynth_slicer.segments"]


def boxes(*names):
    """A box for each name, one behind the other."""
    masks = {}
    for number, name in enumerate(names):
        masks[name] = np.zeros((12, 6, 4), bool)
        masks[name][2 * number + 1] = True
    return masks


def made(segments, folder, masks, labels="auto", tags=""):
    path = write_segments(folder / "case.seg.nrrd", masks, np.diag([1.1, 1.2, 3.3]) @ TURN, ORIGIN, tags)
    (folder / "labels").mkdir(exist_ok=True)
    target, meaning = segments.make_label_map(str(path), str(folder / "labels"), labels)
    assert target == str(folder / "labels" / "case.nrrd")
    array, header = nrrd.read(target, index_order="F")
    _, source = nrrd.read(str(path), index_order="F")
    np.testing.assert_allclose(header["space directions"], source["space directions"], atol=1e-9)
    np.testing.assert_allclose(header["space origin"], source["space origin"], atol=1e-9)
    return [int(array[2 * number + 1].max()) for number in range(len(masks))], meaning


def test_names_tell_regions(segments, tmp_path):
    values, meaning = made(
        segments, tmp_path, boxes("Non-enhancing tumor core", "Edema", "Enhancing tumor", "Whole tumor")
    )
    assert values == [1, 2, 3, 4]
    assert meaning == "{1: necrosis, 2: oedema, 3: enhancing, 4: whole}"
    assert made(segments, tmp_path, boxes("NCR", "peritumoural oedema", "ET", "WT"))[0] == [1, 2, 3, 4]


def test_a_segment_alone_is_the_whole_tumour(segments, tmp_path):
    assert made(segments, tmp_path, boxes("Segment_1"))[0] == [4]


def test_helping_segments_are_left_out(segments, tmp_path, capsys):
    assert made(segments, tmp_path, boxes("Tumor", "brain", "Background"))[0] == [4, 0, 0]
    assert "left out, not of a tumour: brain, Background" in capsys.readouterr().out
    assert made(segments, tmp_path, boxes("brain tumour", "brain"))[0] == [4, 0]


def test_terminology_tells_where_names_do_not(segments, tmp_path):
    tags = "TerminologyEntry:x~SCT^49755003^Morphologically Altered Structure~SCT^6574001^Necrosis~^^~x~~^^|"
    assert made(segments, tmp_path, boxes("Segment_1", "Segment_2"), tags=tags)[0] == [1, 1]


def test_values_are_kept_where_their_meaning_is_said(segments, tmp_path):
    assert made(segments, tmp_path, boxes("a", "b", "c"), labels="msd") == ([1, 2, 3], "msd")


def test_names_that_tell_nothing_are_refused(segments, tmp_path):
    with pytest.raises(InputError, match="the name of segment core tells no region; rename it to necrosis"):
        made(segments, tmp_path, boxes("Edema", "core"))
    with pytest.raises(InputError, match="no segment has a voxel"):
        made(segments, tmp_path, {"Tumor": np.zeros((4, 4, 4), bool)})
