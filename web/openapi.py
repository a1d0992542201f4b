"""The OpenAPI document: made of what the views declare, and of the models that validate."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import faust
from aiohttp.web import Request, Response
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from analytics_app.errors import (
    AnalyticsError,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
)
from analytics_app.shapes import MAX_SAFE_ID, ErrorOut, PageMeta
from web import assets
from web.resource import One, Operation, Page, Resource, json_response, operation

blueprint = faust.web.Blueprint("openapi")

METHODS = ("get", "post", "put", "patch", "delete")
REF = "#/components/schemas/{model}"
DESCRIPTION = (
    "Self-hosted web analytics. Tracking endpoints take a pixel key and answer pages of any origin; all others take "
    "a token: `Authorization: Bearer <token>`."
)
ID = {"type": "integer", "minimum": 1, "maximum": MAX_SAFE_ID}
NAME = {"type": "string", "minLength": 1}

Document = dict[str, Any]
EMPTY: Document = {"type": "string", "maxLength": 0}
Schemas = Mapping[tuple[type[BaseModel], JsonSchemaMode], Document]


@blueprint.route("/openapi.json", name="document")
class OpenApi(Resource):
    """The document that this is."""

    public = True
    tag = "Service"

    @operation(answer={"type": "object"})
    async def get(self, request: Request) -> Response:
        """The API as an OpenAPI 3.1 document."""
        served = _served(tuple(self.web.views.items()))
        return assets.send(request, served, max_age_s=0)


@lru_cache(maxsize=1)
def _served(views: tuple[tuple[str, Any], ...]) -> assets.Asset:
    body = json_response(document(dict(views))).body
    assert isinstance(body, bytes)
    return assets.asset_of(body, "application/json")


def document(views: Mapping[str, Any]) -> Document:
    """The OpenAPI document of those views, by path."""
    shown = {path: view for path, view in sorted(views.items()) if isinstance(view, Resource) and view.tag}
    schemas, definitions = _models(op for view in shown.values() for _, op in operations(view))
    paths = {
        path: {method: _operation(path, view, method, op, schemas) for method, op in operations(view)}
        for path, view in shown.items()
    }
    used = {"schemas": definitions, "responses": _error_responses()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Analytics", "version": _version(), "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(view.tag for view in shown.values())],
        "paths": paths,
        "components": {
            **_reachable(paths, used),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def operations(view: Resource) -> Iterable[tuple[str, Operation]]:
    """The methods that a view serves, with what they take and answer."""
    served = view.get_methods()
    return [(method, view.operation_of(method)) for method in METHODS if method.upper() in served]


def _operation(path: str, view: Resource, method: str, op: Operation, schemas: Schemas) -> Document:
    text = (getattr(view, method).__doc__ or "").strip()
    summary, _, rest = text.partition("\n")
    first, _, more = summary.partition(". ")
    scope = view.scope_of(method)
    described = " ".join([more, *rest.split()]).strip()
    said: Document = {
        "operationId": method + type(view).__name__,
        "tags": [view.tag],
        "summary": first.rstrip("."),
        "description": " ".join(filter(None, [described, "" if view.public else f"Scope: `{scope}`."])),
        "security": _security(view),
        "parameters": [*_path_parameters(path), *_query_parameters(op)],
        "responses": _responses(path, view, op, schemas),
    }
    if op.body is not None:
        model = schemas[op.body, "validation"]
        content: Document = {"schema": {"anyOf": [model, {}]} if op.body_any else model}
        if example := _example(op.body):
            content["example"] = example
        said["requestBody"] = {"required": op.body_required, "content": {"application/json": content}}
    return said


def _security(view: Resource) -> list[Document]:
    if view.public:
        return []
    return [{}, {"token": []}] if view.local else [{"token": []}]


def _path_parameters(path: str) -> list[Document]:
    names = re.findall(r"{(\w+)}", path)
    return [
        {"name": name, "in": "path", "required": True, "schema": ID if name.endswith("_id") else NAME} for name in names
    ]


def _query_parameters(op: Operation) -> list[Document]:
    if op.query is None:
        return []
    schema = op.query.model_json_schema(ref_template=REF)
    required = schema.get("required", ())
    return [_query_parameter(name, said, name in required) for name, said in schema["properties"].items()]


def _query_parameter(name: str, said: Document, required: bool) -> Document:
    schema = {key: value for key, value in said.items() if key not in ("title", "description", "examples")}
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if "anyOf" in schema and len(choices) == 1:  # a query string knows no null: there it is empty
        limits = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = {**_or_empty(choices[0]), **limits}
    if schema.get("default", ...) is None:
        del schema["default"]
    parameter: Document = {"name": name, "in": "query", "required": required, "schema": schema}
    if "description" in said:
        parameter["description"] = said["description"]
    if "examples" in said:
        parameter["example"] = said["examples"][0]
    return parameter


def _or_empty(schema: Document) -> Document:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], ""]}
    if schema.get("type") == "string" and re.search(schema.get("pattern", ""), ""):
        return schema
    return {**(schema if "anyOf" in schema else {}), "anyOf": [*schema.get("anyOf", [schema]), EMPTY]}


def _responses(path: str, view: Resource, op: Operation, schemas: Schemas) -> Document:
    answers: Document = {str(op.status): _answer(op, op.answer, schemas)}
    for status, model in op.also.items():
        answers[str(status)] = _answer(op, model, schemas)
    errors: list[type[AnalyticsError]] = [*op.errors]
    if not view.public:
        errors += [Unauthenticated, Forbidden, Unavailable]
    if "{" in path:
        errors.append(NotFound)
    if op.body is not None:
        errors += [Invalid, PayloadTooLarge]
    if op.query is not None:
        errors.append(Invalid)
    for error in sorted(set(errors), key=lambda found: found.status):
        answers.setdefault(str(error.status), {"$ref": f"#/components/responses/{error.code}"})
    answers["default"] = {"$ref": "#/components/responses/ERROR"}
    return answers


def _answer(op: Operation, answer: Any, schemas: Schemas) -> Document:
    said: Document = {"description": "Done" if answer is None else "The answer"}
    if op.headers:
        said["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in op.headers.items()
        }
    if answer is not None:
        schema = _answer_schema(answer, schemas)
        said["content"] = {
            kind: {"schema": schema if kind == op.content_types[0] else {"type": "string"}} for kind in op.content_types
        }
    return said


def _answer_schema(answer: Any, schemas: Schemas) -> Document:
    if isinstance(answer, Mapping):
        return dict(answer)
    if isinstance(answer, One):
        return _object(data=schemas[answer.model, "serialization"])
    if isinstance(answer, Page):
        items = {"type": "array", "items": schemas[answer.model, "serialization"]}
        return _object(data=items, meta=schemas[PageMeta, "serialization"])
    return schemas[answer, "serialization"]


def _object(**properties: Document) -> Document:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _error_responses() -> Document:
    schema = {"$ref": REF.format(model="ErrorOut")}
    codes = {error.code: (error.default, error) for error in (MethodNotAllowed, *AnalyticsError.__subclasses__())}
    responses = {
        code: {
            "description": text,
            "content": {"application/json": {"schema": schema, "example": {"ok": False, "error": text, "code": code}}},
        }
        for code, (text, _) in codes.items()
    }
    return {**responses, "ERROR": {"description": "Any error", "content": {"application/json": {"schema": schema}}}}


def _models(ops: Iterable[Operation]) -> tuple[Schemas, Document]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
        (ErrorOut, "serialization"): None,
        (PageMeta, "serialization"): None,
    }
    for op in ops:
        if op.body is not None:
            wanted[op.body, "validation"] = None
        if op.query is not None:
            wanted[op.query, "validation"] = None
        for answer in (op.answer, *op.also.values()):
            model = answer.model if isinstance(answer, One | Page) else answer
            if isinstance(model, type):
                wanted[model, "serialization"] = None
    schemas, whole = models_json_schema(list(wanted), ref_template=REF)
    return schemas, whole.get("$defs", {})


def _reachable(paths: Document, components: Document) -> Document:
    """`components` without what nothing refers to."""
    kept: dict[str, Document] = {kind: {} for kind in components}
    waiting: list[Any] = [paths]
    while waiting:
        for kind, name in re.findall(r"#/components/(\w+)/([\w.-]+)", str(waiting.pop())):
            if name not in kept[kind]:
                kept[kind][name] = components[kind][name]
                waiting.append(components[kind][name])
    return {kind: dict(sorted(named.items())) for kind, named in kept.items()}


def _example(model: type[BaseModel]) -> Document:
    return {name: info.examples[0] for name, info in model.model_fields.items() if info.examples}


def _version() -> str:
    try:
        return version("analytics-app")
    except PackageNotFoundError:
        return "0"
