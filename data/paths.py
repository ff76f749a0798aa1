"""Where built artefacts live: one folder outside the packages, ignored by git."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from data.errors import Invalid
from data.names import printable

HOME = "PLAYGROUND_HOME"  # environment variable
PROJECT_ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def artifacts_root() -> Path:
    """The folder of everything built: ``$PLAYGROUND_HOME``, else ``artifacts/`` of the project."""
    home = os.environ.get(HOME)
    if not home:
        return PROJECT_ROOT / "artifacts"
    try:
        folder = _resolved(home, os.getcwd())
        reason = _why_no_folder(folder)
    except (OSError, RuntimeError, ValueError) as error:
        folder, reason = Path(home), getattr(error, "strerror", None) or str(error)
    if reason is None:
        return folder
    raise Invalid(
        f"PLAYGROUND_HOME is {printable(str(folder))}, which cannot be used: {reason}. Set it to a "
        f"folder that can be written, or to none to use the project's own."
    )


@functools.lru_cache(maxsize=16)
def _resolved(home: str, here: str) -> Path:
    """The absolute path; ``here`` is where a relative one starts. It is asked for at every turn."""
    return Path(here, Path(home).expanduser()).resolve()


def _why_no_folder(folder: Path) -> str | None:
    """Why nothing could be built in this folder, which may have to be made; None: it could."""
    if folder.is_dir():
        return None
    above = folder
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        return f"{printable(str(above))} is a file"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{printable(str(above))} cannot be written"
    return None


def collections_root() -> Path:
    return artifacts_root() / "collections"


def vectors_root(collection: str) -> Path:
    """Descriptors and indexes of a collection: one sub-folder per extractor."""
    return artifacts_root() / "vectors" / check_name(collection, "collection")


def rerank_root(collection: str) -> Path:
    """What re-ranking needs of a collection's photos, whatever extractor it follows."""
    return artifacts_root() / "rerank" / check_name(collection, "collection")


def evaluations_root(collection: str) -> Path:
    """Judged rankings of a collection: one sub-folder per extractor."""
    return artifacts_root() / "evaluations" / check_name(collection, "collection")


def downloads_root() -> Path:
    """What was downloaded of Google Landmarks v2."""
    return artifacts_root() / "downloads" / "gldv2"


def weights_root() -> Path:
    return artifacts_root() / "weights"


def networks_root() -> Path:
    """Networks that were converted once, see ``extractors.converted``."""
    return artifacts_root() / "networks"


def jobs_root() -> Path:
    """Progress records of builds that run in a process of their own."""
    return artifacts_root() / "jobs"


def check_name(name: str, what: str) -> str:
    """Refuse a name that could leave its folder; return it otherwise."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is not a legal {what} name. Legal: 1 to 100 of the characters A-Z, a-z, "
            f"0-9, '.', '_', '-', the first one a letter or digit."
        )
    return name
