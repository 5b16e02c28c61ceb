"""Put the repository on `sys.path`, so that the scripts beside this file find `common` from any folder."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
