"""Networks' weights: which are here, and getting those that are not.

    python -m scripts.weights list
    python -m scripts.weights download imagenet

Nothing is downloaded unless this command is run. Without it the extractors use what is here,
else seeded random weights, and say so.
"""

from __future__ import annotations

import argparse
import urllib.error
from collections.abc import Sequence

import torch

from data.artefact import explain_os_errors
from data.errors import PlaygroundError
from data.paths import weights_root
from extractors.weights import TABLE, find
from scripts.console import print_json, print_table, run


def _list(as_json: bool) -> int:
    rows = []
    for row in TABLE:
        path = find(row)
        rows.append(
            {
                "network": row.network,
                "source": row.source,
                "file": row.file,
                "here": path is not None,
                "licence": row.licence,
                "note": row.note,
            }
        )
    if as_json:
        print_json(rows)
    else:
        keys = ["network", "source", "here", "file", "licence"]
        print_table(keys, [[entry[key] for key in keys] for entry in rows])
    return 0


def _download(source: str) -> int:
    rows = [row for row in TABLE if row.source == source and row.url]
    if not rows:
        legal = sorted({row.source for row in TABLE if row.url})
        raise PlaygroundError(f"{source!r} cannot be downloaded. Legal: {', '.join(legal)}.")
    for row in rows:
        if find(row) is not None:
            print(f"{row.file} is here already")
            continue
        target = weights_root() / row.file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with explain_os_errors(f"Downloading {row.file}"):
                # Writes to a temporary file, checks the hash, then renames.
                torch.hub.download_url_to_file(row.url, str(target), hash_prefix=row.hash_prefix)
        except urllib.error.URLError as error:
            raise PlaygroundError(
                f"{row.url} could not be downloaded ({error.reason}). Check the network, or put a "
                f"copy of {row.file} into {target.parent}."
            ) from None
        except RuntimeError as error:
            raise PlaygroundError(
                f"{row.file} arrived damaged ({error}). Run the command again."
            ) from None
        print(f"{row.file} saved")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.weights", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list")
    listing.add_argument("--json", action="store_true")
    download = commands.add_parser("download")
    download.add_argument("source", help="imagenet")
    arguments = parser.parse_args(argv)
    if arguments.command == "list":
        return _list(arguments.json)
    return _download(arguments.source)


if __name__ == "__main__":
    run(main)
