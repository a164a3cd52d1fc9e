# SPDX-License-Identifier: Apache-2.0
"""Options of the functions that are written in Python."""

from __future__ import annotations

from collections.abc import Iterable

from dictdb import _core


def check_bool(what: str, value: object) -> None:
    """Refuse what is not True or False: a "no" is not to be taken for yes."""
    if not isinstance(value, bool):
        raise _core.UnsupportedTypeError(f"{what} must be True or False, not {value!r}")


def meant(word: object, words: Iterable[str]) -> str:
    """What the refusal of a word ends with: that of these which it is near, if there is one."""
    import difflib  # Only when something is refused.

    near = difflib.get_close_matches(word, list(words), n=1) if isinstance(word, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""
