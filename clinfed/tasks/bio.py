"""The name that clinfed.tasks.tagging.bio had in version 0.1; it goes with 0.3."""

import sys

from clinfed.tasks.tagging import bio

sys.modules[__name__] = bio
