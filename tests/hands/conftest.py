"""Makes the test hand known: `three.py` lies beside."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
import three  # noqa: F401
