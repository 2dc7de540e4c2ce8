"""What the web server serves: MONAI Label's application behind its guard. Imported inside the server alone."""

from __future__ import annotations

import json
import os

from monailabel.app import app as application

from .guard import SETTINGS, Guard

app = Guard(application, **json.loads(os.environ[SETTINGS]))
