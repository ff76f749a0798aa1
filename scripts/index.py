"""Write an index that is built as files that need nothing of this project.

python -m scripts.index export --collection demo --extractor hog --index ivf --out DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from retrieval.engine import SearchEngine
from retrieval.export import export_index
from scripts import console


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    parser, commands = console.commands("index", __doc__)
    command = commands.add_parser(
        "export",
        help="write a FAISS index, the ids of its entries and how to read them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=export_index.__doc__,
    )
    command.add_argument("--collection", required=True, metavar="NAME")
    command.add_argument("--extractor", required=True, help="a spec that is built")
    command.add_argument("--index", required=True, help="an index that is built")
    command.add_argument("--out", required=True, metavar="DIR", help="an empty or new folder")
    console.json_flag(command)
    args = parser.parse_args(argv)
    files = export_index(
        SearchEngine(), args.collection, args.extractor, args.index, Path(args.out)
    )
    if args.json:
        console.print_json({"files": [str(file) for file in files]})
    else:
        for file in files:
            print(f"{file}  {file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    console.run(main)
