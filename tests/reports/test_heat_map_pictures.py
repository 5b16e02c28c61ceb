import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.reports.heat_map_pictures import BOX_COLOR, LABEL_WIDTH, HeatMapRow, heat_map_figure, save_heat_map_figure
from common.reports.pictures import CAPTION, MARGIN

METHODS = ("grad_cam", "saliency", "occlusion")
LEFT, TOP = 2 * MARGIN + LABEL_WIDTH, 2 * CAPTION + MARGIN


def row(name="healthy", box=None, spot=None, side=64):
    heat = np.zeros((side, side), np.float32)
    if spot is not None:
        heat[spot] = 1.0
    return HeatMapRow(name, np.full((side, side), 0.5, np.float32), dict.fromkeys(METHODS, heat), box)


def panel(figure, row, column, height=64):
    """Picture of a row; column 0 is the image itself."""
    y, x = TOP + row * (height + MARGIN), LEFT + column * (height + MARGIN)
    return figure[y : y + height, x : x + height]


def test_three_rows_of_image_and_maps():
    spot = np.s_[10:20, 30:40]
    rows = [row(), row("inpainted", (30, 10, 40, 20), spot), row("real lesion", (30, 10, 40, 20), spot)]
    figure = heat_map_figure(rows, height=64)
    assert figure.dtype == np.uint8
    assert figure.shape == (2 * CAPTION + 3 * 64 + 4 * MARGIN, LABEL_WIDTH + 4 * 64 + 6 * MARGIN, 3)
    assert (panel(figure, 0, 0) == 128).all() and (panel(figure, 0, 1) == 128).all()
    for number in (1, 2):
        for column in (1, 2, 3):
            inside = panel(figure, number, column)[12:18, 32:38]
            assert inside[..., 0].min() > 180 and np.ptp(inside.astype(int), axis=-1).min() > 30
        assert (panel(figure, number, 0)[12:18, 32:38] == 128).all()
    assert figure[: 2 * CAPTION].any() and figure[TOP : TOP + 64, MARGIN : MARGIN + LABEL_WIDTH].any()


@pytest.mark.parametrize("height", [64, 128])
def test_box_lies_around_the_lesion_in_every_panel(height):
    figure = heat_map_figure([row(box=(30, 10, 40, 20))], height=height)
    scale = height // 64
    for column in range(4):
        green = (panel(figure, 0, column, height) == BOX_COLOR).all(-1)
        y, x = np.nonzero(green)
        assert (x.min(), y.min()) == (30 * scale - 1, 10 * scale - 1)
        assert (x.max(), y.max()) == (40 * scale, 20 * scale)
        assert not green[10 * scale : 20 * scale, 30 * scale : 40 * scale].any()
    assert not (heat_map_figure([row()]) == BOX_COLOR).all(-1).any()


def test_files_are_the_same_each_time(tmp_path):
    rows = [row("inpainted", (3, 4, 9, 9), np.s_[4:9, 3:9])]
    for name in ("a.png", "b.png"):
        save_heat_map_figure(tmp_path / name, rows, "synthetic lesion")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Description"] == "synthetic lesion"
        assert np.array_equal(np.asarray(picture), heat_map_figure(rows))


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="no image"):
        heat_map_figure([])
    other = HeatMapRow("real lesion", np.zeros((64, 64)), {"grad_cam": np.zeros((64, 64))})
    with pytest.raises(InputError, match="real lesion has grad_cam"):
        heat_map_figure([row(), other])
    with pytest.raises(InputError, match="another shape"):
        heat_map_figure([HeatMapRow("healthy", np.zeros((64, 64)), {"saliency": np.zeros((32, 32))})])
