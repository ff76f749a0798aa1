"""The REST API: ``make api``, ``python api.py`` or ``uvicorn api:app``; see docs/api.md.

FastAPI over the engine and artefacts that the pages use, in a process of its own. What is written
to standard error of it is for its operator; every answer that is no success is a problem by
RFC 9457 with the sentence, and the command that helps, of the playground's own errors.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

try:
    import prometheus_client
    import uvicorn
    from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
    from fastapi import Query as Parameter
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from fastapi.security import HTTPBearer
    from fastapi_offline import FastAPIOffline
    from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, Json
    from pydantic.json_schema import SkipJsonSchema
    from starlette.exceptions import HTTPException as HttpError
except ImportError as missing:
    raise SystemExit(
        f"error: The API needs packages that are not installed ({missing.name}). Run: "
        f"python -m pip install -r requirements-api.txt"
    ) from missing

import numpy as np

from data import changing, importing, store
from data.errors import Invalid, PlaygroundError
from data.names import printable
from data.upload import UploadSource
from extractors import registry as extractor_registry
from indexing import jobs
from indexing import registry as index_registry
from retrieval import answer, serving
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from retrieval.serving import Settings

log = logging.getLogger("playground")

VERSION = "1"
PORT = 8502
MAX_RECIPES = 16
MAX_BATCH = 32  # photos in one request
MAX_SIDE = 4096  # px, of a thumbnail
CONNECTIONS = 128  # at a time: each may hold a body on the disk


class Service:
    """What all requests share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = SearchEngine(max_k=settings.max_k)
        self.workers = serving.Workers(settings.running, settings.waiting, settings.seconds)
        self.metrics = serving.Metrics(self.workers)

    def query(
        self,
        collection: str,
        photo: UploadFile | str,
        box: str | None = None,
        exclude: Sequence[str] = (),
        **marks: Any,
    ) -> tuple[Query, list[str]]:
        """An upload, or a photo of the collection by its id; and what its results leave out."""
        where = answer.box_of(box) if box else None
        if isinstance(photo, str):
            members = self.engine.collection(collection)
            return answer.query_in(members, photo, where, exclude, **marks)
        content = photo.file.read()
        query = answer.query_of(content, where, max_pixels=self.settings.max_pixels, **marks)
        return query, list(exclude)

    def search(
        self, collection: str, recipes: Sequence[Recipe], query: Query, k: int, exclude: list[str]
    ) -> list[dict[str, Any]]:
        """What each recipe answers; the query is described once per extractor."""
        results = [
            self.engine.search(collection, recipe, query, k, exclude=exclude) for recipe in recipes
        ]
        self.metrics.searched(results)
        return [result.to_json() for result in results]


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def _writable(request: Request) -> Service:
    service = _service(request)
    if not service.settings.writable:
        raise HTTPException(
            403, "This API only reads. To add and remove photos and to build, start it --writable."
        )
    return service


Here = Annotated[Service, Depends(_service)]
Writable = Annotated[Service, Depends(_writable)]


# -- what comes in and goes out, for /docs ----------------------------------------------------


class RecipeIn(BaseModel):
    """What is compared: an extractor, an index and a chain of re-rankers, as they are typed."""

    model_config = ConfigDict(extra="forbid")
    extractor: str = Field(examples=["gem-siamese", "resnet50:pooling=gem"])
    index: str = Field("flat", examples=["flat", "ivf:nprobe=8"])
    rerank: str | None = Field(
        None, description="none: not even what is usual after the extractor", examples=["aqe:k=5"]
    )

    def recipe(self) -> Recipe:
        return Recipe.of(self.extractor, self.index, self.rerank)


class VectorSearch(BaseModel):
    """Descriptors that were made elsewhere, or by /v1/describe."""

    model_config = ConfigDict(extra="forbid")
    collection: str = "demo"
    extractor: str
    index: str = "flat"
    vectors: list[list[FiniteFloat]] = Field(
        description="(1, D), or (n, D) of local features", min_length=1, max_length=4096
    )
    k: int = Field(10, ge=1)
    exclude: list[str] = []


class Build(BaseModel):
    """Descriptors and indexes to build; what is up to date is left as it is."""

    model_config = ConfigDict(extra="forbid")
    collection: str
    extractors: list[str] = Field(min_length=1, max_length=MAX_RECIPES)
    indexes: list[str] = Field(["flat"], min_length=1, max_length=MAX_RECIPES)
    force: bool = False


class Batch(BaseModel):
    photos: list[answer.Searched | dict[str, Any]] = Field(description="or a problem, with photo")


class Problem(BaseModel):
    """RFC 9457; ``detail`` is a sentence for people, ``command`` what helps on the server."""

    type: str
    title: str
    status: int
    detail: str
    command: str | None = None


Recipes = Annotated[
    Json[list[RecipeIn]],
    Form(description='A JSON list: [{"extractor": "resnet50", "index": "ivf", "rerank": "aqe"}]'),
]
Photo = Annotated[UploadFile | SkipJsonSchema[None], File(description="A photo; or give photo_id")]
PhotoId = Annotated[
    str | SkipJsonSchema[None], Form(description="of a photo or query of the collection")
]
Box = Annotated[
    str | SkipJsonSchema[None], Form(description="X0,Y0,X1,Y1 in px of the upright photo")
]
Ids = Annotated[str, Form(description="ids between commas")]
Name = Annotated[str, Form()]
K = Annotated[int, Form(ge=1)]

_KINDS = {
    400: "The body cannot be read",
    401: "The token is missing or wrong",
    403: "Not from here, or not writable",
    404: "There is nothing of that name, or it is not built",
    408: "The rest of the body did not come",
    409: "What is there stands against it",
    413: "The body or the photo is too large",
    415: "No photo of a known format",
    422: "An illegal value",
    429: "The queue is full; see Retry-After",
    503: "It took too long; see Retry-After",
}
_CONTENT = {serving.PROBLEM: {"schema": Problem.model_json_schema()}}
open_to_all = APIRouter(prefix="/v1")
# serving.Front looks at the token; HTTPBearer tells the documentation that there is one.
router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(HTTPBearer(auto_error=False))],
    responses={
        status: {"description": words, "content": _CONTENT} for status, words in _KINDS.items()
    },
)


def _split(ids: str) -> list[str]:
    return [one.strip() for one in ids.split(",") if one.strip()]


def _checked(recipes: Sequence[RecipeIn]) -> list[Recipe]:
    if not 1 <= len(recipes) <= MAX_RECIPES:
        raise Invalid(f"{len(recipes)} recipes are not possible. Legal: 1 to {MAX_RECIPES}.")
    return [one.recipe() for one in recipes]


def _one(photo: UploadFile | None, photo_id: str | None) -> UploadFile | str:
    given = photo or photo_id
    if not given or (photo and photo_id):
        raise Invalid("Give either photo, a file, or photo_id, one of the collection.")
    return given


def _name(given: UploadFile | str) -> str | None:
    return given if isinstance(given, str) else given.filename


# -- what is there ----------------------------------------------------------------------------


@open_to_all.get("/health", tags=["what is there"])
async def health() -> dict[str, str]:
    """Whether it answers; needs no token."""
    return {"status": "ok", "version": VERSION}


@router.get("/collections", tags=["what is there"], response_model=answer.Catalogue)
def collections() -> Any:
    return JSONResponse({"items": [answer.summary(name) for name in store.list_collections()]})


@router.get("/collections/{name}", tags=["what is there"], response_model=dict[str, Any])
def collection(
    name: str,
    offset: Annotated[int, Parameter(ge=0)] = 0,
    limit: Annotated[int, Parameter(ge=0, le=1000)] = 100,
) -> Any:
    """A collection, what is built for it, and a part of its photos."""
    return JSONResponse(answer.collection(name, offset, limit))


@router.get("/photos/{collection}/{photo_id}", tags=["what is there"], response_class=Response)
def photo(
    here: Here,
    collection: str,
    photo_id: str,
    size: Annotated[int | None, Parameter(ge=16, le=MAX_SIDE, description="px")] = None,
) -> Response:
    """The photo's own file; with ``size`` a JPEG of at most so many px on the longer side."""
    content, media = answer.picture(here.engine.collection(collection), photo_id, size)
    return Response(content, media_type=media)


@router.get("/extractors", tags=["what is there"], response_model=answer.Catalogue)
def extractors() -> Any:
    return JSONResponse(answer.catalogue("extractors"))


@router.get("/indexes", tags=["what is there"], response_model=answer.Catalogue)
def indexes() -> Any:
    return JSONResponse(answer.catalogue("indexes"))


@router.get("/rerankers", tags=["what is there"], response_model=answer.Catalogue)
def rerankers() -> Any:
    return JSONResponse(answer.catalogue("rerankers"))


@router.get("/metrics", tags=["what is there"], response_class=Response)
def metrics(here: Here) -> Response:
    """Requests, errors, seconds per stage and the queue, as Prometheus reads them."""
    text = prometheus_client.generate_latest(here.metrics.registry)
    return Response(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)


# -- searching --------------------------------------------------------------------------------


@router.post("/search", tags=["search"], response_model=answer.Searched)
async def search(
    here: Here,
    recipes: Recipes,
    photo: Photo = None,
    photo_id: PhotoId = None,
    collection: Name = "demo",
    box: Box = None,
    k: K = 10,
    exclude: Ids = "",
    right: Ids = "",
    wrong: Ids = "",
) -> Any:
    """Search with a photo, or a region of it, by several recipes; it is described once.

    A photo of the collection is left out of its own results.
    """
    given = _one(photo, photo_id)
    chosen = _checked(recipes)
    marks = {"right": _split(right), "wrong": _split(wrong)}

    def work() -> dict[str, Any]:
        query, left_out = here.query(collection, given, box, _split(exclude), **marks)
        results = here.search(collection, chosen, query, k, left_out)
        return {"photo": _name(given), "excluded": left_out, "results": results}

    return JSONResponse(await here.workers.run(work))


@router.post("/search/batch", tags=["search"], response_model=Batch)
async def search_batch(
    here: Here,
    recipes: Recipes,
    photos: Annotated[list[UploadFile], File()] = [],  # noqa: B006 (FastAPI copies it)
    photo_ids: Ids = "",
    collection: Name = "demo",
    k: K = 10,
) -> Any:
    """``/v1/search`` for several photos; one that cannot be searched is a problem in its place."""
    chosen, ids = _checked(recipes), _split(photo_ids)
    if not 1 <= len(photos) + len(ids) <= MAX_BATCH:
        raise Invalid(f"{len(photos) + len(ids)} photos at a time. Legal: 1 to {MAX_BATCH}.")

    def one(given: UploadFile | str) -> dict[str, Any]:
        try:
            query, out = here.query(collection, given)
            results = here.search(collection, chosen, query, k, out)
        except PlaygroundError as error:
            return {"photo": _name(given)} | _problem_of(error)
        return {"photo": _name(given), "excluded": out, "results": results}

    asked: list[UploadFile | str] = [*photos, *ids]
    return JSONResponse(await here.workers.run(lambda: {"photos": [*map(one, asked)]}))


@router.post("/describe", tags=["search"], response_model=answer.Described)
async def describe(
    here: Here,
    extractor: Name,
    photo: Photo = None,
    photo_id: PhotoId = None,
    collection: Name = "demo",
    box: Box = None,
) -> Any:
    """A photo's descriptors as this collection's extractor makes them: what was learned counts."""
    given = _one(photo, photo_id)

    def work() -> answer.Described:
        query, _ = here.query(collection, given, box)
        return answer.description(here.engine, collection, extractor, query)

    return JSONResponse(await here.workers.run(work))


@router.post("/search/vector", tags=["search"], response_model=answer.Answer)
async def search_vector(here: Here, asked: VectorSearch) -> Any:
    """Search with descriptors; without re-ranking, which looks at photos."""

    def work() -> dict[str, Any]:
        try:
            with np.errstate(over="ignore"):  # what is too large is told of as infinite
                vectors = np.array(asked.vectors, np.float32)
        except ValueError:
            raise Invalid("The vectors have different lengths. Legal: (n, D) numbers.") from None
        result = here.engine.search_vectors(
            asked.collection, asked.extractor, asked.index, vectors, asked.k, exclude=asked.exclude
        )
        here.metrics.stages.labels("search").observe(result.timings_ms["search"] / 1e3)
        return result.to_json()

    return JSONResponse(await here.workers.run(work))


# -- changing ---------------------------------------------------------------------------------


@router.post(
    "/collections/{name}/photos", tags=["change"], response_model=dict[str, Any], status_code=201
)
async def add_photos(
    here: Writable,
    name: str,
    photos: Annotated[list[UploadFile], File(min_length=1, max_length=MAX_BATCH)],
    label: Annotated[str | None, Form(description="the landmark")] = None,
) -> Any:
    """Add photos; ids come from the file names, and one that is there already is replaced."""

    def work() -> dict[str, Any]:
        files = [(one.filename or "photo", one.file.read()) for one in photos]
        report = importing.add(name, UploadSource(files, label))
        if len(report.skipped) == len(files):
            reasons = "; ".join(f"{one.file}: {one.reason}" for one in report.skipped[:3])
            raise Invalid(f"None of the {len(files)} photos was taken. {reasons}")
        return {"collection": name, **dataclasses.asdict(report), **answer.counts(name)}

    return JSONResponse(await here.workers.run(work), status_code=201)


@router.delete(
    "/collections/{name}/photos/{photo_id}", tags=["change"], response_model=dict[str, Any]
)
async def remove_photo(here: Writable, name: str, photo_id: str) -> Any:
    """Take a photo out of a collection; a file that the collection only names stays."""

    def work() -> dict[str, Any]:
        store.load(name).photo(photo_id)
        removed = changing.remove(name, [photo_id])
        return {"collection": name, "removed": removed, **answer.counts(name)}

    return JSONResponse(await here.workers.run(work))


@router.post("/builds", tags=["change"], response_model=answer.BuildState, status_code=202)
def start_build(here: Writable, wanted: Build) -> Any:
    """Start a build in a process of its own; Location says where it tells how far it is."""
    store.summary(wanted.collection)
    for extractor in wanted.extractors:
        extractor_registry.create(extractor)
    for index in wanted.indexes:
        index_registry.parse_index_spec(index)
    started = jobs.start_build(
        wanted.collection, wanted.extractors, wanted.indexes, force=wanted.force
    )
    place = {"Location": f"/v1/builds/{started.id}"}
    return JSONResponse(answer.job(started), status_code=202, headers=place)


@router.get("/builds/{build_id}", tags=["change"], response_model=answer.BuildState)
def build_state(build_id: str) -> Any:
    return JSONResponse(answer.job(jobs.job(build_id)))


# -- problems, the app, the server ------------------------------------------------------------


ERRORS = (PlaygroundError, HttpError, RequestValidationError, Exception)


def _problem_of(error: PlaygroundError) -> dict[str, Any]:
    return serving.problem(serving.status_of(error), str(error), command=error.command)


def _answer_problem(request: Request, error: Exception) -> Response:
    """Any error as problem details."""
    if isinstance(error, HttpError) and isinstance(error.__cause__, PlaygroundError):
        error = error.__cause__  # while the body was read
    headers: Any = None
    if isinstance(error, PlaygroundError):
        body = _problem_of(error)
        if isinstance(error, serving.Busy):
            headers = {"Retry-After": str(error.retry_after)}
    elif isinstance(error, RequestValidationError):
        faults = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()[:20]]
        words = "; ".join(f"{where}: {what}" for where, what in faults[:5])
        body = serving.problem(422, f"{words}. What is legal: /docs.", faults=faults)
    elif isinstance(error, HttpError):
        status, words, headers = error.status_code, str(error.detail), error.headers
        if words in ("Not Found", "Method Not Allowed"):
            where = f"{request.method} {printable(request.url.path[:200])}"
            words = f"There is no {where}. What there is: /docs."
        elif status == 400:
            words = "The body is not of its Content-Type. What is legal: /docs."
        body = serving.problem(status, words)
    else:
        log.error("a defect of ours at %s", printable(request.url.path))
        kind = type(error).__name__
        words = f"A defect of ours ({kind}). The terminal that runs the API shows the details."
        body = serving.problem(500, words)
    _service(request).metrics.errors.labels(type(error).__name__).inc()
    return JSONResponse(body, body["status"], headers, media_type=serving.PROBLEM)


def create(settings: Settings | None = None) -> FastAPI:
    """The API as an ASGI app."""
    settings = settings or Settings.of_environment()
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.workers.close()

    made = FastAPIOffline(
        redoc_url=None,
        title="Landmark Retrieval Playground",
        version=VERSION,
        description="Search collections of landmark photos. Everything else: docs/api.md.",
        lifespan=lifespan,
        exception_handlers=dict.fromkeys(ERRORS, _answer_problem),
    )
    made.state.service = service
    made.include_router(open_to_all)
    made.include_router(router)
    made.add_middleware(
        serving.Front,  # type: ignore[arg-type]
        token=settings.token,
        max_body=settings.max_body,
        answered=service.metrics.answered,
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python api.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument(
        "--token", help="that requests must bring; better in PLAYGROUND_API_TOKEN, which ps hides"
    )
    parser.add_argument("--writable", action="store_true", help="photos change, builds start")
    given = parser.parse_args(argv)
    try:
        settings = Settings.of_environment()
        token = serving.check_token(given.token or settings.token, given.host)
    except PlaygroundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    writable = given.writable or settings.writable
    made = create(dataclasses.replace(settings, token=token, writable=writable))
    print(f"http://{given.host}:{given.port}/docs", flush=True)
    uvicorn.run(
        made,
        host=given.host,
        port=given.port,
        log_level="info",
        access_log=False,
        limit_concurrency=CONNECTIONS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
try:
    app = create()
except PlaygroundError as error:
    raise SystemExit(f"error: {error}") from error
