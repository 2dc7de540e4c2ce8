"""Run by torchrun: trains with each of the settings in a JSON file, one after the other, and spares the starts."""

import gc
import json
import sys
from pathlib import Path

from monai.bundle import run

for settings in json.loads(Path(sys.argv[1]).read_text()):
    run("training", finalize=None, **settings)
    gc.collect()  # else a loader's worker might destroy the last training's communicators, which it has of its parent
