"""Revisited Oxford and Paris (ROxford5k, RParis6k): ``gnd_*.pkl`` read without running code.

Radenovic et al., "Revisiting Oxford and Paris: Large-Scale Image Retrieval Benchmarking", CVPR
2018. The ground truth is a pickle of ``{"imlist": names, "qimlist": names, "gnd": [{"bbx": [x0,
y0, x1, y1], "easy": rows, "hard": rows, "junk": rows}, …]}``; rows count from 0 in ``imlist``.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any, ClassVar, NoReturn

from data import names
from data.benchmark import Benchmark, Entry, FloatBox, Listing
from data.errors import PlaygroundError

MAX_BYTES = 8 << 20  # the real files have 0.15 and 0.28 MB
_JUDGED = ("easy", "hard", "junk")
# Plain data of any protocol. None of these opcodes looks up, calls or builds an object.
# fmt: off
_DATA_OPCODES = frozenset([
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1",
    "BININT2", "LONG1", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE",
    "SHORT_BINUNICODE", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINGET", "LONG_BINGET", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "INT", "LONG", "LONG4", "FLOAT", "STRING", "UNICODE", "BINUNICODE8",
    "LIST", "DICT", "GET", "PUT", "POP", "POP_MARK",
])
# fmt: on
_MEMO = frozenset(["BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "PUT", "GET"])


class _DataOnly(pickle.Unpickler):
    """An unpickler that knows no classes: lists, tuples, dicts, texts and numbers alone."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it asks for a persistent object")


def load_plain_pickle(content: bytes) -> Any:
    """Unpickle lists, tuples, dicts, texts, numbers, booleans and None; nothing else.

    Every opcode is checked before any is run, so that neither code nor a huge allocation can be
    asked for.

    Raises:
        ValueError: broken, or it holds anything else; the message says what.
    """
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in _DATA_OPCODES:
                asked = f" ({argument})" if isinstance(argument, str) else ""
                raise ValueError(f"it holds more than plain data: {opcode.name}{asked[:80]}")
            # The unpickler's memo is an array as long as the largest number.
            if opcode.name in _MEMO and int(argument or 0) > len(content):
                raise ValueError(f"its memo has the place {argument}")
        return _DataOnly(io.BytesIO(content), encoding="latin1").load()
    except ValueError:
        raise
    except (pickle.UnpicklingError, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    except Exception as error:
        # The unpickler raises anything for broken files (IndexError, KeyError, TypeError, …).
        raise ValueError(f"broken ({type(error).__name__})") from error


class _Revisited(Benchmark):
    protocol = "revisited"
    licence = "Flickr photos under their owners' terms; for research"

    def read(self) -> Listing:
        file = f"gnd_{self.kind}.pkl"
        path = self.find(file)
        if path is None:
            raise self.missing(file)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise self.damaged(path, f"it has more than {MAX_BYTES:,} bytes")
            content = path.read_bytes()
        except OSError as error:
            raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
        try:
            return self._listing(load_plain_pickle(content))
        except ValueError as error:
            raise self.damaged(path, names.printable(str(error))) from error

    def _listing(self, truth: Any) -> Listing:
        if not isinstance(truth, dict) or not {"imlist", "qimlist", "gnd"} <= set(truth):
            raise ValueError("it is no dictionary with imlist, qimlist and gnd")
        imlist, qimlist = _names(truth, "imlist"), _names(truth, "qimlist")
        gnd = truth["gnd"]
        if not isinstance(gnd, list | tuple) or len(gnd) != len(qimlist):
            raise ValueError("gnd has not one entry per query")
        if set(imlist) & set(qimlist):
            raise ValueError("a query is among the photos")
        photos = [
            Entry(name, name, extra={"list": self.kind, "row": row})
            for row, name in enumerate(imlist)
        ]
        queries = []
        for row, (name, one) in enumerate(zip(qimlist, gnd, strict=True)):
            if not isinstance(one, dict):
                raise ValueError(f"the entry of {name} is no dictionary")
            lists = {key: _rows(one, key, name, imlist) for key in _JUDGED}
            queries.append(
                Entry(
                    name,
                    name,
                    query=True,
                    box=_box(one.get("bbx"), name),
                    relevant=(*lists["easy"], *lists["hard"]),
                    extra={"list": self.kind, "row": row, "ground_truth": lists},
                )
            )
        return Listing(photos, queries)


def _names(truth: dict[str, Any], key: str) -> list[str]:
    listed = truth[key]
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(f"{key} is no list of names")
    for name in listed:
        if not isinstance(name, str) or not names.legal_id(name):
            raise ValueError(f"{key} holds {str(name)[:80]!r}, which is no name of a photo")
    if len(set(listed)) != len(listed):
        raise ValueError(f"{key} names a photo twice")
    return list(listed)


def _rows(one: dict[str, Any], key: str, name: str, imlist: list[str]) -> list[str]:
    rows = one.get(key)
    if not isinstance(rows, list | tuple) or len(rows) > len(imlist):
        raise ValueError(f"{key} of {name} is no list of rows")
    for row in rows:
        if type(row) is not int or not 0 <= row < len(imlist):
            raise ValueError(f"{key} of {name} has the row {row!r}; there are {len(imlist)}")
    return [imlist[row] for row in rows]


def _box(value: Any, name: str) -> FloatBox:
    if (
        not isinstance(value, list | tuple)
        or len(value) != 4
        or not all(type(v) in (int, float) and math.isfinite(v) for v in value)
    ):
        raise ValueError(f"bbx of {name} is not 4 numbers")
    x0, y0, x1, y1 = (float(v) for v in value)
    return x0, y0, x1, y1


_GROUND_TRUTH = "http://cmp.felk.cvut.cz/revisitop/data/datasets/{0}/gnd_{0}.pkl"
_PUT = (
    " Put them as FOLDER/gnd_{0}.pkl and FOLDER/jpg/NAME.jpg; sub-folders of jpg/ are searched "
    "too. No form has to be filled in."
)


class ROxford5k(_Revisited):
    """Revisited Oxford: 4,993 photos and 70 queries that are not among them."""

    kind = "roxford5k"
    title = "Revisited Oxford (ROxford5k)"
    summary = "4,993 photos of Oxford and 70 queries that are not among them: easy, medium, hard."
    author = "J. Philbin et al.; F. Radenovic et al."
    how: ClassVar[str] = (
        "photos: https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/ (oxbuild_images-v1.tgz); "
        "ground truth: " + _GROUND_TRUTH.format("roxford5k") + "." + _PUT.format("roxford5k")
    )


class RParis6k(_Revisited):
    """Revisited Paris: 6,322 photos and 70 queries that are not among them."""

    kind = "rparis6k"
    title = "Revisited Paris (RParis6k)"
    summary = "6,322 photos of Paris and 70 queries that are not among them: easy, medium, hard."
    author = "J. Philbin et al.; F. Radenovic et al."
    how: ClassVar[str] = (
        "photos: https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/ (paris_1-v1.tgz and "
        "paris_2-v1.tgz); ground truth: "
        + _GROUND_TRUTH.format("rparis6k")
        + "."
        + _PUT.format("rparis6k")
    )
