"""Pages that are open, and the fields that both tools share."""

from types import SimpleNamespace

import pytest

from common.apps.page import header, seed_of, user_mistake, wrong
from common.apps.serving import check_port
from common.apps.sessions import Sessions, Stopped
from common.errors import InputError


def test_a_session_stops_and_begins_anew(tmp_path):
    sessions = Sessions(tmp_path / "s")
    first, second = (sessions.of(SimpleNamespace(session_hash=name)) for name in "ab")
    assert sessions.of(SimpleNamespace(session_hash="a")) is first and first.folder != second.folder
    first.check()
    first.stop()
    second.check()
    with pytest.raises(Stopped):
        first.check()
    first.begin()
    first.check()
    sessions.stop()
    for session in (first, second):
        with pytest.raises(Stopped):
            session.check()


def test_a_closed_page_leaves_nothing(tmp_path):
    sessions = Sessions(tmp_path / "s")
    request = SimpleNamespace(session_hash="a")
    session = sessions.of(request)
    (session.room("drawn") / "x").write_text("old")
    assert list(session.room("drawn").iterdir()) == []
    sessions.drop(request)
    sessions.drop(request)
    assert not session.folder.exists()
    with pytest.raises(Stopped):
        session.check()


def test_seeds_are_whole_numbers():
    assert seed_of(True, " 1338 ") == 1338
    assert seed_of(True, "9223372036854775807") == 2**63 - 1  # browsers' own numbers would round it
    assert seed_of(False, "x") != seed_of(False, "x")
    for text in ("", "-1", "1.5", "²", "9223372036854775808"):
        with pytest.raises(InputError, match="give a whole number"):
            seed_of(True, text)


def test_only_a_users_mistakes_are_told():
    try:
        try:
            raise InputError("two\nlines")
        except InputError as inner:
            raise RuntimeError("wrapped") from inner
    except RuntimeError as error:
        assert user_mistake(error) == "two lines"
    with pytest.raises(ValueError, match="a bug"):
        user_mistake(ValueError("a bug"))
    assert wrong("<b>") == '<span class="wrong">&lt;b&gt;</span>'


@pytest.mark.parametrize("shipped", [True, False])
def test_every_page_says_that_it_is_synthetic(shipped):
    text = header(SimpleNamespace(is_shipped=shipped, name="<w>.pt"), "Title", "So it is")
    assert "SYNTHETIC" in text and "not for diagnosis" in text
    assert ("phantoms only" in text) == shipped and "So it is (&lt;w&gt;.pt)" in text


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 0), ("127.0.0.1", "x"), ("no.such.host.invalid", 7999)])
def test_addresses_that_cannot_be_used_are_told(host, port):
    with pytest.raises(InputError, match="port=|host="):
        check_port(host, port)
