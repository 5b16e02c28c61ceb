"""The text-to-mammogram tool in a real browser."""

import re
import socket

import numpy as np
import psutil
import pydicom
import pytest
from PIL import Image

from tests.apps.conftest import Page, free_port, serve, wait_for
from tests.conftest import error_line, run_script


@pytest.fixture(scope="module")
def server(random_weights, tmp_path_factory):
    with serve("generate", random_weights, tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def page(chromium, server):
    found = Page(chromium, server)
    found.fill("steps", "10")
    yield found
    assert found.strangers() == []
    found.page.close()


def test_fields_and_defaults_are_those_of_the_original(chromium, server):
    page = Page(chromium, server)
    fields = {
        "vendor": "Siemens",
        "view": "MLO",
        "density": "very high",
        "area": "small",
        "laterality": "L",
        "priority": "area",
        "negative": "",
        "guidance": "6",
        "steps": "24",
        "seed": "1338",
        "count": "1",
        "prompt": "a siemens mammogram in MLO view with small area and very high density",
    }
    assert {name: page.value(name) for name in fields} == fields
    assert page.page.locator("#use_seed input").is_checked()
    head = page.page.inner_text("#header")
    assert "SYNTHETIC – not for diagnosis" in head and "random_weights.pt" in head
    assert page.page.evaluate("document.documentElement.scrollWidth") == 1280
    page.page.close()


def test_choices_write_the_prompt(page):
    for field, option in (("vendor", "Hologic"), ("view", "CC"), ("priority", "only density"), ("density", "low")):
        page.choose(field, option)
    wait_for(lambda: page.value("prompt") == "a hologic mammogram in CC view with low density")
    page.choose("priority", "density")
    wait_for(lambda: page.value("prompt").endswith("with low density and small area"))


def test_generate_shows_an_image_and_its_seed(page, tmp_path):
    page.fill("prompt", "a siemens mammogram in CC view")
    assert "256 x 256 pixels, 10 steps" in page.run()
    page.page.wait_for_selector("#gallery img")
    first = page.picture("gallery")
    assert first.shape == (256, 256) and first.std() > 0
    assert page.value("used") == "1338"

    kept = Image.open(page.download(".png", tmp_path))
    assert kept.mode == "I;16" and np.array_equal(np.asarray(kept), first) and "SYNTHETIC" in kept.text["Description"]
    header = pydicom.dcmread(page.download(".dcm", tmp_path))
    assert np.array_equal(header.pixel_array, first)
    assert (header.ViewPosition, header.ImageLaterality, header.PatientID) == ("CC", "L", "SYNTHETIC")

    page.run()
    assert np.array_equal(page.picture("gallery"), first)  # the same seed
    page.choose("laterality", "R")
    page.run()
    assert np.array_equal(page.picture("gallery"), first[:, ::-1])
    page.choose("laterality", "L")
    page.fill("seed", "7")
    page.run()
    assert not np.array_equal(page.picture("gallery"), first) and page.value("used") == "7"


@pytest.mark.slow
def test_several_images_have_seeds_of_their_own(page):
    page.fill("seed", "7")
    page.run()
    first = page.picture("gallery")
    page.choose("count", "2")
    page.fill("seed", "6")
    assert page.run().startswith("2 images")
    assert page.value("used") == "6 to 7"
    assert page.page.locator("#gallery img").count() == 2
    assert np.array_equal(page.picture("gallery", 1), first)  # whatever was drawn beside it
    page.choose("count", "1")


def test_a_prompt_without_a_view_gives_no_dicom_file(page):
    page.fill("prompt", "a siemens mammogram")
    assert "no DICOM file (the prompt names no view)" in page.run()
    assert page.page.locator("#files a[download$='.png']").count() == 1
    assert page.page.locator("#files a[download$='.dcm']").count() == 0


@pytest.mark.slow
def test_without_a_seed_each_image_is_another(page):
    page.page.locator("#use_seed input").uncheck()
    page.run()
    first = page.value("used")
    page.run()
    assert page.value("used") != first and page.value("used").isdigit()
    page.page.locator("#use_seed input").check()


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [("prompt", "a siemens mamogram", "did you mean 'mammogram'?"), ("seed", "-1", "give a whole number from 0")],
)
def test_a_mistake_is_one_line_and_the_tool_goes_on(page, field, text, told):
    before = page.value(field)
    page.fill(field, text)
    status = page.run()
    assert told in status and "\n" not in status
    page.fill(field, before)
    assert "256 x 256" in page.run()


def test_cancel_stops_between_steps(page):
    page.fill("steps", "50")
    page.choose("count", "4")
    page.run(wait=False)
    page.page.wait_for_selector("text=/image 1 of 4/")
    page.page.click("#cancel")
    assert re.fullmatch(r"Cancelled; [0-3] of 4 images were finished\.", page.end())
    page.choose("count", "1")
    page.fill("steps", "10")
    assert "256 x 256" in page.run()


def test_only_this_machine_reaches_the_server_and_only_its_own_files(page, server):
    listening = [
        connection.laddr.ip
        for process in (
            psutil.Process(server.process.pid),
            *psutil.Process(server.process.pid).children(recursive=True),
        )
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
    others = {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    }
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, server.port), timeout=2)
    private = next(path for path in server.folder.rglob("mammogram_seed*.png") if "sessions" in path.parts)
    for path in ("/etc/hostname", __file__, str(private)):
        assert page.page.request.get(f"{server.url}/gradio_api/file={path}").status in (403, 404)


def test_what_a_page_made_goes_with_it(chromium, server):
    def sessions():
        return set(next(server.folder.glob("oncosynth-*")).glob("sessions/*"))

    before = sessions()
    page = Page(chromium, server)
    page.fill("steps", "10")
    page.run()
    own = sessions() - before
    assert len(own) == 1 and list(own.pop().rglob("*.png"))
    page.page.close()
    wait_for(lambda: sessions() <= before)


def test_a_port_in_use_is_told(server):
    found = run_script("app.py", "generate", "--port", server.port, check=False)
    assert f"name another with --port {server.port + 1}" in error_line(found)
    assert "give generate or draw" in error_line(run_script("app.py", "paint", check=False))


def test_weights_that_cannot_be_loaded_end_it(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"no weights")
    found = run_script("app.py", "draw", "--weights", tmp_path / "w.pt", "--port", free_port(), check=False)
    assert "w.pt: cannot be loaded" in error_line(found)
