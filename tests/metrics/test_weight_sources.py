"""The list of weight files: its form, and the messages that it is there for."""

import re
from pathlib import Path

import pytest

from common.errors import InputError
from common.io.files import sha256_of_file
from common.metrics import weight_sources as module
from common.metrics.weight_sources import LIST, WeightSource, find_weights, weight_sources, weights_folder

ROOT = Path(__file__).resolve().parents[2]
USES = {"inception", "radimagenet", "medicalnet", "lpips_backbone", "lpips_alex", "lpips_vgg16"}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ONCOSYNTH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def test_the_repository_shows_the_one_list():
    shown = ROOT / "metadata" / "weights.yml"
    assert shown.is_symlink()
    assert shown.resolve() == LIST.resolve()


def test_every_entry_is_complete():
    sources = weight_sources()
    assert len({s.name for s in sources}) == len({s.file for s in sources}) == len(sources)
    assert {use for s in sources for use in s.used_by} == USES
    for source in sources:
        assert source.urls
        assert all(url.startswith("https://") for url in source.urls)
        assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.sha256_prefix is None or re.fullmatch("[0-9a-f]{8}", source.sha256_prefix)
        assert (source.sha256 or source.sha256_prefix) is None or source.hash_from
        named = re.search(r"-([0-9a-f]{8})\.pth$", source.file)
        if named:  # PyTorch's way of naming files
            assert (source.sha256 or source.sha256_prefix).startswith(named[1])


def test_hashes_of_the_heads_are_those_of_the_files_in_torchmetrics():
    import torchmetrics

    heads = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    known = {source.name: source.sha256 for source in weight_sources()}
    assert known["lpips_alex"] == sha256_of_file(heads / "alex.pth")
    assert known["lpips_vgg16"] == sha256_of_file(heads / "vgg.pth")


def test_pinned_commits_are_those_of_the_config():
    config = (ROOT / "bundles/mammogram_stable_diffusion/configs/paper.json").read_text()
    pinned = [source for source in weight_sources() if source.revision]
    assert len(pinned) == 2
    for source in pinned:
        assert source.revision in config
        assert source.urls[0].removeprefix("https://huggingface.co/") in config


def test_a_missing_file_says_where_to_get_it_its_hash_and_where_to_put_it(folder):
    with pytest.raises(InputError) as error:
        find_weights("inception")
    text, source = str(error.value), weight_sources()[0]
    assert source.urls[0] in text
    assert source.sha256 in text
    assert str(folder / source.file) in text
    assert "\n" not in text
    with pytest.raises(InputError, match="elsewhere.pth: no such weight file; get it from"):
        find_weights("medicalnet", "elsewhere.pth")


def test_default_folder_without_the_variable(monkeypatch):
    monkeypatch.delenv("ONCOSYNTH_WEIGHTS")
    assert weights_folder() == Path.home() / ".cache" / "oncosynth" / "weights"


def test_files_are_known_by_hash_not_by_name(folder, monkeypatch):
    folder.mkdir()
    (folder / "net.pth").write_bytes(b"weights")
    found = sha256_of_file(folder / "net.pth")
    with pytest.raises(InputError, match=f"SHA-256 is {found}.*state that hash"):
        find_weights("inception", folder / "net.pth")
    with pytest.raises(InputError, match="another file than the one meant"):
        find_weights("inception", folder / "net.pth", "0" * 64)
    assert find_weights("inception", folder / "net.pth", found.upper()) == (folder / "net.pth", found)
    for known in ({"sha256": found}, {"sha256_prefix": found[:8]}):
        source = WeightSource("net", "net.pth", "a net", ("inception",), ("https://example.org",), **known)
        monkeypatch.setattr(module, "weight_sources", lambda source=source: (source,))
        assert find_weights("inception") == (folder / "net.pth", found)
    other = WeightSource("net", "net.pth", "a net", ("inception",), ("https://example.org",), sha256_prefix="0" * 8)
    monkeypatch.setattr(module, "weight_sources", lambda: (other,))
    with pytest.raises(InputError, match="state that hash"):
        find_weights("inception")


def test_a_use_without_files_asks_for_one():
    with pytest.raises(InputError, match="name one by its path and SHA-256"):
        find_weights("torchscript")
