"""Single photos from an upload field: names and bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data import names
from data.base import Candidate, Skipped


class UploadSource:
    """Uploaded photos. The collection keeps copies of its own; ids come from the file names.

    Args:
        files: (file name, bytes) of each.
        label: the landmark of all of them, None where unknown.
    """

    kind = "upload"

    def __init__(self, files: Sequence[tuple[str, bytes]], label: str | None = None) -> None:
        self._files = list(files)
        self.label = names.label(label)

    def root(self) -> Path:
        raise TypeError("an upload has no folder; the collection keeps copies (see unpack)")

    def candidates(self) -> Iterator[Candidate | Skipped]:
        raise TypeError("uploaded photos need a folder to go to; use unpack(into)")

    def unpack(self, into: Path) -> Iterator[Candidate | Skipped]:
        ids = names.Ids()
        for number, (name, content) in enumerate(self._files):
            # Browsers send bare names; anything else is cut to one.
            bare = name.replace("\\", "/").rpartition("/")[2]
            path = into / f"{number:06d}"
            path.write_bytes(content)
            yield Candidate(
                id=ids.of(bare), path=path, file=names.printable(bare), label=self.label
            )

    def count(self) -> int:
        return len(self._files)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def about(self) -> dict[str, str]:
        return {}
