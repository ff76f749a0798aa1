"""What an evaluation found, and how it is kept: one row per extractor, index and protocol.

A row is an artefact (see ``data.artefact``) in
``evaluations/<collection>/<extractor>/<index>/<protocol>-<k>/``: ``row.json`` and
``queries.jsonl`` hold what follows from the inputs, the record holds what was measured. The
manifest names the inputs exactly, so that a row is used again while they are the same.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import statistics as plain_statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data import artefact, paths
from data.errors import PlaygroundError
from evaluation import metrics, statistics
from evaluation.base import Protocol
from evaluation.registry import protocol as protocol_of

KEPT = 100  # ids of a ranking that a row keeps, to be shown
LEVELS = tuple(i / 100 for i in range(101))  # recalls of a precision-recall curve
QUERIES = "queries.jsonl"
_ROW = "row.json"
_PARTIAL = "queries.partial.jsonl"

Values = dict[str, dict[str, float]]
"""Setting -> measure -> value; NaN where there is none."""


@dataclasses.dataclass(frozen=True)
class QueryRow:
    """One query of a row.

    Attributes:
        values: setting -> measure -> value; NaN where the query has no value.
        ranking: the first ``KEPT`` ids, best first, junk among them.
        ranked: how many photos were ranked in all; an approximate index may end early.
        ranks: setting -> 0-based ranks of the positives found, junk removed.
        positives: setting -> positives there are, found or not.
        recall: recall@k against exact search, by distance; NaN where it is not known.
        extract_ms: from the decoded photo to its descriptors (crop, resize, extraction), warm;
            NaN for descriptors that were computed elsewhere.
        search_ms: the index alone, for the first k results, warm.
        rerank_ms: all re-ranking stages, for the first k results, warm.
    """

    query_id: str
    values: Values
    ranking: tuple[str, ...]
    ranked: int
    ranks: dict[str, tuple[int, ...]]
    positives: dict[str, int]
    recall: float
    extract_ms: float
    search_ms: float
    rerank_ms: float = 0.0

    @property
    def ap(self) -> dict[str, float]:
        """Average precision per setting; NaN where the query has no positive."""
        return {setting: values["ap"] for setting, values in self.values.items()}

    def stable(self) -> dict[str, Any]:
        """What follows from the inputs, JSON-able (NaN as null)."""
        return {
            "id": self.query_id,
            "values": _plain(self.values),
            "ranking": list(self.ranking),
            "ranked": self.ranked,
            "ranks": {setting: list(ranks) for setting, ranks in self.ranks.items()},
            "positives": self.positives,
            "recall": _number(self.recall),
        }

    def measured(self) -> dict[str, float | None]:
        """What differs from run to run."""
        return {
            "extract_ms": _number(self.extract_ms),
            "search_ms": self.search_ms,
            "rerank_ms": self.rerank_ms,
        }

    @classmethod
    def from_json(cls, stable: Mapping[str, Any], measured: Mapping[str, Any]) -> QueryRow:
        values = {
            setting: {name: _float(value) for name, value in entry.items()}
            for setting, entry in stable["values"].items()
        }
        return cls(
            query_id=str(stable["id"]),
            values=values,
            ranking=tuple(stable["ranking"]),
            ranked=int(stable["ranked"]),
            ranks={setting: tuple(ranks) for setting, ranks in stable["ranks"].items()},
            positives={setting: int(n) for setting, n in stable["positives"].items()},
            recall=_float(stable["recall"]),
            extract_ms=_float(measured["extract_ms"]),
            search_ms=float(measured["search_ms"]),
            # Called verify_ms while RANSAC was the only one.
            rerank_ms=float(measured.get("rerank_ms", measured.get("verify_ms", 0.0))),
        )


@dataclasses.dataclass(frozen=True)
class Row:
    """One recipe, judged by one protocol.

    Attributes:
        rerank: the chain of re-rankers, such as ``aqe:k=5+sift``, or ``none``.
        k: of ``recall`` and of the timed searches.
        partial: photos of the data set were missing when it was imported.
        means: setting -> measure -> mean over the queries that have a value.
        intervals: "setting/measure" -> 95 % bootstrap interval of that mean, for AP and the
            headline measure; None with fewer than two queries.
        stale: why the row is out of date, in words; empty for a row that is not.
        date, machine: of the evaluation.
    """

    collection: str
    protocol: str
    extractor: str
    weights: str
    index: str
    rerank: str
    k: int
    photos: int
    partial: bool
    means: Values
    intervals: dict[str, tuple[float, float] | None]
    queries: tuple[QueryRow, ...]
    bytes_per_vector: float
    build_s: float | None
    bytes_per_photo: float = math.nan  # what each adds to the index; NaN in rows of before
    shared_bytes: int = 0  # what all photos share of the index
    date: str = ""
    machine: str = ""
    stale: str = ""

    @property
    def judged_by(self) -> Protocol:
        return protocol_of(self.protocol)

    @property
    def name(self) -> str:
        """Extractor, index and re-ranking, for tables and legends."""
        chain = "" if self.rerank == "none" else f" {self.rerank}"
        return f"{self.extractor} {self.index}{chain}"

    @property
    def map(self) -> float:
        """Mean AP of the protocol's main setting."""
        return self.means[self.judged_by.main]["ap"]

    @property
    def score(self) -> float:
        """The mean that the protocol compares methods by (its AP, or N-S)."""
        return self.means[self.judged_by.main][self.judged_by.headline]

    @functools.cached_property
    def recall(self) -> float:
        """Mean recall@k against exact search; NaN where no flat index was there to compare."""
        return metrics.mean(query.recall for query in self.queries)

    @functools.cached_property
    def extract_ms(self) -> float:
        """Median over the queries."""
        return _median(query.extract_ms for query in self.queries)

    @functools.cached_property
    def search_ms(self) -> float:
        """Median over the queries; the index alone."""
        return _median(query.search_ms for query in self.queries)

    @functools.cached_property
    def rerank_ms(self) -> float:
        """Median over the queries; 0 without re-ranking."""
        return _median(query.rerank_ms for query in self.queries)

    def values(self, setting: str | None = None, measure: str | None = None) -> dict[str, float]:
        """Query id to value, in the order of the queries; the headline measure by default."""
        setting = setting or self.judged_by.main
        measure = measure or self.judged_by.headline
        return {query.query_id: query.values[setting][measure] for query in self.queries}

    def compare(self, other: Row, setting: str | None = None) -> statistics.Comparison:
        """This row against another one of the same protocol, query by query."""
        return statistics.compare(self.values(setting), other.values(setting))

    def precision_recall(self, setting: str | None = None) -> list[float]:
        """Interpolated precision at ``LEVELS``, the mean over queries with positives."""
        setting = setting or self.judged_by.main
        curves = [
            metrics.precision_recall(query.ranks[setting], query.positives[setting], LEVELS)
            for query in self.queries
            if query.positives[setting]
        ]
        return [math.fsum(values) / len(values) for values in zip(*curves, strict=True)]

    def worst(self, count: int, setting: str | None = None) -> list[QueryRow]:
        """The queries with the lowest value first; those without a value are left out."""
        values = self.values(setting)
        known = [query for query in self.queries if not math.isnan(values[query.query_id])]
        return sorted(known, key=lambda query: values[query.query_id])[:count]

    def as_json(self) -> dict[str, Any]:
        """The documented form (see ``scripts.evaluate``); what is not known is null."""
        protocol = self.judged_by
        result: dict[str, Any] = {
            "collection": self.collection,
            "protocol": self.protocol,
            "extractor": self.extractor,
            "weights": self.weights,
            "index": self.index,
            "rerank": self.rerank,
            "queries": len(self.queries),
            **self._means_json(protocol.main),
            "k": self.k,
            "recall@k_vs_exact": _number(self.recall),
            "extract_ms": _number(self.extract_ms),
            "search_ms": self.search_ms,
            "bytes_per_vector": self.bytes_per_vector,
            "bytes_per_photo": _number(self.bytes_per_photo),
            "shared_bytes": self.shared_bytes,
            "build_s": self.build_s,
            "partial": self.partial,
        }
        if self.rerank != "none":
            result["rerank_ms"] = self.rerank_ms
        if len(protocol.settings) > 1:
            result |= {setting: self._means_json(setting) for setting in protocol.settings}
        return result

    def _means_json(self, setting: str) -> dict[str, Any]:
        """``map``, ``map_ci``, ``mp@k`` and so on; ``n-s`` has its interval beside it too."""
        protocol, result = self.judged_by, dict[str, Any]()
        for measure in ("ap", *protocol.measures):
            name = "n-s" if measure == "n-s" else f"m{measure}"
            result[name] = _number(self.means[setting][measure])
            if measure in ("ap", protocol.headline):
                interval = self.interval(setting, measure)
                result[f"{name}_ci"] = list(interval) if interval else None
        return result

    def interval(
        self, setting: str | None = None, measure: str | None = None
    ) -> tuple[float, float] | None:
        """(low, high) of a mean's 95 % bootstrap interval, or None with fewer than 2 queries."""
        setting = setting or self.judged_by.main
        measure = measure or self.judged_by.headline
        return self.intervals.get(f"{setting}/{measure}")


# Keeping rows


def folder_of(collection: str) -> Path:
    """The evaluations of a collection."""
    return paths.evaluations_root(collection)


def save(folder: Path, key: dict[str, Any], row: Row, record: dict[str, Any]) -> None:
    """Keep a row in one step, whatever happens (see ``data.artefact``)."""
    stable = {
        "collection": row.collection,
        "weights": row.weights,
        "rerank": row.rerank,
        "photos": row.photos,
        "partial": row.partial,
        "means": _plain(row.means),
        "intervals": {name: list(ci) if ci else None for name, ci in row.intervals.items()},
        "bytes_per_vector": row.bytes_per_vector,
        "bytes_per_photo": _number(row.bytes_per_photo),
        "shared_bytes": row.shared_bytes,
    }

    def write_row(path: Path) -> None:
        path.write_text(artefact.canonical_json(stable), encoding="utf-8")

    def write_queries(path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(_line(query.stable()) for query in row.queries)

    measured = {
        **record,
        "build_s": row.build_s,
        "queries": [query.measured() for query in row.queries],
    }
    artefact.save(folder, key, {_ROW: write_row, QUERIES: write_queries}, measured)


def load(folder: Path) -> tuple[dict[str, Any], Row] | None:
    """A row with its key; None where there is none, or none that can be read (evaluate again)."""
    try:
        manifest = artefact.read_manifest(folder)
        if manifest is None or manifest.get("kind") != "evaluation":
            return None
        mend = "python -m scripts.evaluate --force"
        text = artefact.file_path(folder, manifest, _ROW, mend).read_text(encoding="utf-8")
        stable = json.loads(text)
        record = artefact.read_record(folder)
        lines = artefact.file_path(folder, manifest, QUERIES, mend).read_text(encoding="utf-8")
        queries = tuple(
            QueryRow.from_json(json.loads(line), measured)
            for line, measured in zip(lines.splitlines(), record["queries"], strict=True)
        )
        intervals = {
            name: (ci[0], ci[1]) if ci else None for name, ci in stable["intervals"].items()
        }
        row = Row(
            collection=str(stable["collection"]),
            protocol=str(manifest["protocol"]),
            extractor=str(manifest["extractor"]),
            weights=str(stable["weights"]),
            index=str(manifest["index"]),
            rerank=str(stable["rerank"]),
            k=int(manifest["k"]),
            photos=int(stable["photos"]),
            partial=bool(stable["partial"]),
            means={s: {m: _float(v) for m, v in e.items()} for s, e in stable["means"].items()},
            intervals=intervals,
            queries=queries,
            bytes_per_vector=float(stable["bytes_per_vector"]),
            build_s=record.get("build_s"),
            bytes_per_photo=_float(stable.get("bytes_per_photo")),
            shared_bytes=int(stable.get("shared_bytes", 0)),
            date=str(record.get("date", "")),
            machine=str(record.get("machine", "")),
        )
        key = {name: value for name, value in manifest.items() if name not in ("files", "format")}
        protocol_of(row.protocol)
    except (PlaygroundError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return key, row


def saved(collection: str) -> Iterator[tuple[dict[str, Any], Row]]:
    """Every row that was kept for a collection, with its key."""
    for manifest in sorted(folder_of(collection).glob(f"*/*/*/{artefact.MANIFEST}")):
        found = load(manifest.parent)
        if found is not None:
            yield found


class Partial:
    """The queries of a row in the making: a line each, kept when the evaluation is killed."""

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._path = folder / _PARTIAL
        self._mark = _line({"key": artefact.digest(dict(key))})
        self.queries: dict[str, QueryRow] = {}
        folder.mkdir(parents=True, exist_ok=True)
        whole = self._mark
        for line, query in self._read():
            self.queries[query.query_id] = query
            whole += line
        # Written again without the line that a kill cut short.
        artefact.write_atomically(self._path, whole)
        self._handle = open(self._path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115

    def add(self, query: QueryRow) -> None:
        self.queries[query.query_id] = query
        self._handle.write(_line({**query.stable(), "measured": query.measured()}))
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()

    def _read(self) -> Iterator[tuple[str, QueryRow]]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, ValueError):
            return
        if not lines or lines[0] != self._mark:
            return  # of other inputs
        for line in lines[1:]:
            try:
                entry = json.loads(line)
                yield line, QueryRow.from_json(entry, entry["measured"])
            except (ValueError, KeyError, TypeError, AttributeError):
                return


def drop_partial(folder: Path) -> None:
    """Forget what a killed evaluation had done."""
    (folder / _PARTIAL).unlink(missing_ok=True)


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"


def _plain(values: Values) -> dict[str, dict[str, float | None]]:
    return {s: {m: _number(v) for m, v in entry.items()} for s, entry in values.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _median(values: Iterable[float]) -> float:
    listed = [value for value in values if not math.isnan(value)]
    return plain_statistics.median(listed) if listed else math.nan
