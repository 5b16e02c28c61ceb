"""The evaluation in a model card is made from the report, byte by byte, and tells nothing of the machine."""

import hashlib
import json

import jsonschema
import numpy as np
import pytest

from common.errors import InputError
from common.reports.model_card import BEGIN, END, card_block, card_copy, find_block, read_report, update_card
from common.reports.pictures import save_png
from common.reports.report import Curve, Figure, Report
from tests.conftest import BUNDLES, ROOT, error_line, run_script

MARKERS = "<!-- evaluation:begin -->\n<!-- evaluation:end -->"
SCHEMA = json.loads((ROOT / "common" / "reports" / "report_schema.json").read_text())


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_cards_of_the_bundles_are_made_from_their_evaluations(bundle):
    """No markers and no evaluation is allowed; one without the other is not."""
    kept, text = bundle / "docs" / "evaluation.json", (bundle / "docs" / "README.md").read_text()
    place = find_block(text, f"{bundle.name}/docs/README.md")
    assert (place is not None) == kept.is_file()
    if place is not None:
        content = read_report(kept)
        jsonschema.Draft202012Validator(SCHEMA).validate(content)
        assert text[place[0] : place[1]] == card_block(content)


@pytest.fixture
def made(tmp_path):
    """A report in a folder, and a bundle with a card."""
    facts = {"synthetic": True, "seed": 0, "weights_sha256": "ab" * 32, "memorisation": "0 copies of 12 | none"}
    facts["datalist"] = str(tmp_path / "runs" / "datalist.json")
    report = Report("Evaluation of <x>", facts)
    report.warnings.append("Only 12 images.")
    interval = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 12, "floor": 0.1}
    report.add("MS-SSIM, all", ("pair", "MS-SSIM"), [{"pair": "real", "MS-SSIM": interval}], "Lower is more diverse.")
    report.add("Each case", ("case", "value"), [{"case": "c1", "value": float("nan")}])
    report.add("Other", ("a",), [{"a": 1}])
    report.curves.append(Curve("ROC", "x", "y", {"a": [(0, 0)]}))
    save_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8), "x")
    report.figures.append(Figure("Examples", tmp_path / "a.png"))
    path = report.write(tmp_path)[0]
    docs = tmp_path / "bundle" / "docs"
    docs.mkdir(parents=True)
    (docs / "README.md").write_text(f"# Name\n\n{MARKERS}\n\n## End\n")
    return path, docs


def test_the_script_writes_the_copy_and_the_block(made):
    path, docs = made
    arguments = ("--report", path, "--bundle", docs.parent, "--tables", "['Other','MS-SSIM, all']")
    assert "updated" in run_script("model_card.py", *arguments).stdout
    content = json.loads((docs / "evaluation.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert content["source_sha256"] == digest and list(content["tables"]) == ["Other", "MS-SSIM, all"]
    text = (docs / "README.md").read_text()
    assert text == f"# Name\n\n{card_block(content)}\n\n## End\n"
    assert card_block(content).splitlines() == [
        BEGIN,
        "",
        "### Evaluation of &lt;x>",
        "",
        "Synthetic images are described here: they were made by a generative model, show no patient and are not for "
        "diagnosis.",
        "",
        "> - **Warning:** Only 12 images.",
        "",
        "- seed: 0",
        f"- weights_sha256: {'ab' * 32}",
        "- datalist: datalist.json",
        "- **memorisation**: 0 copies of 12 \\| none",
        "",
        "#### Other",
        "",
        "| a |",
        "|---|",
        "| 1 |",
        "",
        "#### MS-SSIM, all",
        "",
        "| pair | MS-SSIM |",
        "|---|---|",
        "| real | 0.5 (0.25 to 0.75), floor 0.1 |",
        "",
        "n = 12 for every interval.",
        "",
        "Lower is more diverse.",
        "",
        f"Made from the `report.json` with SHA-256 `{digest}`; its figures in full: `evaluation.json`.",
        "",
        END,
    ]
    before = {file: file.read_bytes() for file in docs.iterdir()}
    assert "was up to date" in run_script("model_card.py", *arguments).stdout
    assert {file: file.read_bytes() for file in docs.iterdir()} == before
    assert str(path.parent) not in text + (docs / "evaluation.json").read_text()


def test_a_report_gives_the_block_of_its_copy(made):
    content = read_report(made[0])
    digest = hashlib.sha256(made[0].read_bytes()).hexdigest()
    assert card_block(content, ["Other"]) == card_block(card_copy(content, digest, ["Other"]))
    assert card_block({**content, "facts": {}}).count("- **memorisation**: not tested\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "# Name\n",
        "<!-- evaluation:begin -->\n",
        "<!-- evaluation:end -->\n",
        f"{MARKERS}\n{MARKERS}\n",
        "<!-- evaluation:begin -->\n<!-- evaluation:begin -->\n<!-- evaluation:end -->\n",
        "<!-- evaluation:end -->\n<!-- evaluation:begin -->\n",
    ],
)
def test_missing_and_doubled_markers_are_refused_in_one_line(made, text):
    docs = made[1]
    (docs / "README.md").write_text(text)
    with pytest.raises(InputError, match="marker") as caught:
        update_card(docs / "README.md", "block")
    assert "\n" not in str(caught.value)
    assert (docs / "README.md").read_text() == text


def test_the_script_writes_nothing_where_the_card_has_no_markers(made):
    path, docs = made
    (docs / "README.md").write_text("# Name\n")
    result = run_script("model_card.py", "--report", path, "--bundle", docs.parent, check=False)
    assert "has no markers" in error_line(result)
    assert (docs / "README.md").read_text() == "# Name\n" and not (docs / "evaluation.json").exists()


@pytest.mark.parametrize("path", ["/data/x/list.json", "~/list.json", "C:\\data\\list.json", "file:///d/list.json"])
def test_paths_of_the_machine_are_reduced_or_refused(made, path):
    content = read_report(made[0])
    facts = {"alone": path, "deep": [{"inside": path}]}
    kept = card_copy({**content, "facts": facts}, "0" * 64)
    assert kept["facts"] == {"alone": "list.json", "deep": [{"inside": "list.json"}]}
    for told in ({"facts": {"source": f"read from {path}"}}, {"warnings": [f"({path}) is small"]}):
        with pytest.raises(InputError, match="path of this machine"):
            card_copy({**content, **told}, "0" * 64)


@pytest.mark.parametrize("text", ["and/or", "1/2", "a / b", "https://doi.org/10.1038/s41598", "/", "MAE/mean"])
def test_other_slashes_are_left_alone(made, text):
    content = {**read_report(made[0]), "facts": {"text": text}, "warnings": [f"See {text}."]}
    kept = card_copy(content, "0" * 64)
    assert kept["facts"] == {"text": text} and kept["warnings"] == [f"See {text}."]


def test_what_is_no_report_is_refused(made, tmp_path):
    with pytest.raises(InputError, match="has no table 'Nothing'; it has MS-SSIM, all, Each case, Other"):
        card_block(read_report(made[0]), ["Nothing"])
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path / "none.json")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(InputError, match="is no report"):
        read_report(tmp_path / "b.json")
