"""`common/` runs beside MONAI Label too, with its older pydicom and NumPy."""

import importlib
import pkgutil

import pytest

pytestmark = pytest.mark.label


def test_every_module_of_common_can_be_imported():
    import common

    failed = {}
    for module in pkgutil.walk_packages(common.__path__, "common."):
        try:
            importlib.import_module(module.name)
        except Exception as error:  # all that fail are to be named
            failed[module.name] = f"{type(error).__name__}: {error}"
    assert not failed


def test_versions_are_those_that_monai_label_needs():
    import numpy
    import pydicom

    assert int(pydicom.__version__.split(".")[0]) == 2
    assert int(numpy.__version__.split(".")[0]) == 1
