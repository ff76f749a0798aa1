"""Indexes in Milvus, through its own client.

With ``PLAYGROUND_MILVUS=http://host:19530`` a server or cluster holds the vectors, and the artefact
is a handle to what it holds. Without it milvus-lite does, whose database one process at a time may
open: the artefact is that database, packed, and each process that searches unpacks a copy of its
own. A collection is named after the digest of what it was made from, so that a build that was
killed is found again and goes on; on a server an alias names what an artefact holds now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import logging
import os
import re
import shutil
import tarfile
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import filelock
import numpy as np
import psutil

from data.errors import Invalid, PlaygroundError
from data.paths import artifacts_root
from indexing.base import (
    BuiltIndex,
    Floats,
    IndexCard,
    IndexType,
    Ints,
    Plan,
    SearchHits,
    SearchParameter,
    Unreachable,
    Value,
    check_overrides,
    check_size,
    check_vectors,
)
from indexing.ivf import default_lists, default_probes, few_per_list

try:
    from pymilvus import DataType, MilvusClient
    from pymilvus.exceptions import MilvusException
except ModuleNotFoundError as missing:
    raise PlaygroundError(
        f"The Milvus indexes need the Python package {missing.name}, which is not installed. "
        f"Choose another index, or install it:",
        command="python -m pip install -r requirements-milvus.txt",
    ) from missing

# The client writes a traceback for each error, which comes back as a sentence of ours.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

MOST = 16_384  # neighbours: Milvus's own limit
BATCH = 1_000  # rows sent at a time; a killed build loses at most so many
_QUERIES = 64  # sent at a time
_SECONDS = 60.0  # until an answer; building an index has no limit
_MOST_DIMS = 32_768
_PROBES = 8  # rows that are compared with what was sent
_HANDLE = "handle.json"
_numbers = itertools.count()


def server() -> str | None:
    """The address of the server that new indexes go to; None: milvus-lite."""
    return os.environ.get("PLAYGROUND_MILVUS") or None


@dataclasses.dataclass(frozen=True)
class Handle:
    """What an artefact says about the collection that holds its vectors.

    Attributes:
        server: its address, without what may be secret in it; empty: milvus-lite.
        rows: digest of some rows, compared whenever the index is opened.
        content: digest of all ids and vectors, compared by a build and by ``--check``.
        alias: that names the collection on the server; empty: it is nobody's, and is dropped.
        previous: the collection that the alias named before, to be dropped.
    """

    collection: str
    n: int
    d: int
    rows: str
    content: str = ""
    server: str = ""
    alias: str = ""
    previous: str = ""


class _Store:
    """An open Milvus. ``close`` is called when nobody refers to it any more.

    Args:
        uri: a server, or None.
        folder: of milvus-lite's database.
        keep: the folder stays when it is closed.
    """

    def __init__(self, uri: str | None, folder: Path | None = None, keep: bool = False) -> None:
        self.shown = _shown(uri) if uri else "milvus-lite"
        self._told = f"The Milvus server at {self.shown}" if uri else "milvus-lite"
        where = uri or str(_database(folder))
        token = os.environ.get("PLAYGROUND_MILVUS_TOKEN", "") if uri else ""
        with self.told():
            # Of its own: a shared connection to a server that was lost stays lost for a while.
            self.client = MilvusClient(uri=where, token=token, timeout=_SECONDS, dedicated=True)
        self.close = weakref.finalize(self, _close, self.client, folder, keep)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Every error of the client as a sentence."""
        try:
            yield
        except MilvusException as error:
            words = str(error.message).partition("\n")[0][:300]
            if not _lost(error):
                raise PlaygroundError(f"{self._told} refuses: {words}.") from error
            raise Unreachable(
                f"{self._told} does not answer ({words}). Start it, or set PLAYGROUND_MILVUS to "
                f"where it is now. What it holds is kept; the index flat needs no server."
            ) from error
        except (OSError, ValueError) as error:
            raise PlaygroundError(f"{self._told} cannot be used: {error}.") from error

    def has(self, name: str) -> bool:
        with self.told():
            return bool(self.client.has_collection(name, timeout=_SECONDS))

    def count(self, name: str, rule: str = "") -> int:
        with self.told():
            found = self.client.query(
                name, filter=rule, output_fields=["count(*)"], consistency_level="Strong"
            )
            return int(found[0]["count(*)"])

    def dim(self, name: str) -> int:
        with self.told():
            fields = self.client.describe_collection(name)["fields"]
        return next(int(f["params"]["dim"]) for f in fields if f["name"] == "vector")

    def rows(self, name: str, ids: Ints) -> str:
        """Digest of some rows as they are held; different from any where one is missing."""
        with self.told():
            found = self.client.get(name, ids=ids.tolist(), output_fields=["vector"])
        held = {int(one["id"]): np.asarray(one["vector"], np.float32) for one in found}
        return _rows_digest([held[i] for i in ids.tolist() if i in held])

    def content(self, name: str) -> str:
        """Digest of everything, read back by ascending id."""
        with self.told():
            batches = self.client.query_iterator(
                name,
                batch_size=BATCH,
                output_fields=["id", "vector"],
                consistency_level="Strong",
            )
            try:
                return _content_digest(
                    (np.array([one["id"] for one in batch]), [one["vector"] for one in batch])
                    for batch in iter(batches.next, [])
                )
            finally:
                batches.close()

    def named_by(self, alias: str) -> str | None:
        """The collection that an alias names; None: there is no such alias."""
        with self.told():
            try:
                return str(self.client.describe_alias(alias)["collection_name"])
            except MilvusException as error:
                if _lost(error):
                    raise
                return None

    def drop(self, name: str) -> None:
        """Drop a collection that no alias names any more."""
        with self.told():
            if self.has(name) and not self.client.list_aliases(name)["aliases"]:
                self.client.drop_collection(name)


def _lost(error: MilvusException) -> bool:
    """Whether it is the way to the server that failed."""
    words = r"(?i)unavailable|connect|deadline|timeout|retry run out"
    return error.code == 2 or re.search(words, str(error.message)) is not None


def _close(client: Any, folder: Path | None, keep: bool) -> None:
    with contextlib.suppress(Exception):
        client.close()
    if folder is not None:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(str(_database(folder)))
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _database(folder: Path | None) -> Path:
    assert folder is not None
    return folder / "milvus.db"


def _shown(uri: str) -> str:
    """An address without the password that may be in it."""
    parts = urlsplit(uri)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _rows_digest(rows: list[Floats]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, np.float32).tobytes()).hexdigest()


def _content_digest(batches: Iterable[tuple[Ints, Any]]) -> str:
    """Of (m,) ids and (m, D) vectors, however they are divided."""
    ids, numbers = hashlib.sha256(), hashlib.sha256()
    for some, vectors in batches:
        ids.update(some.astype("<i8").tobytes())
        numbers.update(np.ascontiguousarray(vectors, "<f4").tobytes())
    return hashlib.sha256(ids.digest() + numbers.digest()).hexdigest()


def _probes(n: int) -> Ints:
    return np.unique(np.linspace(0, n - 1, min(n, _PROBES)).astype(np.int64))


def _room() -> Path:
    """Where databases are unpacked and built; what dead processes left is removed."""
    root = artifacts_root() / "milvus"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob("open-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return root


class MilvusIndex(BuiltIndex):
    """A collection of Milvus behind the contract.

    Args:
        packed: milvus-lite's database as the artefact's file; None: on a server.
    """

    distance = "l2"

    def __init__(
        self,
        kind: MilvusType,
        plan: Plan,
        store: _Store,
        handle: Handle,
        packed: Path | None,
    ) -> None:
        self.name, self.plan, self.handle = kind.name, plan, handle
        self.n, self.d, self.code_size = handle.n, handle.d, 4 * handle.d
        self.search_parameters = kind.parameters(plan)
        self._kind, self._store, self._packed = kind, store, packed
        self._uri = server() if packed is None else None
        # What no artefact names is not left on a server.
        self._dropped = weakref.finalize(self, _drop_quietly, store, handle.collection)
        if packed is not None or handle.alias:
            self._dropped.detach()

    def search(
        self, queries: Floats, k: int, params: Mapping[str, int] | None = None
    ) -> SearchHits:
        queries = self.check_queries(queries, k)
        values, k = self.choose(params), min(k, self.n)
        if k > MOST:
            raise Invalid(f"Milvus finds at most {MOST:,} neighbours, and {k:,} are wanted.")
        if "ef" in values:  # HNSW looks at no fewer than it returns
            values["ef"] = max(values["ef"], k)
        distances = np.full((len(queries), k), np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        for start in range(0, len(queries), _QUERIES):
            part = queries[start : start + _QUERIES]
            for row, hits in enumerate(self._ask(part, k, values), start):
                distances[row, : len(hits.ids)] = hits.distances
                ids[row, : len(hits.ids)] = hits.ids
        if len(ids) and int(ids.max()) >= self.n:
            raise PlaygroundError(
                f"Milvus names a vector that is not in the {self.name} index: somebody changed "
                f"its collection {self.handle.collection}. Build the index again."
            )
        return SearchHits.from_padded(distances, ids)

    def _ask(self, queries: Floats, k: int, values: dict[str, int]) -> Any:
        asked = {
            "collection_name": self.handle.collection,
            "data": list(queries),
            "limit": k,
            "output_fields": ["id"],
            "search_params": {"metric_type": "L2", "params": values},
            "timeout": _SECONDS,
        }
        try:
            return self._store.client.search(**asked)
        except MilvusException as error:
            lost = _lost(error) and self._uri is not None
            if not lost and "load" not in str(error.message):
                with self._store.told():
                    raise
        # The server was started again: there is no way to it, or nothing is loaded there.
        if lost:
            self._store = _Store(self._uri)
        with self._store.told():
            self._store.client.load_collection(self.handle.collection, timeout=_SECONDS)
            return self._store.client.search(**asked)

    def save(self, path: Path) -> None:
        if self._packed is not None:
            shutil.copyfile(self._packed, path)
            return
        if path.parent.parent.name == "indexes":  # an artefact's place
            self.handle = self._named(path.parent)
        _pack(path, self.handle, None)
        self._dropped.detach()  # from now on it belongs to the file

    def _named(self, folder: Path) -> Handle:
        """The handle with the alias of an artefact, which names this collection from now on."""
        alias, client = alias_of(folder), self._store.client
        before = self._store.named_by(alias)
        with self._store.told():
            if before is None:
                client.create_alias(self.handle.collection, alias)
            elif before != self.handle.collection:
                client.alter_alias(self.handle.collection, alias)
        previous = "" if before == self.handle.collection else before or ""
        return dataclasses.replace(self.handle, alias=alias, previous=previous)

    @property
    def size_bytes(self) -> int:
        """Of what Milvus holds: on a server the estimate, as the handle is small."""
        if self._packed is not None:
            return self._packed.stat().st_size
        return self._kind.estimate_bytes(self.plan, self.n, self.d)


def alias_of(folder: Path) -> str:
    """The alias of the index in an artefact's folder: the same at each build, nobody else's."""
    parts = (folder.parent.parent.parent.name, folder.parent.parent.name, folder.name)
    safe = re.sub(r"[^A-Za-z0-9_]", "_", "_".join(parts))[:160]
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return f"playground_{safe}_{mark}"


class MilvusType(IndexType):
    """The steps that all kinds share; a kind says its parameters."""

    file = "index.milvus"
    index_type: ClassVar[str]

    def parameters(self, plan: Plan) -> dict[str, SearchParameter]:
        return {}

    def _extra_bytes(self, plan: Plan, n: int, d: int) -> int:
        """Of an index beside the vectors, measured with milvus-lite."""
        return 0

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        # milvus-lite keeps the rows as Parquet, whose dictionary holds the first 2^18 numbers of
        # a file with an index into it for each, and the index, with the vectors once more.
        listed = min(n * d, 1 << 18)
        rows = 4 * n * d + listed * max(1, listed.bit_length()) // 8 + 16 * n + 10_240
        return rows + 4 * n * d + self._extra_bytes(plan, n, d)

    def build(self, vectors: Floats, plan: Plan) -> BuiltIndex:
        vectors = check_vectors(vectors, self.name)
        n, d = vectors.shape
        if d > _MOST_DIMS:
            raise Invalid(
                f"Milvus takes vectors of up to {_MOST_DIMS:,} numbers, these have {d:,}."
            )
        name = self._collection(vectors, plan)
        rows = _rows_digest([vectors[i] for i in _probes(n)])
        starts = range(0, n, BATCH)
        content = _content_digest(
            (np.arange(s, min(n, s + BATCH)), vectors[s : s + BATCH]) for s in starts
        )
        handle = Handle(name, n, d, rows, content)
        uri = server()
        if uri is not None:
            handle = dataclasses.replace(handle, server=_shown(uri))
            store = _Store(uri)
            seconds = self._fill(store, handle, vectors, plan)
            built = MilvusIndex(self, plan, store, handle, None)
        else:
            with self._workshop(name) as folder:
                store = _Store(None, folder, keep=True)
                seconds = self._fill(store, handle, vectors, plan)
                store.close()
                opened = _room() / f"open-{os.getpid()}-{next(_numbers)}"
                opened.mkdir()
                _pack(opened / self.file, handle, folder)
            built = self._opened(plan, handle, opened, opened / self.file)
        built.seconds = seconds
        return built

    def _collection(self, vectors: Floats, plan: Plan) -> str:
        made = hashlib.sha256(json.dumps([self.name, plan.build, vectors.shape]).encode())
        for start in range(0, len(vectors), 65_536):
            made.update(np.ascontiguousarray(vectors[start : start + 65_536]).tobytes())
        return f"playground_{made.hexdigest()[:32]}"

    @contextlib.contextmanager
    def _workshop(self, name: str) -> Iterator[Path]:
        """Where milvus-lite builds a collection; a build that was killed is found there."""
        folder = _room() / f"build-{name}"
        folder.mkdir(exist_ok=True)
        lock = filelock.FileLock(str(folder) + ".lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise PlaygroundError(
                f"Another process builds the same {self.name} index. Wait for it to end."
            ) from None
        try:
            yield folder
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()

    def _fill(
        self, store: _Store, handle: Handle, vectors: Floats, plan: Plan
    ) -> tuple[float, float]:
        """Send what is not there yet, index it, and read all of it back.

        Returns:
            Seconds of indexing and of sending.
        """
        client, name, n = store.client, handle.collection, handle.n
        start = time.perf_counter()
        with store.told():
            if not store.has(name):
                schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field("id", DataType.INT64, is_primary=True)
                schema.add_field("vector", DataType.FLOAT_VECTOR, dim=handle.d)
                client.create_collection(name, schema=schema, consistency_level="Strong")
            self._send(store, name, vectors, self._sent(store, name))
            sent = time.perf_counter()
            if "vector" not in client.list_indexes(name):
                wanted = client.prepare_index_params()
                wanted.add_index(
                    field_name="vector",
                    index_name="vector",
                    index_type=self.index_type,
                    metric_type="L2",
                    # Servers read them from either place, milvus-lite from the inner one alone.
                    params={**plan.build, "params": dict(plan.build)},
                )
                client.create_index(name, wanted)
            client.load_collection(name)
            indexed = time.perf_counter()
            if store.content(name) != handle.content:  # somebody changed what was there before
                client.delete(name, filter=f"id < 0 or id >= {n}")
                self._send(store, name, vectors, 0)
                if store.content(name) != handle.content:
                    raise PlaygroundError(
                        f"{store.shown} holds other vectors than were sent, {store.count(name):,} "
                        f"instead of {n:,}. Build the index again."
                    )
        return indexed - sent, sent - start

    def _send(self, store: _Store, name: str, vectors: Floats, start: int) -> None:
        for first in range(start, len(vectors), BATCH):
            part = vectors[first : first + BATCH]
            rows = [{"id": first + i, "vector": vector} for i, vector in enumerate(part)]
            store.client.upsert(name, rows)
        store.client.flush(name)

    def _sent(self, store: _Store, name: str) -> int:
        """The row to go on from: whole batches that are there, the last one sent again."""
        there = int(store.client.get_collection_stats(name).get("row_count", 0))
        return max(0, there // BATCH - 1) * BATCH

    def load(self, path: Path, manifest: Mapping[str, Any]) -> BuiltIndex:
        try:
            plan = Plan(dict(manifest["build"]), {k: int(v) for k, v in manifest["search"].items()})
            wanted = int(manifest["n"]), int(manifest["d"])
            handle = _handle(path)
        except (KeyError, TypeError, ValueError, OSError, tarfile.TarError) as error:
            raise PlaygroundError(
                f"{path} is no {self.name} index ({error}). Build the index again."
            ) from error
        if (handle.n, handle.d) != wanted:
            raise PlaygroundError(
                f"{path} is of {handle.n} vectors of {handle.d} numbers, its manifest says "
                f"{wanted[0]} of {wanted[1]}. Build the index again."
            )
        if handle.server:
            return self._on_server(plan, handle)
        opened = _room() / f"open-{os.getpid()}-{next(_numbers)}"
        opened.mkdir()
        return self._opened(plan, handle, opened, path)

    def check(self, path: Path) -> None:
        handle = _handle(path)
        if not handle.server:  # the file is the database
            return
        store = self._server(handle)
        self._check(store, handle)
        if store.content(handle.collection) != handle.content:
            raise PlaygroundError(
                f"Milvus holds other vectors than were built ({store.shown}, collection "
                f"{handle.collection}). Build the index again."
            )

    def _server(self, handle: Handle) -> _Store:
        uri = server()
        if uri is None:
            raise Unreachable(
                f"This index lies on the Milvus server at {handle.server}. Set PLAYGROUND_MILVUS "
                f"to its address, and start again."
            )
        return _Store(uri)

    def _on_server(self, plan: Plan, handle: Handle) -> MilvusIndex:
        store = self._server(handle)
        self._check(store, handle)
        if handle.previous:
            _drop_quietly(store, handle.previous)
        return MilvusIndex(self, plan, store, handle, None)

    def _opened(self, plan: Plan, handle: Handle, folder: Path, packed: Path) -> MilvusIndex:
        """A packed database, unpacked for this process alone."""
        try:
            _unpack(packed, folder)
            store = _Store(None, folder)
            with store.told():
                store.client.load_collection(handle.collection)
            self._check(store, handle)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError | tarfile.TarError):
                raise PlaygroundError(
                    f"{packed} cannot be opened ({error}). Build the index again."
                ) from error
            raise
        return MilvusIndex(self, plan, store, handle, packed)

    def _check(self, store: _Store, handle: Handle) -> None:
        """Refuse what is not what the artefact was made from."""
        name, n = handle.collection, handle.n
        where = f"{store.shown}, collection {name}"
        if not store.has(name):
            raise PlaygroundError(
                f"Milvus does not hold this index any more ({where}): it was dropped, or this is "
                f"another server. Build the index again."
            )
        if handle.server:
            with store.told():
                store.client.load_collection(name, timeout=_SECONDS)
        count, inside = store.count(name), store.count(name, f"id >= 0 and id < {n}")
        found = (count, inside, store.dim(name))
        if found != (n, n, handle.d) or store.rows(name, _probes(n)) != handle.rows:
            raise PlaygroundError(
                f"Milvus holds other vectors than were built ({where}): {count:,} of "
                f"{found[2]:,} numbers, {inside:,} of them with the ids 0 to {n - 1:,}; there "
                f"were {n:,} of {handle.d:,}. Build the index again."
            )

    def drop(self, path: Path) -> None:
        handle = _handle(path)
        uri = server()
        if handle.server and uri is not None:
            store = _Store(uri)
            if handle.alias and store.named_by(handle.alias) == handle.collection:
                with store.told():
                    store.client.drop_alias(handle.alias)
            for name in filter(None, (handle.collection, handle.previous)):
                store.drop(name)


def _drop_quietly(store: _Store, name: str) -> None:
    with contextlib.suppress(PlaygroundError, MilvusException):
        store.drop(name)


def _pack(path: Path, handle: Handle, folder: Path | None) -> None:
    """A handle, and milvus-lite's database with it, as one file."""

    def plain(one: tarfile.TarInfo) -> tarfile.TarInfo:
        one.mtime, one.uid, one.gid, one.uname, one.gname = 0, 0, 0, "", ""
        return one

    with tarfile.open(path, "w") as tar:
        about = json.dumps(dataclasses.asdict(handle), sort_keys=True).encode()
        entry = tarfile.TarInfo(_HANDLE)
        entry.size = len(about)
        tar.addfile(entry, io.BytesIO(about))
        if folder is not None:
            for file in sorted(one for one in _database(folder).rglob("*") if one.is_file()):
                if file.name != "LOCK":
                    tar.add(file, str(file.relative_to(folder)), filter=plain)


def _handle(path: Path) -> Handle:
    with tarfile.open(path, "r:") as tar:
        held = tar.extractfile(_HANDLE)
        if held is None:
            raise ValueError("it has no handle")
        return Handle(**json.loads(held.read(1 << 16)))


def _unpack(path: Path, folder: Path) -> None:
    with tarfile.open(path, "r:") as tar:
        tar.extractall(folder, filter="data")


class MilvusFlat(MilvusType):
    """FLAT."""

    name = "milvus-flat"
    index_type = "FLAT"
    card = IndexCard(
        title="Flat in Milvus",
        idea=(
            "Exact search by Milvus, a vector database: the vectors lie in a server or a cluster "
            "of machines, and every query goes there. What it finds is what Flat finds."
        ),
        formula=r"d^2(q, x) = \sum_{j=1}^{d} (q_j - x_j)^2",
        parameters={},
        paper="J. Wang et al., Milvus: A Purpose-Built Vector Data Management System, SIGMOD 2021",
        url="https://doi.org/10.1145/3448016.3457550",
        cost=(
            "About 8 d bytes per photo in Milvus. Times are taken through its client: each search "
            "is sent to another program and back, some milliseconds more than in this process."
        ),
        when_to_use="When the vectors must live outside this process, on one machine or several.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        check_overrides(self.name, overrides, {})
        return Plan({}, {})


class MilvusIvf(MilvusType):
    """IVF_FLAT."""

    name = "milvus-ivf"
    index_type = "IVF_FLAT"
    search_names = ("nprobe",)
    card = IndexCard(
        title="IVF in Milvus",
        idea=(
            "The inverted file of IVF, held by Milvus: k-means divides the space into nlist cells, "
            "and a query visits the nprobe nearest ones."
        ),
        formula=r"\mathcal{C}(q) = \bigcup_{c \in \mathrm{NN}_{nprobe}(q)} L_c",
        parameters={
            "nlist": "number of cells, 1 to n; default 4 sqrt(n), at most n / 39",
            "nprobe": "cells visited per query, 1 to nlist (= exact); default nlist / 8, 4 to 64",
        },
        paper=MilvusFlat.card.paper,
        url=MilvusFlat.card.url,
        cost=MilvusFlat.card.cost,
        when_to_use="From some 100,000 vectors on that must live outside this process.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        most = min(n, 65_536)
        chosen = check_overrides(self.name, overrides, {"nlist": (1, most), "nprobe": (1, most)})
        nlist = chosen.get("nlist", min(most, default_lists(n)))
        legal = {"nlist": (1, most), "nprobe": (1, nlist)}
        nprobe = check_overrides(self.name, overrides, legal).get("nprobe", default_probes(nlist))
        few = few_per_list(n, nlist)
        return Plan({"nlist": nlist}, {"nprobe": nprobe}, (few,) if few else ())

    def parameters(self, plan: Plan) -> dict[str, SearchParameter]:
        nlist = int(plan.build["nlist"])
        meaning = "cells visited per query; all of them is exact"
        return {"nprobe": SearchParameter(1, nlist, plan.search["nprobe"], meaning)}

    def _extra_bytes(self, plan: Plan, n: int, d: int) -> int:
        return 8 * n + 4 * d * int(plan.build["nlist"])


class MilvusHnsw(MilvusType):
    """HNSW."""

    name = "milvus-hnsw"
    index_type = "HNSW"
    search_names = ("ef",)
    card = IndexCard(
        title="HNSW in Milvus",
        idea=(
            "A graph held by Milvus: each vector is linked to near ones on several levels, and a "
            "search walks from a far entry to the query's neighbourhood, keeping the ef best."
        ),
        formula=r"\text{layer}(x) = \lfloor -\ln(U(0, 1)) / \ln M \rfloor",
        parameters={
            "M": "links of each vector, 4 to 64; default 16",
            "efConstruction": "candidates looked at while linking, 8 to 512; default 100",
            "ef": "candidates kept in a search, 1 to 32,768 (never below K); default 128",
        },
        paper=(
            "Y. Malkov, D. Yashunin, Efficient and Robust Approximate Nearest Neighbor Search "
            "Using Hierarchical Navigable Small World Graphs, TPAMI 2020"
        ),
        url="https://arxiv.org/abs/1603.09320",
        cost=MilvusFlat.card.cost + " The links add 8 M bytes.",
        when_to_use="For the fastest answers over many vectors that must live outside.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        legal = {"M": (4, 64), "efConstruction": (8, 512), "ef": (1, 32_768)}
        chosen = {"M": 16, "efConstruction": 100, "ef": 128}
        chosen |= check_overrides(self.name, overrides, legal)
        return Plan({k: chosen[k] for k in ("M", "efConstruction")}, {"ef": chosen["ef"]})

    def parameters(self, plan: Plan) -> dict[str, SearchParameter]:
        meaning = "candidates kept in a search; K at least"
        return {"ef": SearchParameter(1, 32_768, plan.search["ef"], meaning)}

    def _extra_bytes(self, plan: Plan, n: int, d: int) -> int:
        return n * (8 * int(plan.build["M"]) + 16)
