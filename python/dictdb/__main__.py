# SPDX-License-Identifier: Apache-2.0
"""The command ``dictdb``, also ``python -m dictdb``."""

from __future__ import annotations

import sys

from dictdb._cli import main

if __name__ == "__main__":
    sys.exit(main())
