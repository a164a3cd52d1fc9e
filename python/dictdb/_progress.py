# SPDX-License-Identifier: Apache-2.0
"""The bar on standard error: that of ``progress=True``, and the command's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from dictdb import _core

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Tell: TypeAlias = Callable[[int, int], object]


def printable(text: str) -> str:
    """The text with nothing in it that a terminal would act on."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Bar:
    """A callable ``(done, total)``, as ``progress=`` takes it, until it is closed.

    after: the seconds before it is drawn. transient: closing takes it away.
    """

    __slots__ = ("_after", "_began", "_is_drawn", "_progress", "_task")

    def __init__(
        self,
        verb: str,
        path: str | bytes | os.PathLike[str] | None,
        *,
        after: float = 0.0,
        transient: bool = False,
    ) -> None:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError as error:
            raise _core.InvalidArgumentError(
                "progress=True draws its bar with the package 'rich', which is not installed; "
                "install it, or give a callable (done, total)"
            ) from error
        name = "" if path is None else " " + os.path.basename(os.fsdecode(path))
        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=transient,
        )
        self._task: TaskID = self._progress.add_task(printable(verb + name), total=None)
        self._after = after
        self._began = monotonic()
        self._is_drawn = False
        self._draw()

    def _draw(self) -> None:
        if not self._is_drawn and monotonic() - self._began >= self._after:
            self._is_drawn = True
            self._progress.start()

    def __call__(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total or None)
        self._draw()

    def close(self) -> None:
        """Leave the bar as it is; nothing moves it any more."""
        if self._is_drawn:
            self._progress.stop()


class Steps:
    """Progress over several files: bytes done, of all."""

    def __init__(self, call: Tell | None, total: int) -> None:
        self._call = call
        self._total = total
        self._done = 0

    def step(self, size: int) -> Tell | None:
        """The progress function for a part of `size` bytes; None: there is nobody to tell."""
        start, self._done = self._done, self._done + size
        call = self._call
        if call is None:
            return None

        def tell(done: int, total: int) -> None:
            part = size * min(done, total) // total if total else 0
            call(start + part, self._total)

        return tell

    def end(self) -> None:
        """All is done."""
        if self._call is not None:
            self._call(self._total, self._total)


@contextlib.contextmanager
def shown(
    verb: str, path: str | bytes | os.PathLike[str] | None, progress: Tell | bool | None
) -> Iterator[Tell | None]:
    """What is to be told of what the block does: nobody, a callable that was given, or a bar."""
    if progress is True:
        bar = Bar(verb, path)
        try:
            yield bar
        finally:
            bar.close()
    elif progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        raise _core.UnsupportedTypeError(
            f"progress must be callable or True, not {type(progress).__name__!r}"
        )
