"""Downloading a chosen part of Google Landmarks v2, and importing it as a collection.

    lists      the CSV files, once for all downloads
    choice     which photos, from the lists alone
    shards     which of the tars hold them: the first header of each
    photos     by byte range (see data.gldv2_tar), or from whole shards as they stream by
    import     by data.glr21, from a folder in the layout of the data set

Nothing is fetched before ``confirm`` was asked with an estimate, twice: for the lists, then for
the photos. Below ``downloads/gldv2/`` of the artefacts::

    lists/              the CSV files with notes of their size and SHA-256
    shards/{split}/     what is known of each tar: size, ETag, first id, the entries passed
    subsets/NAME/       download.json, CSV files of the subset, {split}/a/b/c/abc….jpg
    questions/NAME.json an estimate that a page shows until it is answered

Shards are chosen by the first id of each where those ascend, else all are looked through. A whole
shard is never kept on disk: its photos wait aside until the MD5 of all its bytes is right. The MD5
of a shard says nothing about a part of it, so photos by byte range are checked otherwise: the
checksum and the name of their tar header, the header that must follow them, and that they decode.
A photo is renamed to its place when it is complete; a process killed at any time goes on from
there and ends with the same files.
"""

from __future__ import annotations

import bisect
import concurrent.futures
import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from data import artefact, gldv2_lists, importing, paths, photos, store
from data.errors import PlaygroundError
from data.gldv2_http import (
    Cancel,
    ChangedError,
    Remote,
    RestartError,
    Settings,
    Stopped,
    Web,
    WebError,
)
from data.gldv2_lists import Mirror, Progress, Subset, Wanted
from data.gldv2_tar import (
    BLOCK,
    MAX_PHOTO,
    BrokenShardError,
    Member,
    RangedShard,
    UnorderedError,
    parse,
)
from data.glr21 import LABELS, PHOTO_ID, SOLUTION, Glr21Source, csv_rows, photo_file
from data.photos import BadPhoto

Method = Literal["auto", "ranges", "shards"]
SPARE = 256 << 20  # bytes that must stay free on the disk
_HEAD = 4096  # bytes; a few headers, for tars that begin with folders
_DENSE = 0.2  # of a split wanted: from here on whole shards are no waste
_FEW = 8  # shards
# Of a search, for the estimate: simulated on shards of 8,266 evenly spread ids, 120 kB a photo.
_PER_SEARCH = 5  # requests of 128 kB
_QUALITY = 90  # of photos that are shrunk
_KAGGLE = ("landmark-retrieval-2021", "landmark-recognition-2021", "landmark-retrieval-2020")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What the next step will take."""

    step: Literal["lists", "photos"]
    files: int  # lists, or photos
    bytes: int  # to fetch, about
    requests: int  # about
    disk: int  # bytes to write, about
    seconds: float | None  # None where the server's pace is not known yet
    how: str  # a sentence for people
    shards: int = 0  # tars that are read, in part or whole
    free: int = 0  # bytes on the disk that is written to


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that could not be fetched or was not right, and why."""

    what: str
    reason: str


@dataclasses.dataclass
class Report:
    """What a download did. Photos count queries, too."""

    folder: Path
    wanted: int = 0
    before: int = 0  # were here already
    by_range: int = 0
    by_shard: int = 0  # from whole shards
    shards_checked: int = 0  # whole shards whose MD5 was right
    missing: list[str] = dataclasses.field(default_factory=list)  # split/id of photos
    problems: list[Problem] = dataclasses.field(default_factory=list)
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    imported: importing.Report | None = None
    local: str = ""  # a copy on disk that was imported instead

    @property
    def complete(self) -> bool:
        return not self.missing and not self.problems

    def checked(self) -> str:
        """What was and was not verified, for people."""
        parts = []
        if self.by_shard:
            parts.append(
                f"{self.by_shard:,} photos came from whole shards; the MD5 of "
                f"{self.shards_checked:,} shards was checked and right"
            )
        if self.by_range:
            parts.append(
                f"{self.by_range:,} photos came by byte range; their tar headers and JPEG data "
                f"were checked, the MD5 of their shards was not (it needs the whole shard)"
            )
        return ". ".join(parts) + "." if parts else "Nothing new was fetched."


class DownloadedSource(Glr21Source):
    """All photos of a downloaded subset."""

    def __init__(self, folder: Path, split: gldv2_lists.Split) -> None:
        super().__init__(folder, split=split)

    def about(self) -> dict[str, str]:
        rights = (
            "CC BY; each photo names its author, licence and source."
            if self.split == "train"
            else "CC0 or public domain, by the data set's page."
        )
        return {
            "description": f"A subset of the {self.split} split of Google Landmarks v2 (Weyand et "
            f"al., CVPR 2020).",
            "licence": f"{rights} Labels: Google, CC BY 4.0.",
        }


def root() -> Path:
    """Where downloads of Google Landmarks v2 are kept."""
    return paths.artifacts_root() / "downloads" / "gldv2"


def download(
    name: str,
    wanted: Wanted,
    mirror: Mirror | None = None,
    *,
    method: Method = "auto",
    search_all: bool = False,
    settings: Settings | None = None,
    confirm: Callable[[Estimate], bool] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Report:
    """Fetch a subset and make it the collection ``name``; goes on where an earlier call stopped.

    Args:
        name: of the collection, and of the folder of its photos.
        wanted: which photos, and how large.
        mirror: where from; the official server where omitted.
        method: "ranges" needs a server that honours them; "shards" streams whole shards; "auto"
            takes ranges where they work, and whole shards for large parts of a split.
        search_all: look through every shard for photos that are not where they should be.
        settings: how to talk to the server.
        confirm: is asked before lists and before photos are fetched; None: yes.
        progress: called as (done, total, text): bytes of a list, then shards, then photos. From
            several threads, but never by two at a time.
        cancel: stops the download when set; what was saved stays.

    Returns:
        What was done; ``complete`` is False where photos are missing or something was wrong.

    Raises:
        PlaygroundError: parameters, network, disk; nothing that was saved is lost.
    """
    wanted.check()
    _refuse_other(name)
    doing = f"Downloading {name}"
    with artefact.explain_os_errors(doing), artefact.exclusive(root(), "A download"):
        run = _Run(name, wanted, mirror or Mirror(), method, search_all, settings, progress, cancel)
        report = run.all(confirm or (lambda estimate: True))
    if progress:
        progress(0, 0, "importing")
    source = DownloadedSource(run.folder, wanted.split)
    report.imported = importing.import_collection(
        name, source, progress=progress, on_exists="refresh" if store.exists(name) else "refuse"
    )
    return report


def downloaded(name: str) -> Path | None:
    """The folder that the photos of a collection were downloaded to; None where there is none."""
    folder = _subset_folder(name)
    return folder if folder.is_dir() else None


def delete_downloaded(name: str) -> None:
    """Delete the downloaded photos of ``name``; the lists and what is known of shards stay.

    Raises:
        PlaygroundError: a collection still uses them, or a download is running.
    """
    folder = _subset_folder(name)
    users = [one for one in store.list_collections() if _comes_from(one, folder)]
    if users:
        raise PlaygroundError(
            f"The photos in {folder} are those of the collection {', '.join(users)}. Delete it "
            f"first: python -m scripts.collections delete {users[0]} --yes"
        )
    doing = f"Deleting the downloaded photos of {name}"
    with artefact.explain_os_errors(doing), artefact.exclusive(root(), "A download"):
        if folder.is_dir():
            shutil.rmtree(folder)
    forget_question(name)


@dataclasses.dataclass(frozen=True)
class Question:
    """An estimate that waits for an answer, and the command's arguments to go on with."""

    name: str
    estimate: Estimate
    arguments: tuple[str, ...]


def _question_file(name: str) -> Path:
    return root() / "questions" / f"{paths.check_name(name, 'collection')}.json"


def keep_question(question: Question) -> None:
    """Keep an estimate until somebody answers it, in whatever process."""
    text = json.dumps(dataclasses.asdict(question))
    artefact.write_atomically(_question_file(question.name), text)


def kept_question(name: str) -> Question | None:
    """The estimate that waits for an answer, if there is one."""
    try:
        kept = json.loads(_question_file(name).read_text(encoding="utf-8"))
        arguments = tuple(str(one) for one in kept["arguments"])
        return Question(name, Estimate(**kept["estimate"]), arguments)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_question(name: str) -> None:
    """It was answered."""
    _question_file(name).unlink(missing_ok=True)


def find_local(wanted: Wanted) -> Path | None:
    """A Kaggle download of GLR21 on this machine that ``wanted`` can be drawn from."""
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub")
    for slug in _KAGGLE:
        folder = cache / "competitions" / slug
        if (folder / wanted.split).is_dir() and (folder / LABELS[wanted.split]).is_file():
            return folder
    return None


def import_local(
    name: str, wanted: Wanted, folder: Path, progress: Progress | None = None
) -> Report:
    """Import a copy that is on disk already, instead of downloading. Photos stay where they are.

    Raises:
        PlaygroundError: it is not in the layout of the data set, or the choice needs lists that
            only the download has.
    """
    wanted.check()
    if wanted.category or wanted.hierarchy or wanted.clean:
        raise PlaygroundError(
            f"A copy on disk ({folder}) is drawn from without --category, --hierarchy and "
            f"--clean. Leave them out, or download instead with --no-local."
        )
    solution = any((folder / below / SOLUTION).is_file() for below in ("", "ground_truth"))
    source = Glr21Source(
        folder,
        split=wanted.split,
        landmarks=wanted.landmarks,
        min_photos=wanted.min_photos,
        max_photos=wanted.max_photos,
        seed=wanted.seed,
        queries=wanted.with_queries and solution,
    )
    report = Report(source.root(), local=str(folder))
    report.imported = importing.import_collection(name, source, progress=progress)
    report.wanted = report.before = report.imported.added
    return report


def _subset_folder(name: str) -> Path:
    return root() / "subsets" / paths.check_name(name, "collection")


def _refuse_other(name: str) -> None:
    if store.exists(name) and not _comes_from(name, _subset_folder(name)):
        raise PlaygroundError(
            f"There is a collection {name!r} already that does not come from this download. "
            f"Choose another --name."
        )


def _comes_from(name: str, folder: Path) -> bool:
    """Whether photos of a collection lie in the folder of a download."""
    try:
        sources = store.summary(name)["sources"]
    except PlaygroundError:
        return False  # damaged; what it named cannot be told
    return any(source.get("path") == str(folder.resolve()) for source in sources)


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A tar on the server. ``first``: the id of its first photo, empty where not known."""

    number: int
    remote: Remote
    first: str


@dataclasses.dataclass
class _Task:
    """Photos of one split and where they may be."""

    split: str
    ids: set[str]
    shards: dict[int, _Shard]
    ordered: bool
    whole: bool

    def candidates(self, photo: str) -> list[int]:
        """Numbers of the shards that may hold it, the likeliest first."""
        numbers = sorted(self.shards)
        if not self.ordered:
            return numbers
        firsts = [self.shards[number].first for number in numbers]
        place = max(0, bisect.bisect_right(firsts, photo) - 1)
        found = [numbers[place]]
        # Photos of one folder a/b/c may be in any order, and at both sides of a border.
        if place + 1 < len(numbers) and firsts[place + 1][:3] == photo[:3]:
            found.append(numbers[place + 1])
        before = place - 1
        while before >= 0 and firsts[before + 1][:3] == photo[:3]:
            found.append(numbers[before])
            before -= 1
        return found


class _Run:
    """One call of ``download``."""

    def __init__(
        self,
        name: str,
        wanted: Wanted,
        mirror: Mirror,
        method: Method,
        search_all: bool,
        settings: Settings | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        self._name, self._wanted, self._mirror = name, wanted, mirror
        self._method, self._search_all = method, search_all
        self._progress = progress
        self._abort = _Either(cancel)
        self._web = Web(settings, self._abort)
        self._lists = root() / "lists"
        self.folder = _subset_folder(name)
        self._incoming = self.folder / ".incoming"
        self._lock = threading.Lock()
        self._report = Report(self.folder)
        self._done = 0
        self._left = 0
        self._failures = 0  # shards in a row that could not be reached

    def all(self, confirm: Callable[[Estimate], bool]) -> Report:
        started = time.perf_counter()
        chosen = self._chosen_before() or self._choose(confirm)
        shutil.rmtree(self._incoming, ignore_errors=True)
        ids = {
            split: {photo for photo in found if not self._here(split, photo)}
            for split, found in chosen.items()
        }
        self._report.wanted = sum(len(found) for found in chosen.values())
        self._left = sum(len(found) for found in ids.values())
        self._report.before = self._report.wanted - self._left
        if self._left:
            tasks = [self._task(split, found) for split, found in ids.items() if found]
            _ask(confirm, self._estimate(tasks), self.folder)
            self._incoming.mkdir(parents=True, exist_ok=True)
            try:
                for task in tasks:
                    self._fetch(task)
            finally:
                shutil.rmtree(self._incoming, ignore_errors=True)
        report = self._report
        report.missing.sort()
        report.problems.sort(key=lambda problem: (problem.what, problem.reason))
        web = self._web
        report.requests, report.retries, report.bytes = web.requests, web.retries, web.bytes
        report.seconds = time.perf_counter() - started
        return report

    # The choice

    def _identity(self) -> dict[str, Any]:
        wanted = json.loads(json.dumps(dataclasses.asdict(self._wanted)))
        return {"mirror": self._mirror.base_url.rstrip("/"), "wanted": wanted}

    def _chosen_before(self) -> dict[str, list[str]] | None:
        """The photos of an earlier call with the same parameters."""
        try:
            text = (self.folder / "download.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            earlier = {key: json.loads(text)[key] for key in self._identity()}
        except (ValueError, KeyError, TypeError):
            earlier = {}
        if earlier != self._identity():
            raise PlaygroundError(
                f"{self.folder} holds a download with other parameters. Use those again, choose "
                f"another --name, or delete the folder."
            )
        split = self._wanted.split
        labels = csv_rows(self.folder / LABELS[split], ("id", "landmark_id"))
        found: dict[str, list[str]] = {split: sorted({row[0] for row in labels})}
        if (self.folder / SOLUTION).is_file():
            found["test"] = sorted({row[0] for row in csv_rows(self.folder / SOLUTION, ("id",))})
        return found

    def _choose(self, confirm: Callable[[Estimate], bool]) -> dict[str, list[str]]:
        missing = gldv2_lists.missing(self._web, self._mirror, self._wanted, self._lists)
        if missing:
            size = sum(max(0, found) for found in missing.values())
            how = f"The lists of the data set come first: {', '.join(sorted(missing))}."
            _ask(
                confirm,
                Estimate("lists", len(missing), size, len(missing), size, None, how),
                root(),
            )
        notes = gldv2_lists.fetch(
            self._web, self._mirror, self._wanted, self._lists, self._progress
        )
        self._tell(0, 0, "choosing")
        sums = gldv2_lists.sha256_of(self._lists, notes)
        subset = gldv2_lists.choose(self._wanted, self._lists)
        self._write_lists(subset)
        # Last: with it the choice is made.
        content = {**self._identity(), "lists": sums, "listed": subset.listed}
        artefact.write_atomically(self.folder / "download.json", artefact.canonical_json(content))
        return subset.ids()

    def _write_lists(self, subset: Subset) -> None:
        """The CSV files of the subset, as ``data.glr21`` reads them."""
        split = subset.split
        files: dict[str, tuple[tuple[str, ...], Iterator[tuple[str, ...]]]] = {
            LABELS[split]: (
                ("id", "landmark_id"),
                ((i, label) for label, ids in subset.photos.items() for i in ids),
            ),
            f"{split}_label_to_category.csv": (
                ("landmark_id", "category"),
                iter(subset.titles.items()),
            ),
            f"{split}_attribution.csv": (
                ("id", "url", "author", "license", "title"),
                ((i, *credit) for i, credit in subset.credits.items()),
            ),
        }
        if subset.queries:
            files[SOLUTION] = (
                ("id", "images", "Usage"),
                ((i, " ".join(ids), usage) for i, (ids, usage) in subset.queries.items()),
            )
        for name in {SOLUTION, *(path.name for path in self.folder.glob("*.csv"))} - set(files):
            (self.folder / name).unlink(missing_ok=True)  # of a choice that was not finished
        for name, (header, rows) in files.items():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
            artefact.write_atomically(self.folder / name, text.getvalue())

    # The shards

    def _task(self, split: str, ids: set[str]) -> _Task:
        shards = self._shards(split)
        firsts = [shards[number].first for number in sorted(shards)]
        ordered = all(firsts) and all(a < b for a, b in itertools.pairwise(firsts))
        ranges = all(shard.remote.ranges for shard in shards.values())
        if self._method == "ranges" and not ranges:
            raise PlaygroundError(
                f"{self._mirror.base_url} does not honour byte ranges. Use --method shards, or "
                f"auto."
            )
        dense = len(ids) > _DENSE * self._mirror.photos[split]
        whole = self._method == "shards" or not ranges or (self._method == "auto" and dense)
        return _Task(split, ids, shards, ordered, whole)

    def _shards(self, split: str) -> dict[int, _Shard]:
        """Size, ETag and first id of every shard of a split; asked for once."""
        cache = root() / "shards" / split / "heads.json"
        base = self._mirror.base_url.rstrip("/")
        try:
            kept = json.loads(cache.read_text(encoding="utf-8"))
            known = kept["shards"] if kept["mirror"] == base and kept["format"] == 1 else {}
            found = {int(number): _kept_shard(int(number), head) for number, head in known.items()}
        except (OSError, ValueError, KeyError, TypeError):
            found = {}
        numbers = [n for n in range(self._mirror.shards[split]) if n not in found]
        total = self._mirror.shards[split]

        def save() -> None:
            heads = {str(number): _head_to_keep(found[number]) for number in sorted(found)}
            content = {"format": 1, "mirror": base, "shards": heads}
            artefact.write_atomically(cache, json.dumps(content))

        def look(number: int) -> None:
            url = self._mirror.shard_url(split, number)
            try:
                remote = self._web.probe(url, _HEAD)
            except WebError as error:
                if not error.absent:
                    raise
                self._problem(f"{split}/images_{number:03d}.tar", str(error))
                return
            with self._lock:
                found[number] = _Shard(number, remote, _first_photo(remote.head))
                self._tell(len(found), total, f"shards of {split}")
                if len(found) % 25 == 0:
                    save()

        if numbers:
            try:
                self._parallel([functools.partial(look, number) for number in numbers])
            finally:
                save()
        return {number: found[number] for number in sorted(found) if number < total}

    def _forget_shards(self, split: str) -> None:
        (root() / "shards" / split / "heads.json").unlink(missing_ok=True)

    def _estimate(self, tasks: list[_Task]) -> Estimate:
        fetched = requests = disk = touched = 0
        how = []
        for task in tasks:
            sizes = {n: max(0, shard.remote.size) for n, shard in task.shards.items()}
            mean = sum(sizes.values()) / max(1, self._mirror.photos[task.split])
            # A photo shrunk to JPEG quality 90 may take more bytes than the original did.
            disk += int(len(task.ids) * max(mean * 1.5, 16_384))
            if not task.shards:
                how.append(f"No shard of {task.split} is on this server.")
            elif task.whole:
                numbers = {n for photo in task.ids for n in task.candidates(photo)[:1]}
                numbers = numbers if task.ordered else set(task.shards)
                fetched += sum(sizes[n] for n in numbers)
                requests += 2 * len(numbers)
                touched += len(numbers)
                how.append(f"{len(numbers)} whole shards of {task.split}, MD5 checked.")
            elif task.ordered:
                requests += len(task.ids) * (_PER_SEARCH + 1)
                fetched += int(len(task.ids) * (mean + _PER_SEARCH * (1 << 17)))
                touched += len({task.candidates(photo)[0] for photo in task.ids})
                how.append(
                    f"{len(task.ids):,} photos of {task.split} by byte range, supposing that ids "
                    f"ascend within its shards (else it takes longer)."
                )
            else:
                requests += self._mirror.photos[task.split] + len(task.ids)
                fetched += int(len(task.ids) * mean + self._mirror.photos[task.split] * 1024)
                touched += len(task.shards)
                how.append(
                    f"{len(task.ids):,} photos of {task.split} by byte range, looking through the "
                    f"headers of all {len(task.shards)} shards, which are in no order."
                )
        seconds = self._seconds(tasks, requests, fetched)
        words = " ".join(how)
        return Estimate("photos", self._left, fetched, requests, disk, seconds, words, touched)

    def _seconds(self, tasks: list[_Task], requests: int, fetched: int) -> float | None:
        """By the pace of one megabyte and the time a small request takes."""
        ranged = [s.remote for t in tasks for s in t.shards.values() if s.remote.ranges]
        if not ranged:
            return None
        remote, parallel = ranged[0], self._web.settings.parallel
        length = min(1 << 20, remote.size)
        times = []
        try:
            for size in (BLOCK, length):
                started = time.perf_counter()
                self._web.read(remote, 0, min(size, remote.size))
                times.append(time.perf_counter() - started)
        except (WebError, ChangedError):
            return None  # the photos will say what is wrong
        pace = length / max(1e-3, times[1] - times[0])
        return requests * times[0] / parallel + fetched / pace

    # The photos

    def _fetch(self, task: _Task) -> None:
        """All photos of a task, shard by shard; what is nowhere becomes ``missing``."""
        tried: dict[str, int] = {}
        failed: set[str] = set()
        left = set(task.ids)
        while left:
            by_shard: dict[int, set[str]] = {}
            for photo in left:
                places = task.candidates(photo) if task.ordered else sorted(task.shards)
                if tried.get(photo, 0) < len(places):
                    number = places[tried.get(photo, 0)]
                    by_shard.setdefault(number, set()).add(photo)
            if not by_shard:
                break
            if not task.ordered:
                # Nobody knows where: every shard is asked for everything that is left.
                by_shard = dict.fromkeys(task.shards, left)
            got: set[str] = set()  # grows as the shards go, so that a broken one costs its rest

            def one(number: int, ids: set[str], got: set[str] = got) -> None:
                fetch = self._whole if task.whole else self._ranged
                try:
                    fetch(task, task.shards[number], ids, got)
                except (WebError, ChangedError, BrokenShardError) as error:
                    self._shard_failed(task, number, error)
                    with self._lock:
                        failed.update(ids if task.ordered else ())
                else:
                    self._failures = 0

            jobs = [functools.partial(one, number, ids) for number, ids in sorted(by_shard.items())]
            self._parallel(jobs)
            left -= got
            if not task.ordered:
                break
            for photo in left:
                tried[photo] = tried.get(photo, 0) + 1
        # A few shards may ascend by chance; looking through all of them is not much, either.
        if left - failed and task.ordered and (self._search_all or len(task.shards) < _FEW):
            everywhere = dataclasses.replace(task, ids=left, ordered=False)
            self._fetch(everywhere)
            return
        self._left_out(task.split, left)
        lost = left - failed
        if lost:
            more = " Look through every shard with --search-all." if task.ordered else ""
            where = "where the order of the shards puts them" if task.ordered else "in any shard"
            some = ", ".join(sorted(lost)[:5]) + (" and others" if len(lost) > 5 else "")
            self._problem(
                f"{len(lost):,} photos of {task.split}",
                f"are listed, but not {where}: {some}.{more}",
            )

    def _shard_failed(self, task: _Task, number: int, error: Exception) -> None:
        if isinstance(error, ChangedError):
            self._forget_shards(task.split)
        self._problem(f"{task.split}/images_{number:03d}.tar", str(error))
        with self._lock:
            self._failures += 1
            unreachable = isinstance(error, WebError) and not error.absent
            if unreachable and self._failures > 2 * self._web.settings.parallel:
                # The network is gone: hundreds of shards would each wait for all attempts.
                raise error

    def _ranged(self, task: _Task, shard: _Shard, ids: set[str], got: set[str]) -> None:
        """Photos of one shard by byte range; ``got`` is what all shards have found so far."""
        numbers = sorted(task.shards)
        place = numbers.index(shard.number)
        ordered = task.ordered and place + 1 < len(numbers)
        until = task.shards[numbers[place + 1]].first if ordered else ""
        cache = root() / "shards" / task.split / f"images_{shard.number:03d}.txt"
        tar = RangedShard(
            self._web, shard.remote, cache, shard.first if task.ordered else "", until
        )

        def take(member: Member) -> None:
            self._take(task, tar, member)
            got.add(str(member.photo))  # atomic; another shard that looks too late goes one on

        if task.ordered:
            try:
                for photo in sorted(ids):
                    member = tar.search(photo)
                    if member is not None:
                        take(member)
                return
            except UnorderedError:
                pass  # supposed wrongly: from header to header, then
        tar.chain(lambda: ids - got, take)

    def _take(self, task: _Task, tar: RangedShard, member: Member) -> None:
        photo = str(member.photo)
        for attempt in range(2):
            try:
                self._keep(task.split, photo, tar.content(member), self._place(task.split, photo))
                break
            except (BadPhoto, BrokenShardError) as error:
                # Once more: the bytes may have been damaged on their way.
                if attempt and isinstance(error, BrokenShardError):
                    raise
                if attempt:
                    self._left_out(task.split, [photo])
                    self._problem(f"{task.split}/{photo}.jpg", str(error))
                    return
        with self._lock:
            self._report.by_range += 1
            self._count(photo)

    def _whole(self, task: _Task, shard: _Shard, ids: set[str], got: set[str]) -> None:
        """Stream one shard, its photos aside until its MD5 is right."""
        name = f"{task.split}/images_{shard.number:03d}.tar"
        ids = ids - got
        if not ids:
            return
        expected = self._md5(task.split, shard.number)
        for _attempt in range(2):
            aside = self._incoming / f"{task.split}-{shard.number:03d}"
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            bad: list[Problem] = []
            found, md5 = self._stream(task, shard, ids, aside, bad)
            if expected in ("", md5):
                break
        else:
            shutil.rmtree(aside, ignore_errors=True)
            got |= found
            self._left_out(task.split, found)
            self._problem(
                name,
                f"has the MD5 {md5}, {self._mirror.md5_url(task.split, shard.number)} says "
                f"{expected}, twice in a row. Its {len(found):,} photos were left out. Run the "
                f"same command again later, or tell the keeper of the mirror.",
            )
            return
        for problem in bad:
            self._problem(problem.what, problem.reason)
        for photo in sorted(found):
            kept = aside / f"{photo}.jpg"
            if not kept.exists():
                self._left_out(task.split, [photo])
                continue
            place = self._place(task.split, photo)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(kept, place)
            with self._lock:
                self._report.by_shard += 1
                self._count(photo)
        got |= found
        shutil.rmtree(aside, ignore_errors=True)
        with self._lock:
            self._report.shards_checked += bool(expected)

    def _md5(self, split: str, number: int) -> str:
        """What the shard's MD5 should be; empty, and a problem, where the server has none."""
        url = self._mirror.md5_url(split, number)
        try:
            words = self._web.get(url, limit=4096).decode("ascii", "replace").split()
        except WebError as error:
            if not error.absent:
                raise
            words = []
        if words and re.fullmatch(r"[0-9a-fA-F]{32}", words[0]):
            return words[0].lower()
        self._problem(
            f"{split}/images_{number:03d}.tar",
            f"could not be checked: {url} is missing or holds no MD5. Its photos were kept.",
        )
        return ""

    def _stream(
        self, task: _Task, shard: _Shard, ids: set[str], aside: Path, bad: list[Problem]
    ) -> tuple[set[str], str]:
        """Read a whole shard once; begun again when it breaks off on a server without ranges."""
        attempts = self._web.settings.attempts
        for attempt in range(attempts):
            reader = _Reader(self._web.stream(shard.remote))
            found: set[str] = set()
            bad.clear()
            try:
                try:
                    with tarfile.open(fileobj=cast(Any, reader), mode="r|") as tar:
                        for info in tar:
                            photo = Path(info.name).stem
                            fits = info.isreg() and info.name.lower().endswith((".jpg", ".jpeg"))
                            if not fits or photo not in ids or not 0 <= info.size <= MAX_PHOTO:
                                continue
                            content = tar.extractfile(info)
                            raw = content.read() if content is not None else b""
                            found.add(photo)
                            try:
                                self._keep(task.split, photo, raw, aside / f"{photo}.jpg")
                            except BadPhoto as error:
                                bad.append(Problem(f"{task.split}/{photo}.jpg", str(error)))
                except tarfile.TarError as error:
                    bad.append(
                        Problem(
                            f"{task.split}/images_{shard.number:03d}.tar", f"is broken: {error}."
                        )
                    )
                # To the last byte: the MD5 is of all of them.
                return found, reader.finish()
            except RestartError as error:
                if attempt + 1 == attempts:
                    raise WebError(
                        f"{shard.remote.url} broke off {attempts} times ({error}), and this "
                        f"server cannot continue a file. Run the same command again."
                    ) from error
                self._web.cancel.wait(self._web.settings.backoff * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _keep(self, split: str, photo: str, content: bytes, place: Path) -> None:
        """Check a photo, shrink it if it is too large, and rename it to its place.

        Raises:
            BadPhoto: it does not decode.
        """
        try:
            kept = fit(content, self._wanted.longer_side)
        except BadPhoto as error:
            raise BadPhoto(f"{split}/{photo}.jpg cannot be used: {error}") from error
        temporary = self._incoming / f"{split}-{photo}-{threading.get_ident()}"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(kept)
            os.replace(temporary, place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _place(self, split: str, photo: str) -> Path:
        if not PHOTO_ID.fullmatch(photo):
            raise PlaygroundError(f"{photo!r} is no id of a photo.")
        return self.folder / photo_file(split, photo)

    def _here(self, split: str, photo: str) -> bool:
        path = self._place(split, photo)
        try:
            photos.read_header(path)
        except BadPhoto:
            return False
        return True

    # Threads, progress, problems

    def _parallel(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run the jobs, a few at a time; the first error that escapes one stops the others."""
        failure: BaseException | None = None
        with concurrent.futures.ThreadPoolExecutor(self._web.settings.parallel) as pool:
            waiting = [pool.submit(job) for job in jobs]
            try:
                for future in concurrent.futures.as_completed(waiting):
                    error = future.exception() if not future.cancelled() else None
                    # Stopped by us after another error: that one is the cause.
                    if error is not None and (failure is None or isinstance(failure, Stopped)):
                        failure = error
                        self._abort.set()
                        for other in waiting:
                            other.cancel()
            except BaseException:
                # Ctrl-C: the threads notice at their next chunk.
                self._abort.set()
                for other in waiting:
                    other.cancel()
                raise
        if failure is not None:
            raise failure

    def _problem(self, what: str, reason: str) -> None:
        with self._lock:
            self._report.problems.append(Problem(what, reason))

    def _left_out(self, split: str, ids: Iterable[str]) -> None:
        with self._lock:
            self._report.missing += [f"{split}/{photo}" for photo in ids]

    def _count(self, photo: str) -> None:
        self._done += 1
        self._tell(self._done, self._left, photo)

    def _tell(self, done: int, total: int, text: str) -> None:
        if self._progress:
            self._progress(done, total, text)


class _Either:
    """Set when the caller's cancel is, or our own."""

    def __init__(self, other: Cancel | None) -> None:
        self._own, self._other = threading.Event(), other

    def set(self) -> None:
        self._own.set()

    def is_set(self) -> bool:
        return self._own.is_set() or (self._other is not None and self._other.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        if self._other is None:
            return self._own.wait(timeout)
        end = time.monotonic() + (timeout or 0.0)
        while not self.is_set() and time.monotonic() < end:
            self._other.wait(min(0.2, max(0.0, end - time.monotonic())))
        return self.is_set()


class _Reader:
    """A stream of chunks as the file that ``tarfile`` reads; computes the MD5 on the way."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()
        # Not for security: the data set publishes MD5 sums against damage.
        self._md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._md5.update(chunk)
            self._buffer += chunk
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def finish(self) -> str:
        for chunk in self._chunks:
            self._md5.update(chunk)
        return self._md5.hexdigest()


def fit(content: bytes, longer_side: int | None) -> bytes:
    """A photo's file as it is kept: the original where it is small enough, else a new JPEG.

    Args:
        content: the bytes of a photo, untrusted.
        longer_side: px; None keeps every original.

    Raises:
        BadPhoto: it does not decode to the end.
    """
    if len(content) > importing.MAX_FILE_BYTES:
        raise BadPhoto(f"it has {len(content):,} bytes, the limit is {importing.MAX_FILE_BYTES:,}.")
    header = photos.read_header(content)
    small = longer_side is None or max(header.width, header.height) <= longer_side
    if small and header.format in ("JPEG", "MPO"):
        photos.decode(content)
        return content
    return photos.encode_jpeg(photos.decode(content, longer_side=longer_side), quality=_QUALITY)


def _ask(confirm: Callable[[Estimate], bool], estimate: Estimate, folder: Path) -> None:
    """Disk first, then the question."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < estimate.disk + SPARE:
        raise PlaygroundError(
            f"The disk of {folder} has {free / 1e9:,.2f} GB free; the {estimate.step} need about "
            f"{estimate.disk / 1e9:,.2f} GB, and {SPARE / 1e9:,.2f} GB must stay free. Free some "
            f"space, set PLAYGROUND_HOME to another disk, or choose fewer or smaller photos "
            f"(--landmarks, --max-photos, --longer-side)."
        )
    if not confirm(dataclasses.replace(estimate, free=free)):
        raise Stopped(f"Nothing of the {estimate.step} was downloaded, as you chose.")


def _first_photo(head: bytes) -> str:
    """The id of the first photo whose header lies in the first bytes of a shard."""
    at = 0
    with contextlib.suppress(BrokenShardError):
        while at + BLOCK <= len(head):
            member = parse(head[at : at + BLOCK], at)
            if member is None:
                break
            if member.photo is not None:
                return member.photo
            at = member.end
    return ""


def _head_to_keep(shard: _Shard) -> list[Any]:
    remote = shard.remote
    return [remote.url, remote.size, remote.etag, remote.ranges, shard.first]


def _kept_shard(number: int, head: list[Any]) -> _Shard:
    url, size, etag, ranges, first = head
    return _Shard(number, Remote(str(url), int(size), str(etag), bool(ranges)), str(first))
