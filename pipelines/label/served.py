"""What the web server serves: MONAI Label's application, which says what went wrong, behind its guard.

Imported inside the server alone.
"""

from __future__ import annotations

import json
import os

from monailabel.app import app as application

from .answers import tell_errors
from .guard import SETTINGS, Guard

tell_errors(application)
app = Guard(application, **json.loads(os.environ[SETTINGS]))
