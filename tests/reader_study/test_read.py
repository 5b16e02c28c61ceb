"""The reading page in a real browser: tasks in their order, answers that survive a kill, nobody else's answers."""

import json
import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.reader_study.answers import reading_order
from common.reader_study.readers import enter, enter_named, reader_name
from common.reader_study.server import serve_study
from common.reader_study.session import Session
from common.reader_study.study_files import read_answers, read_study
from tests.reader_study.conftest import WORD, Page, Server

# Words of later tasks; none may be known during the first one.
LATER = ("synthetic", "real", "fake", "anatomy", "impression", "texture", "truth")


@pytest.fixture
def study(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / "study")


@pytest.fixture
def server(study):
    running = Server(study)
    yield running
    running.process.terminate()
    assert running.process.wait(30) == 0
    assert "Traceback" not in "".join(running.printed)


def request(server, path, content=None, token="", host=None):
    """Status and body of one request, as a program would make it."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Host": host} if host else {})
    body = None if content is None else json.dumps(content).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, body, headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_reader_answers_is_interrupted_and_goes_on(chromium, server, study):
    described = read_study(study)
    order = {task.id: reading_order(described, "R1", task.id) for task in described.tasks}
    page = Page(chromium, server)
    page.enter("R1")
    page.begin()
    assert page.page.inner_text("#question") == "Which BI-RADS category does the most suspicious finding have?"
    page.answer(4)
    page.click(2)
    page.answer(5)
    page.press("7")  # no answer to this question
    assert page.at() == 3
    expected = {(order["birads"][0], "birads"): "4", (order["birads"][1], "birads"): "2"}
    expected |= {(order["birads"][2], "birads"): "5"}
    assert server.answers("R1") == expected

    server.kill()
    page.press("3")
    page.page.wait_for_selector("#told.wrong")
    assert "Not saved: no connection" in page.page.inner_text("#told") and page.at() == 3
    server.start()
    assert server.answers("R1") == expected
    page.press("3")  # the server no longer knows this page
    page.enter("R1")
    page.page.wait_for_selector("#between:not([hidden])")
    assert "answered 3 of 6 images" in page.page.inner_text("#between-text")
    page.begin()
    assert page.at() == 3

    # Back, with the answer that was given, which can be changed.
    page.press("ArrowLeft")
    assert page.at() == 2 and page.page.get_attribute(".choice[aria-pressed=true]", "data-value") == "5"
    page.answer(1)
    expected[order["birads"][2], "birads"] = "1"
    assert server.answers("R1") == expected
    page.press("ArrowRight")
    assert page.at() == 4
    page.answer(3)
    page.answer(3)  # the last one; then the one that was left out
    assert page.at() == 3
    told = page.texts().lower()
    page.answer(2)
    page.page.wait_for_selector("#between:not([hidden])")
    told += page.texts().lower()
    assert "part 1 is answered" in told
    for word in LATER:
        assert word not in told, word
    assert all(url.startswith((server.url, "data:")) for url in page.addresses)

    # One may look again, and closing is for good, also when the page is loaded again.
    page.page.click("#review")
    assert page.at() == 0
    page.page.reload()
    page.page.wait_for_selector("#between:not([hidden])")
    assert page.page.inner_text("#between-title") == "Part 1 is answered"
    page.page.click("#go")
    page.page.wait_for_function("document.querySelector('#between-title').textContent.includes('real or synthetic')")
    page.page.reload()
    page.page.wait_for_function("document.querySelector('#between-title').textContent.includes('real or synthetic')")
    assert "anatomy" not in page.texts().lower()
    page.begin()
    for value in (0, 1, 0, 1, 0, 1):
        page.answer(value)
    for values in ((1, 2, 3, 4, 5, 1), (5, 5, 5, 5, 5, 5)):
        page.page.wait_for_function("document.querySelector('#between-title').textContent.includes('is answered')")
        page.page.click("#go")
        page.page.wait_for_function("document.querySelector('#go').textContent === 'Begin'")
        page.begin()
        for value in values:
            page.answer(value)
    page.page.wait_for_function("document.querySelector('#between-title').textContent.includes('Part 4')")
    page.page.click("#go")
    page.page.wait_for_function("document.querySelector('#between-title').textContent.includes('Thank you')")
    answers = read_answers(study, described)["R1"]
    assert len(answers) == 24
    for task, values in (("synthetic", (0, 1, 0, 1, 0, 1)), ("anatomy", (1, 2, 3, 4, 5, 1)), ("realism", (5,) * 6)):
        assert [answers[image, task] for image in order[task]] == list(values)
    page.context.close()


def test_readers_know_nothing_of_each_other(chromium, server, study):
    first = Page(chromium, server)
    first.enter("Zoë Ray")
    first.begin()
    first.answer(5)
    second = Page(chromium, server)
    second.enter("zoë ray", "another word")
    second.page.wait_for_selector("#refused:not([hidden])")
    assert "taken" in second.page.inner_text("#refused")
    second.enter("R2", "another word")
    second.begin()
    second.answer(1)
    assert "Zo" not in second.texts().replace("Zoom", "").replace("zoë", "")
    states = [json.loads(text) for text in second.sent() if text.startswith("{")]
    assert not any(5 in state.get("answers", []) for state in states)
    assert any("answers" in state for state in states)
    assert len(server.answers("Zoë_Ray")) == len(server.answers("R2")) == 1
    assert not any(value == "5" for value in server.answers("R2").values())
    for page in (first, second):
        page.context.close()


def test_no_address_tells_what_a_reader_should_not_know(server, study):
    status, body = request(server, "/api/enter", {"name": "R1", "word": WORD})
    state = json.loads(body)
    assert status == 200 and sorted(state) == [
        "answers", "choices", "count", "finished", "part", "question", "reader", "token",
    ]  # fmt: skip
    token = state["token"]
    for path in ("/study.json", "/answers/R1.csv", "/readers/R1.json", "/images/0001.png", "/docs", "/openapi.json",
                 "/../key.csv", "/api/image/../../study.json", "/api/answers"):  # fmt: skip
        assert request(server, path, token=token)[0] == 404, path
    for path in ("/api/state", "/api/image/1/0"):
        assert request(server, path)[0] == 401 and request(server, path, token="x")[0] == 401
    assert request(server, "/api/image/1/0", token=token)[0] == 200
    for path in ("/api/image/2/0", "/api/image/1/6"):
        assert request(server, path, token=token)[0] == 400
    for content in ({"part": 2, "position": 0, "value": 1}, {"part": 1, "position": 0, "value": 6},
                    {"part": 1, "position": -1, "value": 1}, {"part": 1, "position": 0, "value": "1"},
                    {"part": 1, "position": 0, "value": True}, {}, [], "x" * 20_000):  # fmt: skip
        assert request(server, "/api/answer", content, token)[0] == 400, content
    status, body = request(server, "/api/close", {"part": 1}, token)
    assert status == 400 and b"6 images have no answer yet" in body
    assert request(server, "/", host="evil.example")[0] == 400
    assert server.answers("R1") == {}


def test_pixels_are_those_of_the_study(server, study):
    token = json.loads(request(server, "/api/enter", {"name": "R1", "word": WORD})[1])["token"]
    described = read_study(study)
    for place, name in enumerate(reading_order(described, "R1", "birads")):
        sent = np.frombuffer(request(server, f"/api/image/1/{place}", token=token)[1], "<u2").reshape(64, 64)
        with Image.open(study / "images" / f"{name}.png") as picture:
            assert np.array_equal(sent, np.asarray(picture))


def test_zoom_place_window_and_level_change_what_is_seen(chromium, server):
    page = Page(chromium, server)
    page.enter("R1")
    page.begin()
    page.at()
    whole = page.shades()
    box = page.page.locator("#canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    seen = [whole]

    def changed():
        seen.append(page.shades())
        assert seen[-1] not in seen[:-1]

    page.page.mouse.move(*middle)
    page.page.mouse.wheel(0, -300)
    changed()
    page.page.mouse.down()
    page.page.mouse.move(middle[0] + 60, middle[1] + 30)
    page.page.mouse.up()
    changed()
    page.page.mouse.down(button="right")
    page.page.mouse.move(middle[0] - 100, middle[1] + 80, steps=4)
    page.page.mouse.up(button="right")
    changed()
    assert page.page.input_value("#window") != "65535" and page.page.input_value("#level") != "32768"
    page.press("r")
    assert page.shades() == whole
    page.page.locator("#level").fill("10000")
    changed()
    page.press("R")
    page.press("+")
    changed()
    page.press("?")
    page.page.wait_for_selector("#helping:not([hidden])")
    page.page.keyboard.press("3")  # answers nothing while help is open
    page.page.keyboard.press("Escape")
    assert page.at() == 0 and not page.page.is_visible("#helping")
    # A narrow window shows two values as black and white: it works on 16 bits.
    page.press("r")
    page.page.locator("#window").fill("655")
    page.shades()
    values = page.page.evaluate("[...new Set(flat.getContext('2d').getImageData(0, 0, 64, 64).data)]")
    assert set(values) <= {0, 255} | set(range(256)) and {0, 255} <= set(values) and len(values) <= 4
    page.context.close()


def test_a_reader_named_on_the_command_line_needs_no_word(chromium, study):
    server = Server(study, "--reader", "7")
    page = Page(chromium, server)
    page.begin()
    page.answer(2)
    server.kill()
    assert len(server.answers("7")) == 1
    with pytest.raises(InputError, match="this name is taken"):
        enter(study, "7", "some word")
    page.context.close()


def test_names_and_words(study):
    assert reader_name(" Anna  Maria ") == "Anna_Maria"
    for name in ("", "../R1", "a/b", ".hidden", "-x", "_", "a" * 41, "con", "x\ny\0", "R1.csv"):
        with pytest.raises(InputError, match="name: use"):
            reader_name(name)
    with pytest.raises(InputError, match="word: use 4"):
        enter(study, "R1", "abc")
    first = enter(study, "R1", "abcd")
    assert enter(study, "r1", "abcd") == first
    assert "abcd" not in (study / "readers" / "R1.json").read_text()
    with pytest.raises(InputError, match="the word is another"):
        enter(study, "R1", "abce")
    (study / "answers").mkdir()
    (study / "answers" / "R9.csv").write_text("image,task,value\n")
    with pytest.raises(InputError, match="without a word"):
        enter(study, "R9", "abcd")
    assert enter_named(study, "R9").closed == 0


def test_orders_differ_between_readers_and_tasks_and_last(study):
    described = read_study(study)
    orders = {(r, t): tuple(reading_order(described, r, t)) for r in ("R1", "R2", "R3") for t in ("birads", "anatomy")}
    assert len(set(orders.values())) == 6
    assert all(sorted(order) == list(described.images) for order in orders.values())
    assert orders["R1", "birads"] == tuple(reading_order(described, "R1", "birads"))


def test_damaged_files_are_told(study):
    reader = enter_named(study, "R1")
    Session(study, reader).answer(1, 0, 3)
    answers = study / "answers" / "R1.csv"
    answers.write_text(answers.read_text().replace(",3", ",9"))
    with pytest.raises(InputError, match="R1.csv line 2: value '9' of birads: use 1 to 5"):
        Session(study, reader)
    (study / "images" / "0003.png").unlink()
    with pytest.raises(InputError, match="lacks 0003.png"):
        serve_study(study, port=1)
    with pytest.raises(InputError, match="study.json: cannot be read"):
        serve_study(study / "images", port=1)


def test_a_port_in_use_is_told(server, study):
    with pytest.raises(InputError, match=f"port={server.port}: cannot be used"):
        serve_study(study, port=server.port)


def test_the_page_may_load_nothing_from_elsewhere(server):
    with urllib.request.urlopen(server.url, timeout=30) as answer:
        policy, body = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert "http" not in body
