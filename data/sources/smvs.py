"""Stanford mobile visual search: covers, cards, prints, paintings and buildings, taken by phone.

Chandrasekhar et al., "The Stanford Mobile Visual Search data set", MMSys 2011: 1,200 references of
eight categories and 3,300 queries. A category's folder holds ``Reference/001.jpg``, … and one
folder per camera, in which a photo of the same number shows the same object: ``Canon``, ``Droid``,
``E63`` and ``Palm`` of ``dvd_covers`` (kept in the repository
kdatsenko/scalable-vocabulary-tree-image-recognition), ``Query`` of ``landmarks`` (OpenIMAJ's
``QuantisedAffinePlay.java``). Every folder beside ``Reference`` is taken for one.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from data import names
from data.benchmark import Benchmark, Entry, Listing, photos_below

REFERENCE = "reference"


class Smvs(Benchmark):
    """1,200 references and 3,300 queries, by what lies in the folders."""

    kind = "smvs"
    protocol = "labels"
    title = "Stanford mobile visual search (SMVS)"
    summary = "Phones' photos of covers, cards, prints, paintings and buildings find the original."
    licence = "for research; see the data set's page"
    author = "V. Chandrasekhar et al."
    how = (
        "https://purl.stanford.edu/rb470rw0983, or the copy of MMSys "
        "http://web.cs.wpi.edu/~claypool/mmsys-dataset/2011/stanford/mvs_images/. Keep the "
        "folders: FOLDER/CATEGORY/Reference/001.jpg and, for each camera, "
        "FOLDER/CATEGORY/CAMERA/001.jpg. No form has to be filled in. Categories that are left out "
        "are not searched, so that figures are then of a smaller data set."
    )
    official_photos = 1200

    def read(self) -> Listing:
        ids = names.Ids()
        photos: list[Entry] = []
        queries: list[Entry] = []
        shown: dict[str, str] = {}  # object -> id of its reference
        files = [PurePosixPath(file) for file in photos_below(self.path)]
        for file in files:
            if len(file.parts) >= 3 and file.parts[-2].lower() == REFERENCE:
                one, row = ids.of(str(file)), len(photos)
                shown[_object(file)] = one
                extra = {"list": self.kind, "row": row}
                photos.append(Entry(one, str(file), label=_object(file), extra=extra))
        if not photos:
            raise self.missing("Not one photo CATEGORY/Reference/NUMBER.jpg")
        for file in files:
            if len(file.parts) < 3 or file.parts[-2].lower() == REFERENCE:
                continue
            answer = shown.get(_object(file))
            if answer is None:
                continue  # its reference is not on this disk: nothing could be found
            queries.append(
                Entry(
                    ids.of(str(file)),
                    str(file),
                    query=True,
                    label=_object(file),
                    relevant=(answer,),
                    extra={"list": self.kind, "row": len(queries)},
                )
            )
        return Listing(photos, queries, self.official_photos)


def _object(file: PurePosixPath) -> str:
    """``landmarks/001``: category and number."""
    return f"{file.parent.parent.name}/{file.stem}"
