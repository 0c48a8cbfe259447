import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "hands"))
import three  # noqa: F401 (makes the hand of three fingers known)
