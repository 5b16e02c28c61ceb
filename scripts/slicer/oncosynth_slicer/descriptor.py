"""A module's XML descriptor, and the command line that follows from it: the two cannot disagree."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

NUMBERS = {"integer": int, "float": float, "double": float}
PATHS = ("file", "directory", "image")


class Refused(Exception):
    """A mistake that the module itself finds: what is wrong and what to do, in one line."""


class Parameter(NamedTuple):
    """One parameter of a module, as the descriptor states it; texts are empty where it says nothing."""

    tag: str
    name: str
    label: str
    channel: str
    index: str
    longflag: str
    default: str
    minimum: str
    maximum: str
    elements: tuple


class Descriptor:
    """A module's descriptor.

    Args:
        path: the XML file.

    Attributes:
        text: the file's content, what `--xml` answers.
        title: name of the module in Slicer's menu.
        parameters: of all groups, in the order of the file.
    """

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(self.text.encode("utf-8"))
        self.title = _text(root, "title")
        self.parameters = [
            _parameter(element)
            for group in root.iter("parameters")
            for element in group
            if element.tag not in ("label", "description")
        ]

    def label(self, name: str) -> str:
        """What the user sees as the name of a parameter."""
        return next(parameter.label for parameter in self.parameters if parameter.name == name)

    def parse(self, arguments: Sequence[str]) -> dict:
        """Values by parameter name.

        Numbers and switches come as such, paths as absolute ones, all else as text. What is not given has the
        descriptor's default, a path or text without one is None. A switch is off unless its flag is there, as Slicer
        passes it.

        Raises:
            Refused: an unknown or missing argument, or a value that the descriptor does not allow.
        """
        parser = _Parser(allow_abbrev=False, add_help=False)
        ordered = sorted((p for p in self.parameters if p.index), key=lambda p: int(p.index))
        for parameter in [p for p in self.parameters if p.longflag]:
            flag = f"--{parameter.longflag}"
            if parameter.tag == "boolean":
                parser.add_argument(flag, dest=parameter.name, action="store_true")
            else:
                default = parameter.default or None
                parser.add_argument(flag, dest=parameter.name, type=_reader(parameter), default=default)
        for parameter in ordered:
            parser.add_argument(parameter.name, type=_reader(parameter))
        return vars(parser.parse_args(list(arguments)))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise Refused(f"{message}; the module's descriptor lists what it takes (--xml)")


def _reader(parameter: Parameter):
    """Function from an argument's text to its value, with the limits of the descriptor."""
    convert = NUMBERS.get(parameter.tag)

    def read(text: str) -> object:
        if parameter.elements and text not in parameter.elements:
            raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(parameter.elements)}")
        if parameter.tag in PATHS and text:
            return os.path.abspath(os.path.expanduser(text))  # the worker runs in another folder
        if convert is None:
            return text
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a number of the kind {parameter.tag}") from None
        if parameter.minimum and not value >= float(parameter.minimum):
            raise argparse.ArgumentTypeError(f"{text} is below {parameter.minimum}")
        if parameter.maximum and not value <= float(parameter.maximum):
            raise argparse.ArgumentTypeError(f"{text} is above {parameter.maximum}")
        return value

    return read


def _parameter(element: ElementTree.Element) -> Parameter:
    limits = element.find("constraints")
    return Parameter(
        tag=element.tag,
        name=_text(element, "name"),
        label=_text(element, "label"),
        channel=_text(element, "channel"),
        index=_text(element, "index"),
        longflag=_text(element, "longflag").lstrip("-"),
        default=_text(element, "default"),
        minimum="" if limits is None else _text(limits, "minimum"),
        maximum="" if limits is None else _text(limits, "maximum"),
        elements=tuple((item.text or "").strip() for item in element.findall("element")),
    )


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()
