# SPDX-License-Identifier: Apache-2.0
"""How the tests of the command run it: in this process, or as one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers import PATIENCE

# What a terminal or a system of tests may say about colours and widths.
SAYS_HOW_TO_DRAW = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TERM")


@dataclass(frozen=True)
class Done:
    """How the command ended, and what it printed."""

    status: int
    out: str
    err: str


def run(*arguments: str | Path) -> Done:
    """Run the command in this process; no output is a terminal."""
    from dictdb._cli import main

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit:  # --help and --version
            status = int(exit.code or 0)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Done(status, *texts)


def environment(**more: str) -> dict[str, str]:
    """This process's, but for what it says about colours and widths."""
    kept = {name: value for name, value in os.environ.items() if name not in SAYS_HOW_TO_DRAW}
    return {**kept, "PYTHONIOENCODING": "utf-8", **more}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "dictdb", *map(str, arguments)]


def run_apart(
    *arguments: str | Path, stdout: int = subprocess.PIPE, cwd: Path | None = None, **more: str
) -> Done:
    """Run the command in a process of its own. more: variables of its environment."""
    done = subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(**more),
        cwd=cwd,
        timeout=60 * PATIENCE,
    )
    return Done(done.returncode, done.stdout or "", done.stderr)


def run_on_terminal(*arguments: str | Path, columns: int, **more: str) -> tuple[int, str]:
    """Run the command with its output on a terminal: its status, and what is on that."""
    ours, its = os.openpty()
    try:
        child = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=subprocess.DEVNULL,
            env=environment(COLUMNS=str(columns), LINES="40", TERM="xterm-256color", **more),
        )
    finally:
        os.close(its)
    shown = bytearray()
    with child:
        # The system says EIO when nobody has the other end any more.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 65536):
                shown += chunk
    os.close(ours)
    return child.returncode, shown.decode()
