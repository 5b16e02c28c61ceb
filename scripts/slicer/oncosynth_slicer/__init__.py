"""What the 3D Slicer modules beside this folder share.

`worker`, `segments` and `results` run in the Python that the user chose; all else runs in Slicer's own Python (3.9 or
newer) and uses the standard library alone. The folder lies one level below the modules: Slicer takes every Python file
that lies directly in a module path for a module.
"""
