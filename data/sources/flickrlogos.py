"""FlickrLogos-32 and -47: logos of brands in photos of Flickr.

Romberg, Garcia Pueyo, Lienhart, van Zwol, "Scalable logo recognition in real-world images", ICMR
2011.

32: ``trainvalset.txt`` and ``testset-logosonly.txt`` hold a class and a photo's file name per line.
As in the authors' ``fl_eval_retrieval.py``, training and validation photos (4,280, among them 3,000
of the class no-logo) are searched with the 960 test photos that show a logo; each class has 40
right answers. The photos are in ``classes/jpg/CLASS/``.

47: ``train/filelist.txt`` and ``test/filelist.txt`` name photos (``./000001/000001010.png``);
beside each with a logo, a file of the same name ending in ``.gt_data.txt`` has a line per logo: x1
y1 (upper left) x2 y2 (lower right) in px, class, a dummy, the mask's name, difficult, truncated.
Two public readers agree on these nine words, one of them quoting the data set's README; the lists
and the names of masks are also read in hiteacherIamhumble/LogoCleaner
(``v0_SuperPixel+Rf/dataloader.py``). It is a detection data set without an official retrieval
protocol: here, every logo of the test set is a query with its box, and the training photos that
show its class are right.
"""

from __future__ import annotations

import math
from pathlib import Path

from data import names
from data.benchmark import Benchmark, Entry, FloatBox, Listing, safe_path

_PAGE = "https://www.uni-augsburg.de/en/fakultaet/fai/informatik/prof/mmc/research/datensatze/flickrlogos/"
_GT = ".gt_data.txt"


class FlickrLogos32(Benchmark):
    """4,280 photos and 960 queries of 32 brands."""

    kind = "flickrlogos32"
    protocol = "flickrlogos"
    title = "FlickrLogos-32"
    summary = "4,280 photos, 1,280 of them with one of 32 logos; 960 queries with a logo."
    licence = "for research, not to be passed on; the photos under their owners' terms"
    author = "S. Romberg et al."
    folders = ("", "classes/jpg", "jpg", "images")
    how = (
        f"{_PAGE}: ask for FlickrLogos-32 (FlickrLogos-v2) by mail, as the page says, and unpack "
        "it so that FOLDER/trainvalset.txt, FOLDER/testset-logosonly.txt and "
        "FOLDER/classes/jpg/adidas/ and the others are there."
    )

    def read(self) -> Listing:
        searched, asked = (self._listed(f) for f in ("trainvalset.txt", "testset-logosonly.txt"))
        of: dict[str, list[str]] = {}
        photos = []
        for row, (label, name) in enumerate(searched.values()):
            if label != "no-logo":
                of.setdefault(label, []).append(name)
            extra = {"list": self.kind, "row": row}
            photos.append(Entry(name, name, label=label, extra=extra))
        queries = [
            Entry(
                name,
                name,
                query=True,
                label=label,
                relevant=tuple(of.get(label, ())),
                extra={"list": self.kind, "row": row},
            )
            for row, (label, name) in enumerate(asked.values())
        ]
        return Listing(photos, queries)

    def _listed(self, file: str) -> dict[str, tuple[str, str]]:
        path = self.find(file)
        if path is None:
            raise self.missing(file)
        found = {}
        for line in self.text(path).splitlines():
            words = line.replace(",", " ").replace(";", " ").split()
            if not words:
                continue
            name = Path(words[-1]).stem
            if len(words) != 2 or not names.legal_id(name):
                raise self.damaged(path, f"{line[:80]!r} is not a class and a photo")
            found[name] = (words[0].lower(), name)
        if not found:
            raise self.damaged(path, "it names no photo")
        return found


class FlickrLogos47(Benchmark):
    """Training photos searched with the logos of the test photos, 47 classes."""

    kind = "flickrlogos47"
    protocol = "labels"
    title = "FlickrLogos-47"
    summary = (
        "Photos with logos of 47 classes; every logo of the test photos is a query with a box."
    )
    licence = "for research, not to be passed on; the photos under their owners' terms"
    author = "S. Romberg et al."
    folders = ("",)
    how = (
        f"{_PAGE}: ask for FlickrLogos-47 by mail, as the page says, and unpack it so that "
        "FOLDER/train/filelist.txt and FOLDER/test/filelist.txt are there, and the photos and "
        "their .gt_data.txt below both. It has no official retrieval protocol: say so with figures."
    )

    def read(self) -> Listing:
        ids = names.Ids()
        photos: list[Entry] = []
        queries: list[Entry] = []
        of: dict[str, list[str]] = {}
        for file in self._listed("train"):
            one = ids.of(file)
            classes = sorted({label for label, _ in self._logos(file)})
            for label in classes:
                of.setdefault(label, []).append(one)
            extra = {"list": self.kind, "row": len(photos), "classes": classes}
            first = classes[0] if classes else None
            photos.append(Entry(one, file, label=first, extra=extra))
        for file in self._listed("test"):
            one = ids.of(file)
            for number, (label, box) in enumerate(self._logos(file)):
                queries.append(
                    Entry(
                        f"{one}.{number}",
                        file,
                        query=True,
                        label=label,
                        box=box,
                        relevant=tuple(of.get(label, ())),
                        extra={"list": self.kind, "row": len(queries)},
                    )
                )
        return Listing(photos, queries)

    def _listed(self, split: str) -> list[str]:
        path = self.path / split / "filelist.txt"
        if not path.is_file():
            raise self.missing(f"{split}/filelist.txt")
        files = []
        for line in self.text(path).splitlines():
            name = line.strip().removeprefix("./")
            if name and not safe_path(name):
                raise self.damaged(path, f"{line[:80]!r} is no path of a photo")
            files += [f"{split}/{name}"] if name else []
        return files

    def _logos(self, file: str) -> list[tuple[str, FloatBox]]:
        """Class and box of each logo; none where the photo has no such file."""
        path = (self.path / file).with_suffix("")
        path = path.with_name(path.name + _GT)
        if not path.is_file():
            return []
        logos = []
        for line in self.text(path).splitlines():
            words = line.split()
            try:
                x0, y0, x1, y1 = (float(word) for word in words[:4])
                label = str(int(words[4]))
            except (ValueError, IndexError):
                if words:
                    raise self.damaged(path, f"{line[:80]!r} is no box and class") from None
                continue
            if not all(map(math.isfinite, (x0, y0, x1, y1))):
                raise self.damaged(path, f"{line[:80]!r} is no box and class")
            logos.append((label, (x0, y0, x1, y1)))
        return logos
