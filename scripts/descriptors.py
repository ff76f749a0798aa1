"""Import descriptors that were computed elsewhere, or write those that are built as files.

python -m scripts.collections import --source roxford5k --path DIR --name rox --no-photos
python -m scripts.descriptors import --collection rox --name R101-GeM --file FILE.mat
python -m scripts.build --collection rox --extractors imported:name=R101-GeM --indexes flat
python -m scripts.descriptors export --collection demo --extractor hog --out DIR
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from data import descriptors
from data.names import printable
from indexing import imported
from retrieval.engine import SearchEngine
from retrieval.export import FORMS, export
from scripts import console


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    args = _parser().parse_args(argv)
    if args.command == "export":
        engine, out = SearchEngine(), Path(args.out)
        files = export(engine, args.collection, args.extractor, out, args.format)
        if args.json:
            console.print_json({"files": [str(file) for file in files]})
        else:
            for file in files:
                print(f"{file}  {file.stat().st_size:,} bytes")
        return 0
    report = imported.import_descriptors(
        args.collection,
        args.name,
        args.file,
        ids=args.ids,
        queries=args.queries,
        query_ids=args.query_ids,
        layout=args.layout,
        key=args.key,
        query_key=args.query_key,
        distractors=args.distractors,
    )
    if args.json:
        console.print_json({"collection": args.collection, **dataclasses.asdict(report)})
        return 0
    norms = report.norms
    state = "unit length" if norms.unit else f"lengths {norms.least:.4g} to {norms.greatest:.4g}"
    print(
        f"{args.collection}: {console.counted(report.photos, 'photo')} and "
        f"{console.counted(report.queries, 'query', 'queries')} have descriptors of {report.dim:,} "
        f"numbers ({state} in the file; L2-normalised now)."
    )
    for note in report.notes:
        print(printable(note))
    print(
        f"Next: python -m scripts.build --collection {args.collection} --extractors "
        f"'{report.extractor}' --indexes flat"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser, commands = console.commands("descriptors", __doc__)
    command = commands.add_parser(
        "import",
        help="save a file's descriptors as a collection's vectors",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=descriptors.__doc__,
        epilog="The revisitop features (R101-GeM): http://cmp.felk.cvut.cz/revisitop/data/features/"
        "\nroxford5k_resnet_rsfm120k_gem.mat and rparis6k_resnet_rsfm120k_gem.mat hold X and Q in "
        "the\norder of imlist and qimlist: --file alone is enough.",
    )
    command.add_argument("--collection", required=True, metavar="NAME")
    command.add_argument("--name", required=True, help="what the descriptors are called")
    command.add_argument("--file", required=True, help="the photos' .npy, .parquet or .mat")
    command.add_argument("--ids", help="a text file that names the rows of --file, one id per line")
    command.add_argument("--queries", help="the queries' file; default: Q of a .mat --file")
    command.add_argument("--query-ids", help="a text file that names the rows of --queries")
    command.add_argument(
        "--layout",
        choices=get_args(descriptors.Layout),
        default="auto",
        help="photos are rows (N x D) or columns (D x N); default: as the number of photos says",
    )
    command.add_argument("--key", help="variable of a .mat (default: X) or column of a .parquet")
    command.add_argument("--query-key", help="the same for the queries (default: Q)")
    command.add_argument(
        "--distractors", help="a folder of feature files of the R1M distractors, in list order"
    )
    console.json_flag(command)
    command = commands.add_parser(
        "export",
        help="write descriptors with the ids of their rows; an index: scripts.index export",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=export.__doc__,
    )
    command.add_argument("--collection", required=True, metavar="NAME")
    command.add_argument("--extractor", required=True, help="a spec that is built")
    command.add_argument("--format", choices=FORMS, default="npy", help="of the descriptors")
    command.add_argument("--out", required=True, metavar="DIR", help="an empty or new folder")
    console.json_flag(command)
    return parser


if __name__ == "__main__":
    console.run(main)
