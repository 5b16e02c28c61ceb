"""The server: what it lists, where it listens, how it answers mistakes; and that plain MONAI Label serves too."""

import http.client
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest

from common.errors import InputError
from tests.label.client import SERVER, Server, free_port, mistake, run_python
from tests.label.conftest import BRAIN, BUNDLES, DCE, OTHER, SEGMENTATION

pytestmark = pytest.mark.label


def test_info_lists_the_bundles_and_what_can_be_asked(server):
    info = server.get("info/").json()
    assert set(info["models"]) == {SEGMENTATION, DCE, BRAIN, OTHER}
    for name in (SEGMENTATION, DCE, BRAIN):
        metadata = json.loads((BUNDLES / name / "configs" / "metadata.json").read_text())
        assert info["models"][name]["version"] == metadata["version"]
        assert info["models"][name]["config"]["model_filename"] == ["model.pt"]
    assert info["models"][DCE]["config"]["phase"] == [1, 2, 3]
    assert info["models"][BRAIN]["config"]["contrast"] == ["T1", "T1C", "T2", "FLAIR"]
    # Pairs of image and label train the segmentation alone.
    assert list(info["trainers"]) == [SEGMENTATION]


def test_only_this_machine_is_served(server):
    process = psutil.Process(server.process.pid)
    listening = {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    # A page of another origin, and one whose name was pointed at this machine.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/info/", headers={"Origin": "http://elsewhere.example"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Access-Control-Allow-Origin") is None
    answer.read()
    connection.request("GET", "/info/", headers={"Host": "elsewhere.example"})
    assert connection.getresponse().status == 400


def changed(source, target, change):
    image = nibabel.load(source)
    nibabel.save(nibabel.Nifti1Image(change(np.asarray(image.dataobj)), image.affine), target)
    return target


def test_unfit_images_are_refused_in_one_line(server, studies, tmp_path):
    source = studies / "breast_pre.nii.gz"
    for name, change, told in (
        ("empty", np.zeros_like, "every voxel is 0"),
        ("flat", lambda array: array[:, :, 4], "a three-dimensional volume is needed"),
        ("labels", lambda array: (array > 100).astype(np.uint8), "as a label map does; an image is needed"),
    ):
        file = changed(source, tmp_path / f"{name}.nii.gz", change)
        assert told in mistake(server.infer(DCE, file=file))
    scan = changed(source, tmp_path / "scan.nii.gz", lambda array: array.astype(np.float32) / 3)
    assert "a label mask is needed" in mistake(server.infer(BRAIN, file=scan))
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(source.read_bytes()[:1000])
    assert "cannot be read as an image" in mistake(server.infer(DCE, file=broken))


def test_what_is_not_there_is_named(server, tmp_path):
    assert "There is no model 'nothing' available" in mistake(server.infer("nothing", "breast_pre"), 404)
    for model in (DCE, BRAIN):
        assert "names no image of the studies folder" in mistake(server.infer(model, "nobody"))
    assert "Image nobody not found" in mistake(server.submit("nobody", BUNDLES / DCE / "LICENSE"), 404)
    assert f"models that can: {SEGMENTATION}" in mistake(server.train(DCE), 404)
    assert f"models that can: {SEGMENTATION}" in mistake(server.train("nothing"), 404)


def test_mistakes_leave_one_line_in_the_log(server):
    mistake(server.infer(DCE, "nobody_at_all"))
    before = server.log.read_text()
    mistake(server.infer(DCE, "breast_pre", phase=11))
    log = server.log.read_text()[len(before) :]
    assert "phase=11: use 1 or 2 or 3" in log
    assert "Traceback" not in log


def test_a_folder_that_cannot_be_served_is_refused_before_the_start(studies, tmp_path):
    folder = tmp_path / "studies"
    (folder / "labels" / "final").mkdir(parents=True)
    shutil.copy(studies / "breast_pre.nii.gz", folder / "a.nii.gz")
    shutil.copy(studies / "breast_pre.nii.gz", folder / "a.nii")
    shutil.copy(studies / "PhantomBraTS_10008_seg.nii.gz", folder / "labels" / "final" / "a.nii.gz")
    result = run_python(SERVER, "start", "--studies", folder, "--bundles", DCE, check=False)
    assert result.returncode == 1, result.stdout[-2000:]
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "a.nii and a.nii.gz have one name, a" in lines[0]
    assert "is not on the image's grid" in lines[1]


def test_a_bundle_that_cannot_be_served_is_refused_before_the_start(studies, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SERVER.parent)
    script = importlib.import_module(SERVER.stem)
    bundle = tmp_path / DCE
    shutil.copytree(BUNDLES / DCE, bundle, symlinks=True, ignore=shutil.ignore_patterns("model.pt"))
    for name, told in (
        (bundle, "model.pt: no such file, so breast_dce_contrast_gan cannot be served; download the bundle again"),
        ("mammogram_stable_diffusion", "cannot be driven by MONAI Label"),
        ("nothing", "neither a bundle here nor the folder of one"),
    ):
        with pytest.raises(InputError, match=told):
            script.start(str(studies), str(name), str(tmp_path / "app"))
    with pytest.raises(InputError, match="no such folder"):
        script.check(str(tmp_path / "nowhere"), DCE)
    assert not (tmp_path / "app").exists()


def test_trained_weights_stay_in_the_server_s_copy(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SERVER.parent)
    script = importlib.import_module(SERVER.stem)
    weights = tmp_path / "model" / DCE / "models" / "model.pt"
    script.install_app(tmp_path, [BUNDLES / DCE])
    assert weights.read_bytes() == (BUNDLES / DCE / "models" / "model.pt").read_bytes()
    assert not (tmp_path / "model" / DCE / "configs" / "train.json").exists()
    weights.write_bytes(b"trained")
    script.install_app(tmp_path, [BUNDLES / DCE])
    assert weights.read_bytes() == b"trained"
    script.install_app(tmp_path, [BUNDLES / DCE], renew=True)
    assert weights.read_bytes() == (BUNDLES / DCE / "models" / "model.pt").read_bytes()


def test_plain_monai_label_serves_the_bundles(studies, tmp_path):
    """Its own command, its stock app, links to the bundles: all but the answers to mistakes."""
    app = tmp_path / "monaibundle"
    command = str(Path(sys.executable).parent / "monailabel")
    shutil.copytree(Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle", app)
    (app / "model").mkdir(exist_ok=True)
    for name in (DCE, BRAIN):
        os.symlink(BUNDLES / name, app / "model" / name)
    port = free_port()
    options = ["--app", app, "--studies", studies, "--host", "127.0.0.1", "--port", port]
    options += ["--conf", "models", f"{DCE},{BRAIN}", "--conf", "zoo_source", "local", "--conf", "sam2", "false"]
    running = Server([command, "start_server", *options], port, tmp_path / "server.log")
    try:
        assert set(running.get("info/").json()["models"]) == {DCE, BRAIN}
        for model, image in ((DCE, "breast_pre"), (BRAIN, "PhantomBraTS_10008_seg"), (DCE, "breast_turned")):
            got = nibabel.load(running.volume(tmp_path / "got.nii.gz", model, image))
            source = nibabel.load(studies / f"{image}.nii.gz")
            assert got.shape == source.shape
            assert np.allclose(got.affine, source.affine, atol=1e-4)
    finally:
        running.stop()
