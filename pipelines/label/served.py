"""What the web server serves: MONAI Label's application behind :class:`Guard`. Imported inside the server alone."""

from __future__ import annotations

import json
import os

from monailabel.app import app as application

from .guard import Guard

SETTINGS = "RADBUNDLES_LABEL_GUARD"  # the variable of the environment: the command line could be read by all users

app = Guard(application, **json.loads(os.environ[SETTINGS]))
