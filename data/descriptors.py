"""Descriptors that were computed elsewhere: reading and checking the files of others.

A matrix is N x D (one row per photo) or D x N (one column per photo, as MATLAB code writes it),
in one of these files:

``.npy``      numpy, memory-mapped
``.parquet``  a text column of ids, and one column of lists or D columns of numbers
``.mat``      MATLAB up to v7; v7.3 is HDF5 and refused. The revisitop files hold X (D x N, the
              photos) and Q (D x nq, the queries)

Which photo a row belongs to is said by ids of the file itself (parquet), by a text file of ids,
or by the order of the benchmark's own list, which its collection remembers. Everything here is
streamed in blocks: memory does not grow with N.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data import matfile, names
from data.errors import PlaygroundError
from data.store import Collection

Floats = NDArray[np.float32]
Layout = Literal["auto", "rows", "columns"]
SUFFIXES = (".npy", ".parquet", ".mat")
BLOCK = 4096  # rows read at a time
MAX_DIM = 65_536
_SHOWN = 5
_NUMBERED = re.compile(r"(.*?)(\d{1,6})")
_UNIT = 1e-3  # norms closer to 1 than this count as unit already


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A matrix in a file, one row per photo whatever its layout there.

    ``ids`` is set where the file itself names its rows.
    """

    path: Path
    rows: int
    dim: int
    blocks: Callable[[], Iterator[NDArray[Any]]]  # (n, dim) each, raw, in order
    ids: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()  # columns of numbers that are no part of the vectors


@dataclasses.dataclass(frozen=True)
class Norms:
    """L2 norms as they were before normalising; rows of length 0 are refused."""

    least: float
    greatest: float

    @property
    def unit(self) -> bool:
        return abs(self.least - 1) < _UNIT and abs(self.greatest - 1) < _UNIT


@dataclasses.dataclass(frozen=True)
class Descriptors:
    """Read and checked: ``vectors`` (n, D) float32 with unit rows, in the order of ``ids``."""

    ids: tuple[str, ...]
    vectors: Floats
    norms: Norms


def open_matrix(
    path: Path | str,
    *,
    count: int | None = None,
    dim: int | None = None,
    layout: Layout = "auto",
    key: str | None = None,
) -> Matrix:
    """Open a file of descriptors; nothing but its header is read where the format allows it.

    Args:
        count: how many photos it describes, where known; decides which axis is which.
        dim: D, where known; decides likewise.
        layout: rows (N x D), columns (D x N), or auto.
        key: the variable of a .mat file, or the vector column of a .parquet file.

    Raises:
        PlaygroundError: no such file, another kind, damaged, or its shape does not say which axis
            counts the photos.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise PlaygroundError(
            f"There is no file {names.printable(str(path))}. Legal: a file ending in "
            f"{', '.join(SUFFIXES)}."
        )
    if path.suffix == ".npy":
        return _from_array(path, _open_npy(path), count, dim, layout)
    if path.suffix == ".mat":
        # Judged before it is read: a small file may name a huge array.
        shape, kind = _variable(path, key or "X")
        _judge(path, shape, kind, kind in matfile.REAL, count, dim, layout)
        return _from_array(path, _open_mat(path, key or "X"), count, dim, layout)
    if path.suffix == ".parquet":
        return _open_parquet(path, key)
    raise PlaygroundError(
        f"{names.printable(path.name)} is no file of descriptors that is read here. Legal: "
        f"{', '.join(SUFFIXES)}. Save others (.npz, .h5, .pkl, .pt) as .npy first."
    )


def shape_of(path: Path, key: str | None = None) -> tuple[int, ...]:
    """The shape of the array in a .npy or .mat file, from its header alone."""
    if path.suffix == ".mat":
        return _variable(path, key or "X")[0]
    return _open_npy(path).shape


def has_variable(path: Path | str, key: str) -> bool:
    """Whether a .mat file holds this variable; False for files of other kinds."""
    path = Path(path)
    return path.suffix == ".mat" and key in _mat_variables(path)


def fill(
    matrix: Matrix, into: NDArray[np.float32], positions: NDArray[np.int64], whose: Sequence[str]
) -> Norms:
    """Normalise a matrix block by block and write its rows where they belong.

    Args:
        into: (n, D) float32, such as a memory-mapped file.
        positions: (matrix.rows,) the row of ``into`` for each row; -1 leaves a row out.
        whose: the ids of ``into``'s rows, for the error.

    Raises:
        PlaygroundError: a row is not finite or has no direction, or the file ends early.
    """
    if len(positions) != matrix.rows or into.shape[1] != matrix.dim:
        raise ValueError(f"{len(positions)} positions for {matrix.rows} rows, into {into.shape}")
    least, greatest, done = np.inf, 0.0, 0
    zero: list[str] = []
    name = names.printable(matrix.path.name)
    for block in matrix.blocks():
        places = positions[done : done + len(block)]
        done += len(block)
        block = block[places >= 0]
        places = places[places >= 0]
        if not len(places):
            continue
        # In float64 and by its greatest number: squares of large ones overflow, those of small
        # ones vanish.
        block = block.astype(np.float64)
        greatest_of = np.abs(block).max(axis=1)
        bad = np.flatnonzero(~np.isfinite(greatest_of))
        if len(bad):
            raise PlaygroundError(
                f"The descriptor of {whose[int(places[bad[0]])]} in {name} is not finite (NaN or "
                f"infinite). Compute it again; nothing was changed."
            )
        zero += [whose[int(place)] for place in places[greatest_of == 0]]
        if zero:
            continue  # refused at the end, with all of them
        scaled = block / greatest_of[:, None]
        lengths = np.linalg.norm(scaled, axis=1)
        into[places] = (scaled / lengths[:, None]).astype(np.float32)
        norms = lengths * greatest_of
        least, greatest = min(least, norms.min()), max(greatest, norms.max())
    if done != matrix.rows:
        raise PlaygroundError(
            f"{names.printable(matrix.path.name)} has {done:,} rows, its header says "
            f"{matrix.rows:,}. It is cut short: get it again."
        )
    if zero and len(zero) == int((positions >= 0).sum()):
        raise PlaygroundError(
            f"All descriptors of {name} are zero. It is the wrong file or the wrong variable."
        )
    if zero:
        raise PlaygroundError(
            f"{len(zero):,} of {int((positions >= 0).sum()):,} descriptors of {name} have the "
            f"length 0, which points nowhere: {', '.join(zero[:_SHOWN])}"
            f"{' and others' if len(zero) > _SHOWN else ''}. Compute them again, or leave these "
            f"photos out of the collection; nothing was changed."
        )
    return Norms(float(least), float(greatest))


def read(
    path: Path | str,
    ids: Sequence[str],
    *,
    dim: int | None = None,
    layout: Layout = "auto",
    key: str | None = None,
) -> Descriptors:
    """Read a matrix whose rows belong to ``ids`` in this order (parquet: by its own ids).

    Raises:
        PlaygroundError: like ``open_matrix`` and ``fill``, and when ids and rows do not fit.
    """
    matrix = open_matrix(path, count=len(ids), dim=dim, layout=layout, key=key)
    positions = positions_by_id(matrix, ids, list(range(len(ids))))
    vectors = np.zeros((len(ids), matrix.dim), np.float32)
    norms = fill(matrix, vectors, positions, ids)
    return Descriptors(tuple(ids), vectors, norms)


def positions_by_id(
    matrix: Matrix, ids: Sequence[str], rows: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """For each row of a matrix its place in ``ids``; -1: of a photo that is not wanted.

    Args:
        rows: the matrix's row of each id; the matrix's own ids count before it.

    Raises:
        PlaygroundError: an id has no row.
    """
    positions = np.full(matrix.rows, -1, np.int64)
    if matrix.ids is not None:
        place = {one: i for i, one in enumerate(ids)}
        for row, one in enumerate(matrix.ids):
            positions[row] = place.get(one, -1)
        lost = set(place) - set(matrix.ids)
        if lost:
            raise PlaygroundError(
                f"{names.printable(matrix.path.name)} has no descriptor of {len(lost):,} of the "
                f"{len(ids):,} photos: {', '.join(sorted(lost)[:_SHOWN])}"
                f"{' and others' if len(lost) > _SHOWN else ''}."
            )
        return positions
    if rows is None or max(rows, default=-1) >= matrix.rows:
        wanted = len(ids) if rows is None else max(rows) + 1
        raise PlaygroundError(
            f"{names.printable(matrix.path.name)} has {matrix.rows:,} descriptors, and "
            f"{wanted:,} are needed. Is it of another data set? --ids FILE names its rows, one id "
            f"per line."
        )
    positions[np.asarray(rows, np.int64)] = np.arange(len(ids))
    return positions


def read_ids(path: Path | str) -> tuple[str, ...]:
    """Ids, one per line or as a JSON list of texts; folders and extensions may stand with them.

    Raises:
        PlaygroundError: it cannot be read, or names a photo twice.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise PlaygroundError(f"{path} is no text file of ids, one per line.") from None
    except OSError as error:
        raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
    if path.suffix == ".json":
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise PlaygroundError(f"{path} is no JSON list of ids.")
    else:
        listed = [line.strip() for line in text.splitlines() if line.strip()]
    ids = tuple(names.safe_id(one) for one in listed)
    if len(set(ids)) != len(ids):
        twice = next(one for one, times in Counter(ids).items() if times > 1)
        raise PlaygroundError(f"{path} names {twice} twice. Each photo has one descriptor.")
    return ids


@dataclasses.dataclass(frozen=True)
class ListOrder:
    """The photos (or queries) of a collection that come from one benchmark's list.

    ``rows[i]`` is the place of ``ids[i]`` in that list of ``count`` entries.
    """

    list: str
    ids: tuple[str, ...]
    rows: tuple[int, ...]
    count: int


def list_orders(collection: Collection, *, queries: bool = False) -> dict[str, ListOrder]:
    """The lists that a collection's photos (or queries) come from, by name.

    Photos of other sources are in none of them.
    """
    members: dict[str, list[tuple[str, int]]] = {}
    for photo in collection.queries if queries else collection.photos:
        name, row = photo.extra.get("list"), photo.extra.get("row")
        if isinstance(name, str) and isinstance(row, int) and row >= 0:
            members.setdefault(name, []).append((photo.id, row))
    orders = {}
    for name, found in members.items():
        count = max(row for _, row in found) + 1
        for source in collection.sources:
            if source.get("kind") == name and "expected" in source:
                whole = int(source["expected"]["queries" if queries else "photos"])
                count = max(count, whole, int(source.get("listed", 0)))
        orders[name] = ListOrder(
            name, tuple(one for one, _ in found), tuple(row for _, row in found), count
        )
    return orders


def own_photos(collection: Collection) -> dict[str, str]:
    """Queries without a box that are photos of the collection: query id to photo id.

    Their descriptors are those of the photos (Holidays, UKBench).
    """
    ids = set(collection.ids)
    return {
        query.id: str(query.extra["photo"])
        for query in collection.queries
        if query.box is None and query.extra.get("photo") in ids
    }


# -- files -----------------------------------------------------------------------------------------


def _open_npy(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy's parsers of a header raise anything for a damaged one
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise PlaygroundError(
            f"{names.printable(path.name)} is no .npy file of numbers ({reason})."
        ) from error
    if not isinstance(array, np.ndarray):
        raise PlaygroundError(
            f"{names.printable(path.name)} is an archive. Save one array as .npy."
        )
    return array


def _mat_variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name to shape and kind of number."""
    name = names.printable(path.name)
    try:
        with open(path, "rb"):
            pass
        return matfile.variables(path)
    except OSError as error:
        raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
    except matfile.V73Error:
        raise PlaygroundError(
            f"{name} is a MATLAB v7.3 file (HDF5), which is not read here. In MATLAB: "
            f"save('FILE.mat', 'X', 'Q', '-v7'); or convert it to .npy."
        ) from None
    except (matfile.MatError, MemoryError) as error:
        raise PlaygroundError(
            f"{name} is no MATLAB file ({str(error) or 'its list takes too much memory'})."
        ) from error


def _variable(path: Path, key: str) -> tuple[tuple[int, ...], str]:
    variables = _mat_variables(path)
    if key not in variables:
        listed = ", ".join(f"{one} {shape}" for one, (shape, _) in variables.items()) or "(none)"
        raise PlaygroundError(
            f"{names.printable(path.name)} has no variable {key}. It has: "
            f"{names.printable(listed)}. Name one with --key."
        )
    return variables[key]


def _open_mat(path: Path, key: str) -> NDArray[Any]:
    try:
        return matfile.read(path, key)
    except MemoryError:
        raise PlaygroundError(
            f"{names.printable(path.name)} does not fit into memory. Convert it to .npy, which is "
            f"read in parts."
        ) from None
    except matfile.MatError as error:
        raise PlaygroundError(
            f"{names.printable(path.name)} is a damaged MATLAB file ({error})."
        ) from error


def _from_array(
    path: Path, array: NDArray[Any], count: int | None, dim: int | None, layout: Layout
) -> Matrix:
    real = array.dtype.kind in "fiu"
    columns, rows, depth = _judge(path, array.shape, str(array.dtype), real, count, dim, layout)

    def blocks() -> Iterator[NDArray[Any]]:
        for start in range(0, rows, BLOCK):
            part = array[:, start : start + BLOCK].T if columns else array[start : start + BLOCK]
            yield np.ascontiguousarray(part, _kept_as(array.dtype))

    return Matrix(path, rows, depth, blocks)


def _judge(
    path: Path,
    shape: tuple[int, ...],
    kind: str,
    real: bool,
    count: int | None,
    dim: int | None,
    layout: Layout,
) -> tuple[bool, int, int]:
    """Whether photos are columns, how many there are, and D; refuses what is no such matrix.

    Args:
        kind: of its numbers, as NumPy or MATLAB calls it.
        real: whether those are real numbers.
    """
    name = names.printable(path.name)
    if len(shape) != 2 or not real or 0 in shape:
        raise PlaygroundError(
            f"{name} holds {kind} of shape {shape}. Needed: a matrix of real numbers, N x "
            f"D or D x N."
        )
    columns = layout == "columns" or (
        layout == "auto" and _photos_are_columns(name, shape, count, dim)
    )
    rows, depth = shape[::-1] if columns else shape
    if dim is not None and depth != dim:
        raise PlaygroundError(f"The descriptors of {name} have {depth} numbers, needed are {dim}.")
    if depth > MAX_DIM:
        raise PlaygroundError(
            f"{name} would have {rows:,} descriptors of {depth:,} numbers; the limit is "
            f"{MAX_DIM:,}. Say which axis counts the photos: --layout rows or --layout columns."
        )
    return columns, rows, depth


def _kept_as(dtype: Any) -> type[np.floating[Any]]:
    """float32, but float64 for what it cannot hold: very small and very large numbers."""
    return np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64


def _photos_are_columns(
    name: str, shape: tuple[int, ...], count: int | None, dim: int | None
) -> bool:
    """Which axis counts the photos, by what is known; refuses to guess."""
    first = (count is None or shape[0] == count) and (dim is None or shape[1] == dim)
    second = (count is None or shape[1] == count) and (dim is None or shape[0] == dim)
    if first != second:
        return second
    known = " and ".join(
        text
        for text in (
            f"{count:,} photos" if count is not None else "",
            f"{dim:,} numbers each" if dim is not None else "",
        )
        if text
    )
    if not first:
        raise PlaygroundError(
            f"{name} is {shape[0]:,} x {shape[1]:,}; expected are {known}. Is it of another data "
            f"set? --ids FILE names its rows, one id per line."
        )
    raise PlaygroundError(
        f"{name} is {shape[0]:,} x {shape[1]:,}, which does not say whether photos are rows or "
        f"columns. Say it: --layout rows or --layout columns."
    )


def _open_parquet(path: Path, key: str | None) -> Matrix:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = names.printable(path.name)
    try:
        file = pq.ParquetFile(path)
        schema, rows = file.schema_arrow, file.metadata.num_rows
        shown = ", ".join(f"{f.name} {f.type}" for f in schema)[:300]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise PlaygroundError(f"{name} is no Parquet file ({type(error).__name__}).") from error
    texts = [
        f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    ]
    lists = [f.name for f in schema if _is_list_of_numbers(f.type)]
    index = _pandas_index(schema)
    numbers = {
        f.name: bool(pa.types.is_integer(f.type))
        for f in schema
        if _is_number(f.type) and f.name not in index
    }
    id_column = "id" if "id" in texts else (texts[0] if len(texts) == 1 else None)
    if key is not None:
        wanted = [key] if key in lists else []
    else:
        wanted = lists[:1] if len(lists) == 1 else ([] if lists else _dimensions(name, numbers))
    if id_column is None or not wanted or not rows:
        raise PlaygroundError(
            f"{name} has {rows:,} rows of the columns {names.printable(shown) or '(none)'}. "
            f"Needed: a text column id, and one column of lists of numbers (named by --key where "
            f"there are several) or a column of numbers per dimension."
        )
    is_list = wanted[0] in lists

    def read_blocks(columns: list[str]) -> Iterator[Any]:
        try:
            for batch in file.iter_batches(batch_size=BLOCK, columns=columns):
                batch.validate(full=True)  # texts and offsets are taken as they come otherwise
                yield batch
        except (pa.ArrowException, OSError) as error:
            raise PlaygroundError(f"{name} is damaged ({type(error).__name__}).") from error

    def matrix_of(batch: Any) -> NDArray[Any]:
        if any(batch.column(column).null_count for column in wanted):
            raise PlaygroundError(f"{name} has rows without a descriptor. Remove them.")
        if not is_list:
            parts = [batch.column(c).to_numpy(zero_copy_only=False) for c in wanted]
            return np.stack([part.astype(_kept_as(part.dtype)) for part in parts], axis=1)
        column = batch.column(wanted[0])
        flat = column.flatten()
        if not len(column) or flat.null_count or len(flat) % len(column):
            raise PlaygroundError(f"{name} has descriptors of different lengths.")
        if not pa.types.is_fixed_size_list(column.type):
            lengths = column.value_lengths()
            if len(set(lengths.to_pylist())) != 1:
                raise PlaygroundError(f"{name} has descriptors of different lengths.")
        values = flat.to_numpy(zero_copy_only=False)
        return values.astype(_kept_as(values.dtype)).reshape(len(column), -1)

    def blocks() -> Iterator[NDArray[Any]]:
        for batch in read_blocks(wanted):
            block = matrix_of(batch)
            if block.shape[1] != dim:
                raise PlaygroundError(f"{name} has descriptors of different lengths.")
            yield block

    ids: list[str] = []
    for batch in read_blocks([id_column]):
        ids += [names.safe_id(str(one)) for one in batch.column(id_column).to_pylist()]
    if len(set(ids)) != len(ids):
        raise PlaygroundError(f"{name} names a photo twice. Each photo has one descriptor.")
    first = next(read_blocks(wanted), None)
    if first is None or len(ids) != rows:
        raise PlaygroundError(f"{name} is damaged: it has {len(ids):,} of {rows:,} rows.")
    dim = matrix_of(first).shape[1]
    if not 1 <= dim <= MAX_DIM:
        raise PlaygroundError(
            f"{name} has descriptors of {dim:,} numbers. Legal: 1 to {MAX_DIM:,}."
        )
    rows_of_pandas = {f.name for f in schema if _is_number(f.type)} & index
    return Matrix(
        path, rows, dim, blocks, tuple(ids), () if is_list else tuple(sorted(rows_of_pandas))
    )


def _pandas_index(schema: Any) -> set[str]:
    """The columns in which pandas has stored a table's row numbers or names."""
    found = {name for name in schema.names if re.fullmatch(r"__index_level_\d+__", name)}
    try:
        told = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        found |= {one for one in told.get("index_columns", ()) if isinstance(one, str)}
    except (ValueError, AttributeError, TypeError):
        pass  # only more than the names say
    return found & set(schema.names)


def _dimensions(name: str, numbers: dict[str, bool]) -> list[str]:
    """The columns of a vector's numbers, in their order: x0, x1, …, or 0, 1, ….

    Refused where a column is none of them: a landmark's number in a vector would give it away.

    Args:
        numbers: the columns, and whether they hold whole numbers.
    """
    if len(numbers) < 2:
        return list(numbers)
    series: dict[str, dict[int, str]] = {}
    for column in numbers:
        found = _NUMBERED.fullmatch(column)
        stem, number = (found[1], int(found[2])) if found else (column, -1)
        series.setdefault(stem, {})[number] = column
    stem, largest = max(series.items(), key=lambda one: len(one[1]))
    order = sorted(largest)
    alike = len({numbers[column] for column in largest.values()}) == 1
    gaps = order[0] not in (0, 1) or order[-1] - order[0] >= len(order)
    if len(largest) == len(numbers) and alike and not gaps:
        return [largest[number] for number in order]
    others = [column for column in numbers if column not in largest.values()]
    if not others and not alike:
        others = [column for column in largest.values() if numbers[column]]
    others = others or list(numbers)
    raise PlaygroundError(
        f"{name} has {len(numbers):,} columns of numbers, and it is not clear which make up the "
        f"vectors: {names.printable(', '.join(others[:_SHOWN]))}"
        f"{' and others' if len(others) > _SHOWN else ''}. Legal: columns numbered without gaps, "
        f"such as x0, x1, …, and no other columns of numbers. Remove the others (labels, sizes), "
        f"or put each vector into one column of lists."
    )


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_list_of_numbers(kind: Any) -> bool:
    import pyarrow as pa

    forms = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(one(kind) for one in forms) and _is_number(kind.value_type)
