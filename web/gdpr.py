"""What visitors may ask for (`/analytics/gdpr`): their data, and its end."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any

import faust
import orjson
from aiohttp.web import Request, Response, StreamResponse
from aiokafka.errors import KafkaError

from analytics_app import clock, subjects
from analytics_app.db import batch_transaction, driver_of, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Forbidden, NotFound
from analytics_app.gdpr import erasing_store, store
from analytics_app.gdpr.logic import REMEMBERED_BEYOND, Action, Subject, forgotten_at
from analytics_app.gdpr.schemas import (
    AnonymisedOut,
    AuditOut,
    DeletedOut,
    HashOut,
    ReceiptOut,
    VisitorBody,
)
from analytics_app.settings import settings
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from analytics_app.stream.lag import standings
from analytics_app.stream.plans import plans
from web.intake import hash_of
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("gdpr")

HASH_DIGITS = 32
ARRIVED_WITHIN_S = 4.0
EXPORT = {"type": "object", "description": "Everything held of the visitor, a list of each kind"}


class Rights(Resource):
    """What the views of a visitor's rights share."""

    tag = "GDPR"

    async def place(self, request: Request, visitor: str) -> int:
        """The website, of those the token covers, that holds anything of the visitor. Raises `NotFound`."""
        if len(visitor) != HASH_DIGITS or not set(visitor) <= set("0123456789abcdef"):
            raise NotFound
        caller = self.caller(request)
        async with transaction() as db:
            found = await store.websites_with(db, caller.workspace_id, visitor)
        covered = [website_id for website_id in found if caller.covers(website_id)]
        if not covered:
            raise NotFound
        return covered[0]

    async def note(self, db: Any, request: Request, action: Action, website_id: int, receipt_id: int | None) -> None:
        """Note the call in the audit log."""
        caller = self.caller(request)
        await store.note(db, caller.workspace_id, website_id, action, (caller.id, caller.name), receipt_id)

    async def receipt(
        self, db: Any, request: Request, action: Action, website_id: int, counts: dict[str, int], now: datetime
    ) -> int:
        """Write the receipt, and note the call; returns the receipt's id."""
        values = {
            "workspace_id": self.caller(request).workspace_id,
            "website_id": website_id,
            "action": action,
            "counts": counts,
            "requested_at": now,
            "finished_at": None if action == "delete" else now,
            "forgotten_at": topics_forgotten_at(now),
        }
        receipt_id = await store.add_receipt(db, values)
        await self.note(db, request, action, website_id, receipt_id)
        return receipt_id


def topics_forgotten_at(now: datetime) -> datetime:
    """When Kafka has deleted everything that reached it up to `now`."""
    return forgotten_at(now, [plan.config for plan in plans(settings())])


async def arrived() -> None:
    """Return once every hit that Kafka has now is stored; where that takes too long, all the same."""
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(ARRIVED_WITHIN_S):
            ends = {partition: standing.end for partition, standing in (await standings()).items()}
            while True:
                now = await standings()
                if all(now[partition].position >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(0.1)


@blueprint.route("/gdpr/export/{visitor_hash}", name="export")
class ExportView(Rights):
    """Everything held of a visitor."""

    @operation(answer=EXPORT, headers={"Content-Disposition": "A file name"})
    async def get(self, request: Request, visitor_hash: str) -> StreamResponse:
        """Everything held of a visitor, as one JSON file."""
        website_id = await self.place(request, visitor_hash)
        async with transaction() as db:
            await self.note(db, request, "export", website_id, None)
        response = StreamResponse(
            headers={
                "Content-Type": "application/json",
                "Content-Disposition": f'attachment; filename="visitor-{visitor_hash}.json"',
            }
        )
        async with batch_transaction() as db:
            await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            number = await erasing_store.number_of(db, website_id, visitor_hash)
            subject = Subject(website_id, visitor_hash, number)
            await response.prepare(request)
            head = {"website_id": website_id, "exported_at": clock.iso(clock.now())}
            head["visitor"] = next(iter(await erasing_store.visitor_of(db, subject)), None)
            await response.write(_json(head)[:-1])
            for holding in subjects.HOLDINGS:
                await response.write(b"," + _json(holding.name) + b":" + _json(await holding.read(db, subject)))
            await response.write(b"}")
        await response.write_eof()
        return response


def _json(value: Any) -> bytes:
    return orjson.dumps(value, _text, orjson.OPT_UTC_Z)


def _text(value: object) -> str:
    return str(value)


@blueprint.route("/gdpr/visitor/{visitor_hash}", name="visitor")
class VisitorView(Rights):
    """A visitor's data, to be deleted."""

    @operation(answer=DeletedOut)
    async def delete(self, request: Request, visitor_hash: str) -> Response:
        """Delete everything held of a visitor. Totals lose it, and stay exact; nothing on its way brings it back."""
        website_id, now = await self.place(request, visitor_hash), clock.now()
        until = topics_forgotten_at(now) + REMEMBERED_BEYOND
        async with transaction() as db:
            erased = await subjects.erase(await driver_of(db), website_id, visitor_hash, now, until)
            if erased is None:
                raise NotFound
            receipt_id = await self.receipt(db, request, "delete", website_id, erased, now)
        return self.json(DeletedOut(deleted_counts=erased, receipt_id=receipt_id))


@blueprint.route("/gdpr/anonymise/{visitor_hash}", name="anonymise")
class AnonymiseView(Rights):
    """A visitor's data, to lead to nobody."""

    @operation(answer=AnonymisedOut)
    async def post(self, request: Request, visitor_hash: str) -> Response:
        """Keep every number as it is, and remove everything that leads to the visitor.

        What is still on its way is waited for, for some seconds; what comes later counts as of somebody new, who is
        nobody.
        """
        website_id = await self.place(request, visitor_hash)
        await arrived()
        now = clock.now()
        until = topics_forgotten_at(now) + REMEMBERED_BEYOND
        async with transaction() as db:
            erased = await subjects.anonymise(await driver_of(db), website_id, visitor_hash, now, until)
            if erased is None:
                raise NotFound
            receipt_id = await self.receipt(db, request, "anonymise", website_id, erased, now)
        return self.json(AnonymisedOut(anonymised_counts=erased, receipt_id=receipt_id))


@blueprint.route("/gdpr/lookup", name="lookup")
class Lookup(Rights):
    """From a visitor's id to the hash it is stored under."""

    @operation(body=VisitorBody, answer=One(HashOut), scope="read")
    async def post(self, request: Request) -> Response:
        """The hash that a visitor is stored under, whether anything is held of them or not."""
        body = await self.body(request, VisitorBody)
        website = await DEFINITIONS.find_website(body.pixel_key)
        if website is None or website.workspace_id != self.caller(request).workspace_id:
            raise NotFound("There is no such pixel key")
        if not self.caller(request).covers(website.id):
            raise Forbidden("The token does not cover this website")
        async with transaction() as db:
            await self.note(db, request, "lookup", website.id, None)
        return self.one(HashOut(visitor_hash=hash_of(website, body.visitor_id)))


@blueprint.route("/gdpr/receipts/{receipt_id}", name="receipt")
class ReceiptView(Rights):
    """What an erasure removed."""

    @operation(answer=One(ReceiptOut))
    async def get(self, request: Request, receipt_id: str) -> Response:
        """What was removed where, and by when the last copy is gone."""
        caller = self.caller(request)
        async with transaction() as db:
            row = await store.receipt_of(db, caller.workspace_id, self.id(receipt_id))
        if row is None or not caller.covers(row.website_id):
            raise NotFound
        return self.one(
            ReceiptOut(
                id=row.id,
                website_id=row.website_id,
                action=row.action,
                counts=row.counts,
                requested_at=row.requested_at,
                state="done" if row.finished_at else "finishing",
                finished_at=row.finished_at,
                topics_forgotten_at=row.forgotten_at,
            )
        )


@blueprint.route("/gdpr/audit", name="audit")
class Audit(Rights):
    """Who asked for what."""

    @operation(query=PageQuery, answer=Page(AuditOut), scope="admin")
    async def get(self, request: Request) -> Response:
        """The calls about visitors' data, the latest first. They do not say about whom."""
        query, caller = self.query(request, PageQuery), self.caller(request)
        async with transaction() as db:
            rows = await store.audit(
                db,
                caller.workspace_id,
                before=id_after(query.cursor) or None,
                limit=query.limit + 1,
                website_ids=caller.website_ids,
            )
        page = [AuditOut.model_validate({name: getattr(row, name) for name in AuditOut.model_fields}) for row in rows]
        return self.page(
            page[: query.limit], encode_cursor(page[query.limit - 1].id) if len(rows) > query.limit else None
        )
