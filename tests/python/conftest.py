"""The helpers in this folder are for the tests in all of its rooms."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
