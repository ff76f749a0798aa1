"""Download a part of a data set and import it as a collection.

    python -m scripts.download glr21 --name mine --split index --landmarks 50 --min-photos 5
    python -m scripts.download glr21 --name castles --split train --category castle --clean
    python -m scripts.download glr21 --name castles … --estimate [--yes]

Nothing is fetched before the estimate was answered with yes (or --yes was given). Stopped at any
moment, kill included, the same command goes on where it was. Exit code 2 where photos are missing
or something was wrong; what is there is imported all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from data import glr21
from data.errors import PlaygroundError
from data.gldv2.download import download
from data.gldv2.estimate import Estimate, Question, keep_question
from data.gldv2.lists import BASE_URL, SHARDS, Mirror, Wanted
from data.gldv2.local import find_local, import_local
from data.gldv2.session import Report
from data.gldv2.shards import Method
from data.http import Cancel, Settings, Stopped
from data.names import printable
from data.progress import Progress
from indexing.jobs import JobProgress
from indexing.progress import Stage
from scripts import console

_LISTED = 20  # problems that are printed; --json prints all
_UNITS = {"lists": "byte", "shards": "shard", "photos": "photo"}


def parser() -> argparse.ArgumentParser:
    result, commands = console.commands("download", __doc__, metavar="DATASET")
    command = commands.add_parser(
        "glr21",
        help="Google Landmarks v2 (GLR21) from its public mirror",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--name", required=True, help="of the collection")
    default = Wanted()
    choice = command.add_argument_group("which photos")
    choice.add_argument(
        "--split", choices=get_args(glr21.Split), default=default.split, help="which photos"
    )
    choice.add_argument(
        "--landmarks", type=_number_or_all, default=default.landmarks, help="how many, or all"
    )
    choice.add_argument("--min-photos", type=int, default=default.min_photos, help="of a landmark")
    choice.add_argument(
        "--max-photos",
        type=_number_or_all,
        default=default.max_photos,
        help="of a landmark, or all",
    )
    choice.add_argument(
        "--category", action="append", default=[], metavar="WORD", help="in the landmark's title"
    )
    choice.add_argument(
        "--hierarchy", action="append", default=[], metavar="WORD", help="church, natural, …"
    )
    choice.add_argument("--clean", action="store_true", help="only GLDv2-clean (split train)")
    choice.add_argument(
        "--queries",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with the split index",
    )
    choice.add_argument("--seed", type=int, default=default.seed, help="of both draws")
    choice.add_argument(
        "--longer-side", type=_number_or_all, default=default.longer_side, help="px, or all"
    )
    command.add_argument("--yes", action="store_true", help="do not ask")
    command.add_argument(
        "--up-to", type=float, metavar="GB", help="do not ask, and stop if more is to be fetched"
    )
    command.add_argument(
        "--estimate",
        action="store_true",
        help="fetch no photos: say what they would take (with --yes after fetching the lists)",
    )
    console.json_flag(command)
    command.add_argument("--local", type=Path, metavar="DIR", help="import this copy instead")
    command.add_argument(
        "--no-local", action="store_true", help="download even where Kaggle's copy is on disk"
    )
    server = command.add_argument_group("the server")
    server.add_argument("--base-url", default=BASE_URL, help="of the mirror")
    server.add_argument(
        "--shards", metavar="train=N,index=N,test=N", help="of a mirror with fewer than all"
    )
    server.add_argument(
        "--method",
        choices=get_args(Method),
        default="auto",
        help="byte ranges, whole shards, or what fits",
    )
    server.add_argument(
        "--search-all", action="store_true", help="look through every shard for what is missing"
    )
    command.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages
    server.add_argument(
        "--parallel", type=int, default=Settings.parallel, help="requests at a time"
    )
    server.add_argument("--timeout", type=float, default=Settings.timeout, help="s without a byte")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    wanted = Wanted(
        split=arguments.split,
        landmarks=arguments.landmarks,
        min_photos=arguments.min_photos,
        max_photos=arguments.max_photos,
        category=tuple(arguments.category),
        hierarchy=tuple(arguments.hierarchy),
        clean=arguments.clean,
        queries=arguments.queries,
        seed=arguments.seed,
        longer_side=arguments.longer_side,
    )
    if arguments.job:
        given = sys.argv[1:] if argv is None else argv
        return _as_job(arguments, wanted, _without_job(given))
    with _Bars(quiet=arguments.json) as bars:
        question = _Question(arguments, bars)
        try:
            report = _run(arguments, wanted, bars, question)
        except Stopped:
            if question.left_open is None:
                raise
            if arguments.json:
                told = dataclasses.asdict(question.left_open)
                console.print_json({"collection": arguments.name, "estimate": told})
            return 0
    if arguments.json:
        console.print_json({"collection": arguments.name, **_as_json(report)})
    else:
        _print(arguments.name, report)
    if not report.complete:
        print(f"error: {_incomplete(report)}", file=sys.stderr)
        return 2
    return 0


def _run(
    arguments: argparse.Namespace,
    wanted: Wanted,
    progress: Progress,
    confirm: Callable[[Estimate], bool],
    cancel: Cancel | None = None,
) -> Report:
    local = arguments.local or (None if arguments.no_local else _kaggle(wanted))
    if local is not None:
        return import_local(arguments.name, wanted, local, progress=progress)
    return download(
        arguments.name,
        wanted,
        Mirror(arguments.base_url, _shards(arguments.shards)),
        method=arguments.method,
        search_all=arguments.search_all,
        settings=_settings(arguments),
        confirm=confirm,
        progress=progress,
        cancel=cancel,
    )


def _without_job(argv: Sequence[str]) -> list[str]:
    """The choice alone: what a page starts the next step with."""
    words = list(argv)
    place = words.index("--job")
    del words[place : place + 2]
    return [word for word in words[1:] if word not in ("--estimate", "--yes")]


def _as_job(arguments: argparse.Namespace, wanted: Wanted, choice: list[str]) -> int:
    """The download behind a page: progress in a file, problems as its last word."""
    stages = _Stages(arguments.job, arguments.name)
    cancel = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: cancel.set())
    question = _Question(arguments)
    try:
        report = _run(arguments, wanted, stages, question, cancel)
    except Stopped as error:
        if question.left_open is not None:
            asked = Question(arguments.name, question.left_open, tuple(choice))
            keep_question(asked)
            stages.end("done")
            return 0
        stages.end("cancelled", str(error))
        raise
    except BaseException as error:
        stages.end("failed", console.last_word(error))
        raise
    _print(arguments.name, report)
    if not report.complete:
        first = "; ".join(f"{p.what}: {p.reason}" for p in report.problems[:3])
        stages.end("failed", f"{_incomplete(report)} {first}")
        return 2
    stages.end("done")
    return 0


def _incomplete(report: Report) -> str:
    return (
        f"The download is not complete: {console.counted(len(report.missing), 'photo')} missing, "
        f"{console.counted(len(report.problems), 'problem')}. Start it again with the same "
        f"choice: it asks only for what is missing."
    )


def _kaggle(wanted: Wanted) -> Path | None:
    if wanted.category or wanted.hierarchy or wanted.clean:
        return None
    found = find_local(wanted)
    if found is not None:
        print(
            f"{found} is on this machine: it is imported instead of downloading. To download all "
            f"the same: --no-local",
            file=sys.stderr,
        )
    return found


def _number_or_all(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all") from None


def _settings(arguments: argparse.Namespace) -> Settings:
    if not 1 <= arguments.parallel <= 32:
        raise PlaygroundError(f"--parallel is {arguments.parallel}. Legal: 1 to 32.")
    if not 0 < arguments.timeout <= 3600:
        raise PlaygroundError(f"--timeout is {arguments.timeout:g}. Legal: up to 3600 s.")
    return Settings(parallel=arguments.parallel, timeout=arguments.timeout)


def _shards(text: str | None) -> dict[str, int]:
    found = dict(SHARDS)
    for part in text.split(",") if text else []:
        split, _, number = part.partition("=")
        if split not in found or not number.isdigit() or not 0 < int(number) <= 1000:
            raise PlaygroundError(
                f"--shards has the part {part!r}. Legal: train=N,index=N,test=N, each 1 to 1000."
            )
        found[split] = int(number)
    return found


class _Question:
    """Tells the estimate and asks, unless --yes or --up-to has answered.

    ``left_open``: with --estimate, what was told and not begun.
    """

    def __init__(self, arguments: argparse.Namespace, bars: _Bars | None = None) -> None:
        self._yes, self._up_to, self._bars = arguments.yes, arguments.up_to, bars
        self._only_tell = arguments.estimate
        self._allowed = 0  # bytes that were agreed to
        self.left_open: Estimate | None = None

    def __call__(self, estimate: Estimate) -> bool:
        if self._bars is not None:
            self._bars.close()
        time = "" if estimate.seconds is None else f", about {_duration(estimate.seconds)}"
        text = (
            f"About {_size(estimate.bytes)} to fetch in "
            f"{console.counted(estimate.requests, 'request')}{time}; about "
            f"{_size(estimate.disk)} on disk, of {_size(estimate.free)} free."
        )
        print(f"{estimate.how}\n{text}", file=sys.stderr)
        if self._only_tell and (estimate.step == "photos" or not self._yes):
            self.left_open = estimate
            return False
        self._allowed += estimate.bytes
        if self._up_to is not None and self._allowed > self._up_to * 1e9:
            raise PlaygroundError(
                f"The {estimate.step} need more than the {self._up_to:g} GB allowed. {text} Allow "
                f"more, or choose fewer photos."
            )
        if self._yes or self._up_to is not None:
            return True
        if not sys.stdin.isatty():
            raise PlaygroundError(
                "Nothing was downloaded: there is no terminal to ask on. Add --yes, or --up-to "
                "with a number of GB, to go on."
            )
        print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def _size(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e3:,.0f} kB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _as_json(report: Report) -> dict[str, Any]:
    found = dataclasses.asdict(report)
    return {**found, "complete": report.complete, "checked": report.checked()}


def _print(name: str, report: Report) -> None:
    new = report.by_range + report.by_shard
    print(
        f"{name}: {console.counted(report.wanted, 'photo')} chosen, {report.before:,} were here, "
        f"{new:,} downloaded ({_size(report.bytes)} in {_duration(report.seconds)}, "
        f"{report.retries:,} retries), {len(report.missing):,} missing."
    )
    print(report.checked())
    print(f"Photos: {report.folder}")
    for problem in report.problems[:_LISTED]:
        print(f"  {printable(problem.what)}: {printable(problem.reason)}")
    if len(report.problems) > _LISTED:
        print(f"  and {len(report.problems) - _LISTED:,} more; all: --json")


def _kind(text: str) -> str:
    """Which step a progress call is of."""
    if text.endswith(".csv"):
        return "lists"
    return "shards" if text.startswith("shards of") else "photos"


class _Stages:
    """Progress as the stages of a job."""

    def __init__(self, job_id: str, name: str) -> None:
        self._stages = {kind: Stage("download", kind) for kind in (*_UNITS, "import")}
        self._job = JobProgress(job_id, f"download:{name}", list(self._stages.values()))
        self._current = ""

    def __call__(self, done: int, total: int, text: str) -> None:
        importing = text == "importing" or self._current == "import"
        kind = "import" if importing else _kind(text)
        for earlier in self._stages.values():
            if earlier.stage == kind:
                break
            if earlier.state != "done":
                earlier.state, earlier.done, earlier.total = "done", 1, 1
                self._job.update(earlier)
        stage = self._stages[kind]
        self._current = kind
        stage.state, stage.done, stage.total = "running", done, total
        self._job.update(stage)

    def end(self, state: str, error: str = "") -> None:
        self._job.end(state, error)


class _Bars:
    """One progress bar after another: bytes of a list, shards, photos."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._unit = ""
        self._stack = contextlib.ExitStack()
        self._bar: console.Progress | None = None

    def __call__(self, done: int, total: int, text: str) -> None:
        unit = _UNITS[_kind(text)]
        if self._bar is None or unit != self._unit or done < 2:
            self.close()
            self._unit = unit
            self._bar = self._stack.enter_context(console.Progress(unit, quiet=self._quiet))
        self._bar(done, total, text)

    def close(self) -> None:
        """End the bar that is shown, so that something else can be printed."""
        self._stack.close()
        self._bar = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    console.run(main)
