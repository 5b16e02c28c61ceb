"""Rules for descriptors of command-line modules, after the Slicer Execution Model and CTK's XML schema of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

HEAD = (
    "category",
    "title",
    "description",
    "version",
    "documentation-url",
    "license",
    "contributor",
    "acknowledgements",
)
REQUIRED_HEAD = ("title", "description")
SCALARS = ("integer", "float", "double")
ENUMERATIONS = tuple(f"{kind}-enumeration" for kind in ("integer", "float", "double", "string"))
VECTORS = tuple(f"{kind}-vector" for kind in ("integer", "float", "double", "string"))
FILES = ("file", "directory", "image")
TAGS = ("boolean", "string", *SCALARS, *ENUMERATIONS, *VECTORS, *FILES)
ATTRIBUTES = {
    "file": {"hidden", "multiple", "fileExtensions", "reference"},
    "directory": {"hidden", "multiple"},
    "image": {"hidden", "multiple", "fileExtensions", "type", "reference"},
    "string": {"hidden", "multiple"},
}
IMAGE_TYPES = {"scalar", "label", "tensor", "diffusion-weighted", "vector", "model"}
ORDER = ("name", "flag", "longflag", "index", "description", "label", "default", "channel", "constraints", "element")
NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
LIMITS = ("minimum", "maximum", "step")


def violations(text: str) -> list[str]:
    """What is wrong with a descriptor, one line each; empty for a good one."""
    try:
        root = ElementTree.fromstring(text.encode("utf-8"))
    except ElementTree.ParseError as error:
        return [f"not XML: {error}"]
    found: list[str] = []
    if not text.startswith("<?xml"):
        found.append("does not begin with <?xml")
    if root.tag != "executable":
        return [*found, f"root is {root.tag}"]
    groups = root.findall("parameters")
    found += _in_order([child.tag for child in root], (*HEAD, "parameters"), "executable", repeated=("parameters",))
    found += [f"executable: {name} is missing or empty" for name in REQUIRED_HEAD if not _text(root, name)]
    if not groups:
        found.append("executable: no parameters")
    parameters = []
    for group in groups:
        found += _check_group(group)
        parameters += [child for child in group if child.tag not in ("label", "description")]
    for parameter in parameters:
        found += _check_parameter(parameter)
    names = [_text(parameter, "name") for parameter in parameters]
    flags = [
        _text(p, kind).lstrip("-") for p in parameters for kind in ("flag", "longflag") if p.find(kind) is not None
    ]
    for what, values in (("name", names), ("flag", flags)):
        found += [f"{what} {value} is there twice" for value in sorted({v for v in values if values.count(v) > 1})]
    indexes = sorted(int(_text(p, "index")) for p in parameters if _text(p, "index").isdigit())
    if indexes != list(range(len(indexes))):
        found.append(f"indexes {indexes} are not counted from 0")
    for parameter in parameters:
        reference = parameter.get("reference")
        if reference is not None and reference not in names:
            found.append(f"{_text(parameter, 'name')}: refers to {reference}, which is no parameter")
    return found


def _check_group(group: ElementTree.Element) -> list[str]:
    found = [f"parameters: unknown attribute {name}" for name in group.attrib if name != "advanced"]
    if group.get("advanced", "false") not in ("true", "false"):
        found.append(f"parameters: advanced is {group.get('advanced')}")
    tags = [child.tag for child in group]
    if tags[:2] != ["label", "description"]:
        found.append("parameters: has to begin with label and description")
    found += [f"parameters: {tag} is no parameter" for tag in tags[2:] if tag not in TAGS]
    if len(tags) < 3:
        found.append("parameters: is empty")
    return found


def _check_parameter(parameter: ElementTree.Element) -> list[str]:
    tag, name = parameter.tag, _text(parameter, "name")
    where = name or tag
    allowed = ATTRIBUTES.get(tag, {"hidden"} | ({"multiple"} if tag in SCALARS else set()))
    found = [f"{where}: unknown attribute {key}" for key in parameter.attrib if key not in allowed]
    found += _in_order([child.tag for child in parameter], ORDER, where, repeated=("element",))
    found += [
        f"{where}: {key} is missing or empty" for key in ("name", "description", "label") if not _text(parameter, key)
    ]
    if name and not NAME.fullmatch(name):
        found.append(f"{where}: not a name")
    has_flag = any(parameter.find(kind) is not None for kind in ("flag", "longflag"))
    if has_flag == (parameter.find("index") is not None):
        found.append(f"{where}: needs either an index or a flag")
    if parameter.find("index") is not None and not _text(parameter, "index").isdigit():
        found.append(f"{where}: its index is not a number")
    if parameter.find("longflag") is not None and not NAME.fullmatch(_text(parameter, "longflag").lstrip("-")):
        found.append(f"{where}: its longflag is not a name")
    if parameter.find("flag") is not None and not re.fullmatch(r"-?[a-zA-Z]", _text(parameter, "flag")):
        found.append(f"{where}: its flag is not a letter")
    if parameter.find("channel") is not None and _text(parameter, "channel") not in ("input", "output"):
        found.append(f"{where}: its channel is neither input nor output")
    if tag in FILES and parameter.find("channel") is None:
        found.append(f"{where}: needs a channel")
    if tag == "image" and parameter.get("type", "scalar") not in IMAGE_TYPES:
        found.append(f"{where}: unknown type {parameter.get('type')}")
    extensions = parameter.get("fileExtensions")
    if extensions is not None and not all(re.fullmatch(r"(\.\w+)+", part) for part in extensions.split(",")):
        found.append(f"{where}: fileExtensions are written as .nrrd,.nii.gz")
    return found + _check_values(parameter, where)


def _check_values(parameter: ElementTree.Element, where: str) -> list[str]:
    tag, default, found = parameter.tag, parameter.findtext("default"), []
    elements = [(element.text or "").strip() for element in parameter.findall("element")]
    if (tag in ENUMERATIONS) != bool(elements):
        found.append(f"{where}: elements belong to enumerations, and each has some")
    if tag in ENUMERATIONS and default not in elements:
        found.append(f"{where}: its default is none of its elements")
    if tag == "boolean" and default not in ("true", "false"):
        found.append(f"{where}: its default is neither true nor false")
    if tag in SCALARS and not _is_number(tag, default):
        found.append(f"{where}: its default is not a number of its kind")
    limits = parameter.find("constraints")
    if limits is None:
        return found
    if tag not in (*SCALARS, *VECTORS):
        return [*found, f"{where}: constraints belong to numbers"]
    found += [f"{where}: unknown constraint {child.tag}" for child in limits if child.tag not in LIMITS]
    if limits.find("step") is None:
        found.append(f"{where}: constraints need a step")
    if not all(_is_number(tag, child.text) for child in limits):
        return [*found, f"{where}: constraints are not numbers of its kind"]
    low, high = (limits.findtext(name) for name in ("minimum", "maximum"))
    if _is_number(tag, default) and not (float(low or "-inf") <= float(default) <= float(high or "inf")):
        found.append(f"{where}: its default is outside its constraints")
    return found


def _is_number(tag: str, text: str | None) -> bool:
    try:
        (int if tag == "integer" else float)(text or "")
    except ValueError:
        return False
    return True


def _in_order(tags: Sequence[str], order: Sequence[str], where: str, repeated: Sequence[str] = ()) -> list[str]:
    found = [f"{where}: unknown element {tag}" for tag in tags if tag not in order]
    places = [order.index(tag) for tag in tags if tag in order]
    if places != sorted(places):
        found.append(f"{where}: elements are not in the schema's order")
    found += [f"{where}: {tag} is there twice" for tag in set(tags) if tags.count(tag) > 1 and tag not in repeated]
    return found


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()
