"""What every command-line entry point shares: exit codes, JSON output and progress.

Exit codes: 0 done, 1 a defect of ours (traceback) or a build of which a part failed, 2 wrong
arguments or a ``PlaygroundError``, 130 stopped with Ctrl-C. Results go to stdout; progress and
errors go to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NoReturn

from tqdm import tqdm

from data import permission
from data.errors import PlaygroundError
from data.names import printable, printable_lines
from indexing import jobs
from indexing.jobs import JobProgress

Main = Callable[[Sequence[str] | None], int | None]
"""A script's ``main(argv)``: None stands for ``sys.argv[1:]``; it returns the exit code."""


def call(main: Main, argv: Sequence[str] | None = None) -> int:
    """Run ``main`` and return its exit code; a ``PlaygroundError`` becomes one line on stderr."""
    try:
        with permission.command_line():
            return main(argv) or 0
    except PlaygroundError as error:
        print(f"error: {printable_lines(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was already saved is untouched", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (such as ``head``) went away. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


@contextlib.contextmanager
def page_job(
    job: JobProgress, low_priority: bool = True, slot: str = jobs.BUILD
) -> Iterator[JobProgress]:
    """Around what a page has started: its problems, or its end, are the job's last word.

    Searches and the page come first, unless ``low_priority`` is False (for measuring).
    It waits for its turn in its slot first.
    SIGTERM (a page's cancel button) is taken as Ctrl-C, so that things half made are cleared away.
    """
    if low_priority and hasattr(os, "nice"):
        os.nice(10)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with job.turn(slot):
            yield job
    except KeyboardInterrupt:
        job.end("cancelled")
        raise
    except BaseException as error:
        job.end("failed", last_word(error))
        raise
    job.end("done")


def last_word(error: BaseException) -> str:
    """A problem as a page shows it."""
    if isinstance(error, PlaygroundError):
        return str(error)
    return f"{type(error).__name__}: {error}. The job's log has the details."


def run(main: Main, argv: Sequence[str] | None = None) -> NoReturn:
    """``call``, then end the process. For ``if __name__ == "__main__": run(main)``."""
    sys.exit(call(main, argv))


def commands(
    module: str, doc: str | None, metavar: str = "COMMAND"
) -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]:
    """The parser of ``python -m scripts.MODULE`` and the place of its sub-commands.

    Args:
        doc: the module's docstring, shown as it is written.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m scripts.{module}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser, parser.add_subparsers(dest="command", required=True, metavar=metavar)


def json_flag(command: argparse.ArgumentParser) -> None:
    """Add ``--json``, which every command has."""
    command.add_argument("--json", action="store_true", help="print one JSON object")


def print_json(value: Any) -> None:
    """Print one JSON object to stdout, as the scripts' ``--json`` promises."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    # What a terminal may take for a command can only stand inside of texts.
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 photo``, ``1,234 photos``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print columns: numbers to the right, everything else to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(header))
    ]
    for line in [list(header), *cells]:
        padded = [
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(line, widths, right, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


class Progress:
    """A progress bar on stderr that is called as ``progress(done, total, text)``.

    ``total`` 0 means unknown. Silent where stderr is no terminal, or with ``quiet``.
    """

    def __init__(self, unit: str = "photo", quiet: bool = False) -> None:
        self._bar: tqdm[NoReturn] = tqdm(
            unit=f" {unit}s", disable=True if quiet else None, dynamic_ncols=True, leave=False
        )

    def __call__(self, done: int, total: int, text: str = "") -> None:
        if self._bar.disable:
            return
        self._bar.total = max(total, done) if total else None
        # tqdm redraws by itself at most ten times a second.
        self._bar.set_postfix_str(text[-40:], refresh=False)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
