"""The base view: a token by default, typed input, and the shapes of the answers.

    @blueprint.route("/websites/{website_id}", name="website")
    class WebsiteView(Resource):
        tag = "Websites"

        @operation(answer=One(WebsiteOut))
        async def get(self, request: Request, website_id: str) -> Response:
            "One website."
            website = await self.website(request, website_id)
            ...
            return self.one(WebsiteOut(...))

What `operation` says is what the OpenAPI document tells and what the base view holds the caller to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeVar, get_args, get_origin

import faust
import orjson
from aiohttp.web import Request, RequestKey, Response
from faust.web.exceptions import MethodNotAllowed as FaustMethodNotAllowed
from faust.web.exceptions import WebError
from pydantic import BaseModel, ValidationError

from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import AnalyticsError, FaultyField, Forbidden, Invalid, MethodNotAllowed, NotFound
from analytics_app.shapes import MAX_ROW_ID
from analytics_app.websites.logic import Token, Website
from web import auth, bodies, cors, presence

Model = TypeVar("Model", bound=BaseModel)
Handler = TypeVar("Handler", bound=Callable[..., Any])

RESOURCE: RequestKey["Resource"] = RequestKey("resource", object)  # type: ignore[arg-type]
CALLER: RequestKey[Token] = RequestKey("caller", Token)

READS = frozenset({"get", "head"})


@dataclass(frozen=True)
class One:
    """The answer `{"data": {…}}`."""

    model: type[BaseModel]


@dataclass(frozen=True)
class Page:
    """The answer `{"data": […], "meta": {"next_cursor": …}}`."""

    model: type[BaseModel]


@dataclass(frozen=True)
class Operation:
    """What one method of a view takes and answers."""

    body: type[BaseModel] | None = None
    """Model of the JSON body; it is still the method that calls `self.body`."""
    body_limit: int = bodies.LIMIT
    """Largest body in bytes, before and after inflation."""
    body_required: bool = True
    body_any: bool = False
    """Whether a body of any other kind is answered like a good one, too."""
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | One | Page | Mapping[str, Any] | None = None
    """A model for a bare object, `One(model)`, `Page(model)`, a JSON schema; None: an answer without a body."""
    status: int = 200
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    """Other statuses of success, with what they answer."""
    scope: str | None = None
    """`read`, `write` or `admin`; None: `read` for GET, `write` for all else."""
    content_types: tuple[str, ...] = ("application/json",)
    errors: tuple[type[AnalyticsError], ...] = ()
    """Errors beyond those that every operation of its kind may answer with."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer, with what they say."""


def operation(**says: Any) -> Callable[[Handler], Handler]:
    """Declare what a method of a `Resource` takes and answers; the fields are those of `Operation`."""

    def declare(method: Handler) -> Handler:
        method.__operation__ = Operation(**says)  # type: ignore[attr-defined]
        return method

    return declare


class Resource(faust.web.View):
    """A view of the API. Private unless `public` says otherwise."""

    public: ClassVar[bool] = False
    """Whether it answers without a token, and to pages of any origin."""
    local: ClassVar[bool] = False
    """Whether a private view also answers requests of this machine without a token."""
    tag: ClassVar[str] = ""
    """The section of the reference it stands in; empty: not in the OpenAPI document."""
    needs_postgres: ClassVar[bool] = True
    """Whether a private view is answered 503 at once while Postgres is away."""

    @classmethod
    def operation_of(cls, method: str) -> Operation:
        """What the method (`get`, `post`, …) takes and answers."""
        declared: Operation | None = getattr(getattr(cls, method), "__operation__", None)
        return declared or Operation()

    @classmethod
    def scope_of(cls, method: str) -> str:
        """The scope a token needs for the method."""
        return cls.operation_of(method).scope or ("read" if method in READS else "write")

    def get_methods(self) -> set[str]:
        """The methods this view serves: HEAD only beside GET, OPTIONS (the preflight) where any page may call."""
        methods: set[str] = super().get_methods()
        if "GET" not in methods:
            methods.discard("HEAD")
        if not self.public:
            methods.discard("OPTIONS")
        return methods

    async def dispatch(self, request: Request) -> Any:
        """Ask for the token where one is needed, then call the method."""
        request[RESOURCE] = self
        if self.public or (self.local and auth.is_local(request)):
            return await self.called(request)
        method = "get" if request.method == "HEAD" else request.method.lower()
        request[CALLER] = await auth.caller(request, self.scope_of(method))
        if not self.needs_postgres:
            return await self.called(request)
        return await presence.while_postgres_answers(self.called(request))

    async def called(self, request: Request) -> Any:
        """What the method answers: as in `View.dispatch`, but for its sensors, which nobody looks at."""
        try:
            return await self.methods[request.method.lower()](request, **request.match_info)
        except WebError as error:
            return await self.on_request_error(request, error)

    async def options(self, request: Request, **_: str) -> Response:
        """The answer to a browser's preflight."""
        return cors.preflight(self.get_methods())

    async def on_request_error(self, request: Request, exc: WebError) -> Any:
        """Give Faust's own errors our shape."""
        if isinstance(exc, FaustMethodNotAllowed):
            raise MethodNotAllowed(headers={"Allow": ", ".join(sorted(self.get_methods()))})
        raise exc

    # Input.

    async def body(
        self, request: Request, model: type[Model], limit: int = bodies.LIMIT, *, optional: bool = False
    ) -> Model:
        """The JSON body as `model`, whatever its Content-Type; with `optional` no body at all is an empty object.

        Raises `Invalid`, and `PayloadTooLarge` beyond `limit` bytes.
        """
        body = await bodies.read(request, limit)
        return validated(model, {} if optional and not body else bodies.json_object(body))

    def query(self, request: Request, model: type[Model]) -> Model:
        """The query string as `model`; of a parameter that is given twice the last counts, unless the field is a list.

        Raises `Invalid` with every fault.
        """
        lists, given = list_fields(model), request.query
        values: dict[str, Any] = dict(given)
        if lists or len(values) < len(given):
            values = {name: given.getall(name) if name in lists else given.getall(name)[-1] for name in given}
        return validated(model, values)

    def caller(self, request: Request) -> Token:
        """The token of the caller. Only for private views."""
        return request[CALLER]

    def id(self, text: str, most: int = MAX_ROW_ID) -> int:
        """The id that a part of the path stands for. Raises `NotFound` where it can be none."""
        if not (text.isascii() and text.isdecimal()) or len(text) > 16 or not 0 < int(text) <= most:
            raise NotFound
        return int(text)

    def covered(self, request: Request, website_id: str) -> int:
        """The website's id.

        Raises `NotFound` where it can be none, `Forbidden` where the token is restricted to other websites.
        """
        wanted = self.id(website_id)
        if not request[CALLER].covers(wanted):
            raise Forbidden("The token does not cover this website")
        return wanted

    async def website(self, request: Request, website_id: str) -> Website:
        """The caller's website of that id.

        Raises `Forbidden` where the token is restricted to other websites: for any id, so that nothing can be learnt
        from it; `NotFound` where the caller's workspace has no such website.
        """
        caller, wanted = request[CALLER], self.covered(request, website_id)
        website = DEFINITIONS.website(wanted)
        if website is None:  # perhaps made a moment ago, by another process
            await DEFINITIONS.renew_one("website", wanted)
            website = DEFINITIONS.website(wanted)
        if website is None or website.workspace_id != caller.workspace_id:
            raise NotFound
        return website

    # Answers.

    def json(self, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, **_: Any) -> Response:  # type: ignore[override]
        """`value` as it is: a model, or what JSON holds (dates and times included)."""
        return json_response(value, status=status, headers=headers)

    def one(self, model: BaseModel | Mapping[str, Any], *, status: int = 200) -> Response:
        """`{"data": {…}}`."""
        return json_response({"data": model}, status=status)

    def page(self, items: list[Any], next_cursor: str | None = None) -> Response:
        """`{"data": […], "meta": {"next_cursor": …}}`."""
        return json_response({"data": items, "meta": {"next_cursor": next_cursor}})

    def no_content(self) -> Response:
        """204, without a body."""
        return Response(status=204)


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; models are written as they serialise themselves, times to the second in UTC."""
    return Response(
        body=orjson.dumps(value, _plain, orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_NON_STR_KEYS),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be answered as JSON")


def validated(model: type[Model], values: Any) -> Model:
    """`values` as `model`. Raises `Invalid`, with every fault at once and by name."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Invalid(
            details=[_fault(found) for found in error.errors(include_url=False, include_input=False)]
        ) from None


def _fault(found: Any) -> FaultyField:
    message = str(found["msg"]).removeprefix("Value error, ")
    return FaultyField(".".join(str(part) for part in found["loc"]), message[:1].lower() + message[1:])


@cache
def list_fields(model: type[BaseModel]) -> frozenset[str]:
    """The names under which a model takes several values of one parameter."""
    return frozenset(info.alias or name for name, info in model.model_fields.items() if _is_list(info.annotation))


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (list, tuple):
        return True
    return any(_is_list(part) for part in get_args(annotation) if part is not type(None))
