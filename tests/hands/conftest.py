"""Makes the test hand known: `three.py` lies beside."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import three  # noqa: F401
