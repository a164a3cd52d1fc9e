# SPDX-License-Identifier: Apache-2.0
"""The bar that ``progress=True`` draws on standard error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dictdb import _core

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A callable ``(done, total)``, as ``progress=`` takes it, until it is closed."""

    __slots__ = ("_progress", "_task")

    def __init__(self, verb: str, path: str | bytes | os.PathLike[str] | None) -> None:
        try:
            from rich.console import Console
            from rich.progress import Progress
        except ImportError as error:
            raise _core.InvalidArgumentError(
                "progress=True draws its bar with the package 'rich', which is not installed; "
                "install it, or give a callable (done, total)"
            ) from error
        name = "" if path is None else " " + os.path.basename(os.fsdecode(path))
        self._progress: Progress = Progress(console=Console(stderr=True))
        # Markup in a file's name is none: brackets are escaped.
        self._task: TaskID = self._progress.add_task((verb + name).replace("[", "\\["), total=None)
        self._progress.start()

    def __call__(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total or None)

    def close(self) -> None:
        """Leave the bar as it is; nothing moves it any more."""
        self._progress.stop()
