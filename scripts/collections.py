"""Import, list, show, change and delete collections of photos.

python -m scripts.collections import --source folder --path DIR --name NAME
python -m scripts.collections import --source glr21 --path DIR --name NAME --landmarks 20
python -m scripts.collections import --source zip --path FILE --name NAME
python -m scripts.collections import --source roxford5k --path DIR --name NAME
python -m scripts.collections import --source demo
python -m scripts.collections list | show NAME | add NAME … | remove NAME ID… | delete NAME --yes
"""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any, get_args

from data import changing, glr21, importing, names, store
from data.archive import ZipSource
from data.base import PackedSource, Skipped, Source
from data.commands import delete as delete_command
from data.demo import DemoSource
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.sources import registry
from data.sources.distractors import DistractorSource
from indexing.artefacts import drop_held
from scripts import console

_KINDS = ("folder", "glr21", "zip", "demo", *registry.BENCHMARKS)
_LISTED = 100  # skipped files that an import prints; ``show`` prints all
_GLR21 = ("split", "landmarks", "min_photos", "max_photos", "seed", "queries")
_OPTIONS = {  # source -> its own options
    "glr21": _GLR21,
    **dict.fromkeys(registry.BENCHMARKS, ("photos",)),
    DistractorSource.kind: ("photos", "limit", "seed"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    args = _parser().parse_args(argv)
    run = {
        "import": _import,
        "add": _add,
        "list": _list,
        "show": _show,
        "remove": _remove,
        "delete": _delete,
    }[args.command]
    run(args)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.collections",
        description="Import, list, show, change and delete collections of photos.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser(
        "import",
        help="make a collection of photos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_benchmarks(),
    )
    _source_arguments(command)
    command.add_argument("--name", help="the collection's name (demo: its own)")
    command.add_argument("--title", help="words for people; the name where omitted")
    command.add_argument(
        "--exists",
        choices=get_args(importing.OnExists),
        help="with a collection of this name: refuse (default); add photos to it; refresh it, "
        "dropping photos of the same folder that are gone (demo: default); replace it",
    )

    command = commands.add_parser("add", help="add photos to a collection")
    command.add_argument("name", metavar="NAME")
    _source_arguments(command)

    command = commands.add_parser("list", help="list the collections")
    _json_argument(command)

    command = commands.add_parser("show", help="show a collection and what its import skipped")
    command.add_argument("name", metavar="NAME")
    _json_argument(command)

    command = commands.add_parser("remove", help="take photos out of a collection")
    command.add_argument("name", metavar="NAME")
    command.add_argument("ids", metavar="ID", nargs="+", help="of a photo or query")
    _json_argument(command)

    command = commands.add_parser(
        "delete", help="delete a collection with its vectors (never the photos it names)"
    )
    command.add_argument("name", metavar="NAME")
    command.add_argument("--yes", action="store_true", help="really")
    _json_argument(command)
    return parser


def _json_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _source_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--source", choices=_KINDS, required=True, help="what --path is")
    command.add_argument("--path", help="the folder or zip file (demo: the bundled one)")
    _json_argument(command)
    group = command.add_argument_group("only with --source glr21")
    group.add_argument("--split", choices=get_args(glr21.Split), help="default: index")
    group.add_argument("--landmarks", type=int, help="how many to draw; default: all")
    group.add_argument("--min-photos", type=int, help="of a landmark; default: 1")
    group.add_argument("--max-photos", type=int, help="draw so many of a landmark; default: all")
    group.add_argument("--seed", type=int, help="of the draws, of distractors too; default: 0")
    group.add_argument(
        "--queries", action=argparse.BooleanOptionalAction, help="default: with the split index"
    )
    group = command.add_argument_group("only with benchmarks")
    group.add_argument(
        "--no-photos",
        dest="photos",
        action="store_false",
        default=None,
        help="the list of photos alone, for imported descriptors (python -m scripts.descriptors)",
    )
    group.add_argument("--limit", type=int, help="draw so many distractors; default: all")


def _benchmarks() -> str:
    """Where to get each benchmark, for ``--help``."""
    lines = ["benchmarks, by --source; FOLDER is --path:"]
    for kind, source in registry.BENCHMARKS.items():
        lines += [
            "",
            *textwrap.wrap(
                f"{kind}: {source.title}. {source.how}",
                width=98,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            ),
        ]
    return "\n".join(lines)


def _source(args: argparse.Namespace) -> Source | PackedSource:
    every = dict.fromkeys(key for keys in _OPTIONS.values() for key in keys)
    given = {key: getattr(args, key) for key in every if getattr(args, key) is not None}
    foreign = [key for key in given if key not in _OPTIONS.get(args.source, ())]
    if foreign:
        flags = ", ".join(
            "--no-photos" if key == "photos" else f"--{key.replace('_', '-')}" for key in foreign
        )
        owners = [kind for kind, keys in _OPTIONS.items() if set(foreign) <= set(keys)]
        raise PlaygroundError(
            f"{flags} belong to --source {' or '.join(owners) or 'glr21'}, not to --source "
            f"{args.source}."
        )
    if args.source == "glr21":
        return glr21.Glr21Source(_path(args), **given)
    if args.source in registry.BENCHMARKS:
        return registry.BENCHMARKS[args.source](_path(args), **given)
    if args.source == "demo":
        return DemoSource(args.path)
    if args.source == "zip":
        return ZipSource(_path(args))
    return FolderSource(_path(args))


def _path(args: argparse.Namespace) -> str:
    if not args.path:
        raise PlaygroundError(
            f"--source {args.source} needs --path: the "
            f"{'zip file' if args.source == 'zip' else 'folder'} to import from."
        )
    return str(args.path)


def _import(args: argparse.Namespace) -> None:
    source = _source(args)
    name = args.name
    if name is None and isinstance(source, DemoSource):
        name = source.name()
    if name is None:
        raise PlaygroundError("--name is missing: how the collection is to be called.")
    exists: importing.OnExists = args.exists or ("refresh" if args.source == "demo" else "refuse")
    with console.Progress(quiet=args.json) as progress:
        report = importing.import_collection(
            name, source, title=args.title, progress=progress, on_exists=exists
        )
    _print_report(name, report, args.json)


def _add(args: argparse.Namespace) -> None:
    source = _source(args)
    with console.Progress(quiet=args.json) as progress:
        report = importing.add(args.name, source, progress=progress)
    _print_report(args.name, report, args.json)


def _print_report(name: str, report: importing.Report, as_json: bool) -> None:
    summary = store.summary(name)
    if as_json:
        counts = {key: summary[key] for key in ("photos", "queries", "landmarks", "fingerprint")}
        console.print_json({"collection": name, **dataclasses.asdict(report), **counts})
        return
    print(
        f"{name}: {report.added:,} added, {report.replaced:,} replaced, {report.unchanged:,} "
        f"unchanged, {len(report.skipped):,} skipped. It has {_contents(summary)} now."
    )
    for source in summary["sources"]:
        if "partial" in source:
            print(f"Partial: {_partial(source)}.")
    _print_skipped(report.skipped[:_LISTED])
    if len(report.skipped) > _LISTED:
        print(f"  and {len(report.skipped) - _LISTED:,} more; all: show {name}")
    if report.notes:
        print("Taken, with a note:")
    for note in report.notes[:_LISTED]:
        print(names.printable(f"  {note.file}: {note.reason}"))


def _partial(source: dict[str, Any]) -> str:
    missing, expected = source["partial"], source["expected"]
    return (
        f"{missing['photos_missing']:,} of {expected['photos']:,} photos and "
        f"{missing['queries_missing']:,} of {expected['queries']:,} queries are missing; results "
        f"are no benchmark's"
    )


def _print_skipped(skipped: Sequence[Skipped]) -> None:
    if skipped:
        print("Skipped:")
    for entry in skipped:
        print(names.printable(f"  {entry.file}: {entry.reason}"))


def _contents(summary: dict[str, Any]) -> str:
    return (
        f"{console.counted(summary['photos'], 'photo')} of "
        f"{console.counted(summary['landmarks'], 'landmark')} and "
        f"{console.counted(summary['queries'], 'query', 'queries')}"
    )


def _list(args: argparse.Namespace) -> None:
    found: list[dict[str, Any]] = []
    for name in store.list_collections():
        try:
            found.append(store.summary(name))
        except PlaygroundError as error:
            # A damaged collection must not hide the others.
            found.append({"name": name, "error": str(error)})
    left = changing.leftovers()
    if args.json:
        console.print_json({"collections": found, **({"leftovers": left} if left else {})})
        return
    for name in left:
        print(
            f"{name}: no collection; an import was stopped before it was done. Import it again "
            f"under this name, or delete what it left: {delete_command(name)}"
        )
    if not found:
        print(
            "There are no collections. Import the bundled one: "
            "python -m scripts.collections import --source demo"
        )
        return
    sound = [summary for summary in found if "error" not in summary]
    keys = ("name", "photos", "landmarks", "queries", "title")
    console.print_table(keys, [[summary[key] for key in keys] for summary in sound])
    for summary in found:
        if "error" in summary:
            print(names.printable_lines(f"{summary['name']}: damaged. {summary['error']}"))


def _show(args: argparse.Namespace) -> None:
    collection = store.load(args.name)
    summary = store.summary(args.name)
    skipped = store.skipped(args.name)
    if args.json:
        console.print_json(
            {
                **summary,
                "skipped": [dataclasses.asdict(entry) for entry in skipped],
                "photos": [dataclasses.asdict(photo) for photo in collection.photos],
                "queries": [dataclasses.asdict(query) for query in collection.queries],
            }
        )
        return
    print(names.printable(f"{collection.name}: {collection.title}"))
    print(f"  contents     {_contents(summary)}")
    for field in ("description", "licence", "author"):
        if summary[field]:
            print(f"  {field:<12} {names.printable(summary[field])}")
    for source in collection.sources:
        quiet = ("kind", "content", "expected", "listed", "partial")
        words = " ".join(f"{k}={v}" for k, v in source.items() if k not in quiet)
        print(names.printable(f"  source       {source['kind']} {words}".rstrip()))
        if "partial" in source:
            print(f"  partial      {_partial(source)}")
    print(names.printable(f"  folder       {collection.folder}"))
    print(f"  fingerprint  {collection.fingerprint}")
    if collection.labels:
        print()
        rows = [
            [label, len(collection.relevant(label)), names.printable(collection.titles[label])]
            for label in collection.labels
        ]
        console.print_table(("landmark", "photos", "title"), rows)
    _print_skipped(skipped)


def _remove(args: argparse.Namespace) -> None:
    removed = changing.remove(args.name, args.ids)
    summary = store.summary(args.name)
    if args.json:
        counts = {key: summary[key] for key in ("photos", "queries", "landmarks", "fingerprint")}
        console.print_json({"collection": args.name, "removed": removed, **counts})
        return
    print(f"{args.name}: {removed:,} removed. It has {_contents(summary)} now.")


def _delete(args: argparse.Namespace) -> None:
    there = store.exists(args.name) or args.name in changing.leftovers()
    if there and not args.yes:
        raise PlaygroundError(
            f"Nothing was deleted. To delete the collection {args.name} and its vectors: "
            f"python -m scripts.collections delete {args.name} --yes"
        )
    changing.delete(args.name, drop_held)
    if args.json:
        console.print_json({"collection": args.name, "deleted": True})
        return
    print(f"{args.name}: deleted, with its vectors. Photos that it only named are where they were.")


if __name__ == "__main__":
    console.run(main)
