"""Photos by an fsspec URL, for a process that does not see the disk they were imported from.

``PLAYGROUND_PHOTOS=s3://bucket/photos`` (``file://``, ``gs://``, ``https://``, whatever fsspec's
packages open) is the folder of the collection's photos, with the names that they have in the folder
that was imported. What is read is compared with the hash of the import, as any photo is.
"""

from __future__ import annotations

import os

from data.errors import PlaygroundError

VARIABLE = "PLAYGROUND_PHOTOS"


def url() -> str | None:
    return os.environ.get(VARIABLE) or None


def read(file: str, size: int) -> bytes:
    """A photo's bytes, at most one more than its size.

    Args:
        file: below the URL, with ``/``.
        size: in bytes; 0: unknown.

    Raises:
        PlaygroundError: why it cannot be read, without the URL, which may hold a password.
    """
    try:
        import fsspec

        # The name is joined afterwards: "::" in it would be a second URL to fsspec.open.
        system, root = fsspec.core.url_to_fs(url() or "")
        with system.open(f"{root.rstrip('/')}/{file}", "rb") as handle:
            return bytes(handle.read(size + 1 if size else -1))
    except Exception as error:  # every file system has errors of its own
        why = getattr(error, "strerror", None) or type(error).__name__
        hint = f" ({error})" if isinstance(error, ImportError) else ""
        raise PlaygroundError(f"{why}{hint}") from error
