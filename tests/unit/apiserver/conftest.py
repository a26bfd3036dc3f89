from __future__ import annotations

import sys
from pathlib import Path

# `api_core.py` beside this file is shared by the tests below this folder.
sys.path.insert(0, str(Path(__file__).parent))
