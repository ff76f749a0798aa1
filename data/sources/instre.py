"""INSTRE: 250 objects in three folders, with the queries of Iscen et al. (``gnd_instre.mat``).

Wang and Jiang, "INSTRE: a new benchmark for instance-level object retrieval and recognition",
TOMM 2015; Iscen et al., "Efficient Diffusion on Region Manifolds", CVPR 2017. The MATLAB file
holds the cells ``imlist`` (27,293 paths such as INSTRE-S1/01a_canada_book/001.jpg) and ``qimlist``
(1,250, not among them), and ``gnd``, one structure per query: first the rows of the positives,
counted from 1, then the query's box. Public readers of the file take the box as x0 y0 x1 y1, as
here; one takes it as x y w h. The text file beside a photo (x y w h per object) settles it where
it is there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from data import child, names
from data.benchmark import Benchmark, Entry, FloatBox, Listing, safe_path
from data.errors import PlaygroundError

FILE = "gnd_instre.mat"
_MAX_BYTES = 256 << 20  # the real file has 0.2 MB
_TXT_BYTES = 1 << 16
_MEMORY, _SECONDS = 2 << 30, 120.0  # of the reader


class Instre(Benchmark):
    """27,293 photos and 1,250 queries."""

    kind = "instre"
    protocol = "classic"
    title = "INSTRE"
    summary = "27,293 photos of 250 objects, and 1,250 queries that are not among them."
    licence = "for research; see the data set's page"
    author = "S. Wang, S. Jiang; queries by A. Iscen et al."
    folders = ("", "jpg", "images", "INSTRE_release")
    how = (
        "photos: http://123.57.42.89/instre/home.html (INSTRE_release.rar; the page asks to cite, "
        "and unrar is needed) or ftp://ftp.irisa.fr/local/texmex/corpus/instre/instre.tar.gz; "
        "queries: gnd_instre.mat from the same FTP folder. Put them as FOLDER/gnd_instre.mat and "
        "FOLDER/INSTRE-S1/, INSTRE-S2/ and INSTRE-M/. A browser no longer opens FTP: use curl."
    )

    def read(self) -> Listing:
        path = self.find(FILE)
        if path is None:
            raise self.missing(FILE)
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise self.damaged(path, f"it has more than {_MAX_BYTES:,} bytes")
            with open(path, "rb"):
                pass
            found, _ = child.once(
                f"{__name__}:read_list",
                {"path": str(path.resolve())},
                child.THRIFTY,
                memory=_MEMORY,
                seconds=_SECONDS,
            )
        except OSError as error:
            raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
        except child.Died as error:
            raise self.damaged(path, f"broken ({error})") from error
        except PlaygroundError as error:
            raise self.damaged(path, names.printable(str(error))) from error
        try:
            return self._listing(found)
        except ValueError as error:
            raise self.damaged(path, names.printable(str(error))) from error

    def _listing(self, found: dict[str, Any]) -> Listing:
        ids = names.Ids()
        photo_ids = [ids.of(file) for file in found["imlist"]]
        photos = [
            Entry(one, file, label=_object(file), extra={"list": self.kind, "row": row})
            for row, (one, file) in enumerate(zip(photo_ids, found["imlist"], strict=True))
        ]
        queries = []
        for row, (file, (rows, box)) in enumerate(zip(found["qimlist"], found["gnd"], strict=True)):
            good = _positives(rows, photo_ids, file)
            queries.append(
                Entry(
                    ids.of(file),
                    file,
                    query=True,
                    label=_object(file),
                    box=self._box(box, file),
                    relevant=tuple(good),
                    extra={
                        "list": self.kind,
                        "row": row,
                        "ground_truth": {"good": good, "ok": [], "junk": []},
                    },
                )
            )
        return Listing(photos, queries)

    def _box(self, value: list[float], file: str) -> FloatBox:
        if len(value) != 4 or not all(map(math.isfinite, value)):
            raise ValueError(f"bbx of {file} is not 4 numbers")
        a, b, c, d = value
        annotated = self._annotated(file) if self.photos else []
        if (a, b, c, d) in annotated and (a, b, c - a, d - b) not in annotated:
            return a, b, a + c, b + d
        return a, b, c, d

    def _annotated(self, file: str) -> list[FloatBox]:
        """The boxes (x, y, w, h) of the text file beside a photo; empty where there is none."""
        photo = self.files().find(file)
        if photo is None:
            return []
        folder = self.path.parent if self.path.is_file() else self.path
        path = (folder / photo).with_suffix(".txt")
        boxes: list[FloatBox] = []
        try:
            if path.stat().st_size > _TXT_BYTES:
                return []
            for line in path.read_text(encoding="ascii", errors="replace").splitlines():
                x, y, w, h = (float(word) for word in line.split())
                boxes.append((x, y, w, h))
        except (OSError, ValueError):
            return []
        return boxes


def _object(file: str) -> str:
    """``INSTRE-S1/01a_canada_book``: folders of different subsets can be named alike."""
    return str(Path(file).parent.as_posix())


def _cells(loaded: dict[str, Any], key: str) -> list[str]:
    listed = []
    for cell in np.asarray(loaded.get(key, ())).ravel():
        text = np.asarray(cell).ravel()
        name = str(text[0]) if text.size == 1 and text.dtype.kind == "U" else ""
        if not safe_path(name) or len(name) > 300:
            raise ValueError(f"{key} holds {str(cell)[:80]!r}, which is no path of a photo")
        listed.append(name)
    if not listed:
        raise ValueError(f"{key} is no list of photos")
    if len(set(listed)) != len(listed):
        raise ValueError(f"{key} names a photo twice")
    return listed


def _positives(rows: list[float], photo_ids: list[str], file: str) -> list[str]:
    if len(rows) > len(photo_ids):
        raise ValueError(f"the positives of {file} are no rows")
    found = []
    for row in rows:
        if not 1 <= row <= len(photo_ids) or row != int(row):
            raise ValueError(f"{file} has the positive {row:g}; there are {len(photo_ids)} photos")
        found.append(photo_ids[int(row) - 1])
    return found


# In a process of its own


def read_list(request: dict[str, Any], payload: bytes) -> child.Frame:
    """The lists as plain values: ``imlist``, ``qimlist``, and ``gnd``: (rows, box) per query."""
    try:
        loaded = scipy.io.loadmat(request["path"], variable_names=["imlist", "qimlist", "gnd"])
    except MemoryError:
        raise
    except Exception as error:  # scipy raises anything for broken files
        raise PlaygroundError(f"broken ({type(error).__name__})") from error
    try:
        imlist, qimlist = _cells(loaded, "imlist"), _cells(loaded, "qimlist")
        structures = np.asarray(loaded.get("gnd", ())).ravel()
        if len(structures) != len(qimlist):
            raise ValueError(f"gnd has {len(structures)} entries for {len(qimlist)} queries")
        gnd = [
            (
                _numbers(structure, 0, f"the positives of {file} are no rows"),
                _numbers(structure, 1, f"bbx of {file} is not 4 numbers"),
            )
            for file, structure in zip(qimlist, structures, strict=True)
        ]
    except ValueError as error:
        raise PlaygroundError(str(error)) from error
    return {"imlist": imlist, "qimlist": qimlist, "gnd": gnd}, b""


def _numbers(structure: Any, place: int, wrong: str) -> list[float]:
    try:
        values = np.asarray(structure[place]).ravel()
    except (IndexError, TypeError, KeyError):
        raise ValueError(f"{wrong}: gnd has not the fields ok and bbx") from None
    if values.dtype.kind not in "iuf":
        raise ValueError(wrong)
    return [float(value) for value in values]
