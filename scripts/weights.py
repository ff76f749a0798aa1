"""Networks' weights: which are here, and getting those that are not.

    python -m scripts.weights list
    python -m scripts.weights download imagenet              ResNet50 and VGG16
    python -m scripts.weights download gem-resnet101 alexnet
    python -m scripts.weights download timm:convnext_tiny    any model of timm, by its name there
    python -m scripts.weights import solar resnet101-solar-best.pth
    python -m scripts.weights import gem-siamese artifacts/training/siamese/gem-siamese.safetensors
    python -m scripts.weights check

Nothing is downloaded unless this command is run. Without it the basic extractors use what is
here, else seeded random weights, and say so; the published networks refuse. A download that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import PlaygroundError
from extractors import downloads
from extractors.weights import BUNDLED_ROOT, TABLE, WeightFile, find, timm_files
from scripts.console import Progress, counted, print_json, print_table, run


def _describe(row: WeightFile, state: str) -> dict[str, Any]:
    return {
        "network": row.network,
        "source": row.source,
        "here": state,
        "file": row.file,
        "get": _how(row),
        "licence": row.licence,
        "note": row.note,
    }


def _how(row: WeightFile) -> str:
    """How the file comes here; of our own networks, some only from a training of the user's."""
    if row.install:
        return "by pip"
    if row.package or (row.source == "bundled" and (BUNDLED_ROOT / row.file).is_file()):
        return "shipped"
    return "download" if row.url else "by hand"


def _show(entries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(entries)
        return
    keys = ["network", "source", "here", "get", "file", "licence"]
    print_table(keys, [[entry[key] for key in keys] for entry in entries])


def _all() -> list[WeightFile]:
    """The table, and of timm's many models those whose files are here."""
    return [*TABLE, *timm_files()]


def _list(as_json: bool) -> int:
    entries = [_describe(row, "yes" if find(row) else "no") for row in _all()]
    for entry in entries:
        entry["here"] = entry["here"] == "yes"
    _show(entries, as_json)
    return 0


def _download(names: Sequence[str], quiet: bool) -> int:
    rows = list(dict.fromkeys(row for name in names for row in downloads.called(name)))
    for row in rows:
        if find(row) is not None:
            downloads.check(row)
            print(f"{row.file} is here already")
            continue
        with Progress("megabyte", quiet) as bar:
            downloads.download(row, functools.partial(_megabytes, bar))
        print(f"{row.file} saved")
    return 0


def _megabytes(bar: Progress, done: int, total: int, text: str) -> None:
    bar(done // 1_000_000, total // 1_000_000, text)


def _import(name: str, file: Path) -> int:
    print(f"{downloads.import_file(downloads.row_for_import(name, file), file)} saved")
    return 0


def _check(as_json: bool) -> int:
    entries, wrong = [], []
    for row in _all():
        try:
            if downloads.check(row) is not None:
                entries.append(_describe(row, "ok"))
        except PlaygroundError as error:
            entries.append(_describe(row, "damaged"))
            wrong.append(str(error))
    if entries or as_json:
        _show(entries, as_json)
    if wrong:
        raise PlaygroundError(" ".join(wrong))
    if not as_json:
        print(f"{counted(len(entries), 'file')} on this machine, nothing damaged.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="all that the project knows, and what is here")
    listing.add_argument("--json", action="store_true")
    download = commands.add_parser("download", help="get files from their authors' servers")
    download.add_argument(
        "names", nargs="+", metavar="NAME", help="imagenet, networks of the list, or timm:NAME"
    )
    download.add_argument("--quiet", action="store_true", help="no progress bar")
    importing = commands.add_parser("import", help="take over a file that you have")
    importing.add_argument("name", metavar="NAME", help="a network of the list, or timm:NAME")
    importing.add_argument("file", type=Path)
    checking = commands.add_parser("check", help="verify the files that are here")
    checking.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    if arguments.command == "list":
        return _list(arguments.json)
    if arguments.command == "download":
        return _download(arguments.names, arguments.quiet)
    if arguments.command == "import":
        return _import(arguments.name, arguments.file)
    return _check(arguments.json)


if __name__ == "__main__":
    run(main)
