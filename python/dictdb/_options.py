# SPDX-License-Identifier: Apache-2.0
"""Options of the functions that are written in Python."""

from __future__ import annotations

from dictdb import _core


def check_bool(what: str, value: object) -> None:
    """Refuse what is not True or False: a "no" is not to be taken for yes."""
    if not isinstance(value, bool):
        raise _core.UnsupportedTypeError(f"{what} must be True or False, not {value!r}")
