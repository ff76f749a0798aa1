"""Everything that is built for a collection, verified by content; what is damaged is made again.

A build verifies what it was asked for. This looks at all that is there, and at the photos.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from data import artefact, store
from data.errors import Conflict, PlaygroundError
from extractors import registry as extractor_registry
from indexing.artefacts import (
    build_command,
    built_extractors,
    built_indexes,
    extractor_folder,
    index_damage,
    read_vectors_manifest,
    recorded_source,
    vectors_manifest,
)
from indexing.base import Unreachable
from indexing.build import Failure, Incomplete, Outcome, build
from indexing.progress import Progress


@dataclasses.dataclass(frozen=True)
class Finding:
    """An artefact, or a photo. ``wrong`` says what is damaged and what helps; empty: nothing.

    ``away``: it could not be compared, as the server that holds it does not answer.
    """

    extractor: str  # empty for a photo
    index: str | None
    wrong: str = ""
    photo: str = ""
    away: bool = False


def check(collection: str, extractors: Sequence[str] | None = None) -> list[Finding]:
    """Verify the photos, then the descriptors and all indexes of the extractors.

    Args:
        extractors: specs; None: all that are there.
    """
    found = photos(collection)
    specs = built_extractors(collection)
    wanted = None if extractors is None else set(map(extractor_registry.canonical, extractors))
    for spec in specs:
        if wanted is None or spec in wanted:
            found.append(Finding(spec, None, _wrong(collection, spec, None)))
            for index in built_indexes(collection, spec) if _known(spec) else []:
                try:
                    found.append(Finding(spec, index, _wrong(collection, spec, index)))
                except Unreachable as error:
                    found.append(Finding(spec, index, str(error), away=True))
    return found


def photos(collection: str) -> list[Finding]:
    """The photos whose files are missing or other ones than were imported."""
    members = store.load(collection)
    said = ((one.id, members.changed(one, thorough=True)) for one in members.photos)
    return [Finding("", None, words, photo) for photo, words in said if words]


def mend(
    collection: str, found: Sequence[Finding], progress: Progress | None = None
) -> list[Outcome]:
    """Build what is damaged again, and nothing else.

    Raises:
        Incomplete: something cannot be made again, a changed photo for example.
    """
    outcomes: list[Outcome] = []
    failures: list[Failure] = []
    damaged = [one for one in found if one.wrong and not one.photo and not one.away]
    for spec in dict.fromkeys(one.extractor for one in damaged):
        # Indexes over descriptors that come out differently have to follow.
        own = [one for one in damaged if one.extractor == spec]
        anew = any(one.index is None for one in own)
        try:
            if not _known(spec):
                raise Conflict(own[0].wrong)
            indexes = built_indexes(collection, spec) if anew else [str(one.index) for one in own]
            manifest = read_vectors_manifest(collection, spec) or {"identity": {"weights": {}}}
            source = recorded_source(str(manifest["identity"]["weights"].get("source", "")))
            made = build(collection, [spec], indexes, weights=source or "auto", progress=progress)
            outcomes += [one for one in made if one.action != "unchanged"]
        except Incomplete as error:
            outcomes += [one for one in error.outcomes if one.action != "unchanged"]
            failures += error.failures
        except PlaygroundError as error:
            failures.append(Failure(spec, None, error))
    for one in found:
        if one.away:
            failures.append(Failure(one.extractor, one.index, Unreachable(one.wrong)))
        if one.photo:
            failures.append(Failure(f"photo {one.photo}", None, Conflict(one.wrong)))
    if failures:
        raise Incomplete(outcomes, failures)
    return outcomes


def _known(spec: str) -> bool:
    try:
        return bool(extractor_registry.canonical(spec))
    except PlaygroundError:
        return False


def _wrong(collection: str, spec: str, index: str | None) -> str:
    """A sentence on what is damaged in an artefact; empty where nothing is.

    Raises:
        Unreachable: a server that holds it does not answer.
    """
    damage: PlaygroundError | None
    try:
        if index is None:
            folder, mend = extractor_folder(collection, spec), build_command(collection, spec)
            manifest = vectors_manifest(collection, spec)
            damage = artefact.damage(folder, manifest, mend) if manifest is not None else None
        else:
            damage = index_damage(collection, spec, index)
    except Unreachable:
        raise
    except PlaygroundError as error:
        damage = error
    return str(damage or "")
