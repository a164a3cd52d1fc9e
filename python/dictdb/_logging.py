# SPDX-License-Identifier: Apache-2.0
"""The logger of the package: the standard one named ``dictdb``.

It has a ``NullHandler`` and no level of its own: an application that does not configure logging
sees nothing, one that does decides everything. Messages take their arguments lazily, so that a
disabled level formats nothing and no text of a user is ever a format.
"""

from __future__ import annotations

import logging

logger: logging.Logger = logging.getLogger("dictdb")
logger.addHandler(logging.NullHandler())
