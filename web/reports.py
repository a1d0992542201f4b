"""Email reports: `/analytics/websites/{id}/email-reports`, and the link that takes a recipient off one."""

import asyncio
from html import escape
from typing import Any

import faust
from aiohttp.web import Request, Response

from analytics_app import clock
from analytics_app.db import snapshot, transaction
from analytics_app.deliveries import smtp
from analytics_app.deliveries import store as deliveries
from analytics_app.deliveries.schemas import DeliveryOut, state_of
from analytics_app.errors import Conflict, NotFound
from analytics_app.jobs.report_content import summary_of
from analytics_app.jobs.reports import send_now
from analytics_app.reports import store
from analytics_app.reports.content import report_mail
from analytics_app.reports.logic import last_period, next_due
from analytics_app.reports.schemas import (
    PreviewOut,
    ReportBody,
    ReportOut,
    ReportPatch,
    SendOut,
    SentOut,
    UnsubscribeQuery,
)
from analytics_app.reports.unsubscribing import read
from analytics_app.secret import secret
from analytics_app.settings import settings
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from analytics_app.stats.zones import zone_named
from analytics_app.websites.logic import Website
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("email_reports")

SHOWN = frozenset(ReportOut.model_fields) - {"next_send_at"}
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

PAGE_STYLE = (
    "body{font:17px/1.5 system-ui,sans-serif;max-width:30em;margin:18vh auto;padding:0 1em;color:#111827}"
    "button{font:inherit;padding:.5em 1.2em;border:0;border-radius:8px;background:#4f46e5;color:#fff;cursor:pointer}"
)


class Reports(Resource):
    """What the views of reports share."""

    tag = "Email Reports"

    def shown(self, website: Website, row: Any) -> ReportOut:
        """A report as it is answered."""
        due = next_due(row.frequency, zone_named(website.timezone), clock.now()) if row.is_enabled else None
        return ReportOut(**{name: getattr(row, name) for name in SHOWN}, next_send_at=due)

    async def report(self, website: Website, report_id: str) -> Any:
        """The website's report. Raises `NotFound`."""
        async with transaction() as db:
            row = await store.report_of(db, website.id, self.id(report_id))
        if row is None:
            raise NotFound
        return row


@blueprint.route("/websites/{website_id}/email-reports", name="list")
class ReportList(Reports):
    """The reports of a website."""

    @operation(query=PageQuery, answer=Page(ReportOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List the reports of a website."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        async with transaction() as db:
            rows = await store.reports_of(db, website.id, after=id_after(query.cursor), limit=query.limit + 1)
        page = [self.shown(website, row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=ReportBody, answer=One(ReportOut), status=201)
    async def post(self, request: Request, website_id: str) -> Response:
        """Create a report. It is first sent when it next falls due, at 08:00 in the website's time zone."""
        website, body = await self.website(request, website_id), await self.body(request, ReportBody)
        async with transaction() as db:
            row = await store.add_report(db, website.id, body.model_dump())
        return self.one(self.shown(website, row), status=201)


@blueprint.route("/websites/{website_id}/email-reports/{report_id}", name="one")
class OneReport(Reports):
    """One report."""

    @operation(answer=One(ReportOut))
    async def get(self, request: Request, website_id: str, report_id: str) -> Response:
        """Get a report."""
        website = await self.website(request, website_id)
        return self.one(self.shown(website, await self.report(website, report_id)))

    @operation(body=ReportBody, answer=One(ReportOut))
    async def put(self, request: Request, website_id: str, report_id: str) -> Response:
        """Update a report: all fields. What is left out goes back to its default."""
        website, wanted = await self.website(request, website_id), self.id(report_id)
        return await self.change(website, wanted, (await self.body(request, ReportBody)).model_dump())

    @operation(body=ReportPatch, answer=One(ReportOut))
    async def patch(self, request: Request, website_id: str, report_id: str) -> Response:
        """Update a report: the fields given."""
        website, wanted = await self.website(request, website_id), self.id(report_id)
        return await self.change(website, wanted, (await self.body(request, ReportPatch)).changes())

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, report_id: str) -> Response:
        """Delete a report, with the history of its sends."""
        website, wanted = await self.website(request, website_id), self.id(report_id)
        async with transaction() as db:
            if not await store.delete_report(db, website.id, wanted):
                raise NotFound
        return self.no_content()

    async def change(self, website: Website, report_id: int, values: dict[str, object]) -> Response:
        """Write `values` and answer with the report as it is then."""
        async with transaction() as db:
            row = await store.change_report(db, website.id, report_id, values)
        if row is None:
            raise NotFound
        return self.one(self.shown(website, row))


@blueprint.route("/websites/{website_id}/email-reports/{report_id}/preview", name="preview")
class Preview(Reports):
    """A report as it would be sent now."""

    @operation(answer=PreviewOut, scope="read")
    async def post(self, request: Request, website_id: str, report_id: str) -> Response:
        """The report of the latest day, week or month that is over: subject, HTML, text. Nothing is sent."""
        website = await self.website(request, website_id)
        async with snapshot() as db:
            report = await store.report_with_website(db, website.id, self.id(report_id))
            if report is None:
                raise NotFound
            period = last_period(report.frequency, zone_named(website.timezone), clock.now())
            summary = await summary_of(db, report, period)
        mail = await asyncio.to_thread(report_mail, summary)
        return self.json(PreviewOut(subject=mail.subject, html=mail.standalone_html, text=mail.text))


@blueprint.route("/websites/{website_id}/email-reports/{report_id}/send", name="send")
class Send(Reports):
    """A report, sent now."""

    @operation(answer=SentOut, status=202, errors=(Conflict,))
    async def post(self, request: Request, website_id: str, report_id: str) -> Response:
        """Send the report of the latest day, week or month that is over to its recipients, within seconds.

        409 while no mail server is set up, or nobody is left to send it to.
        """
        website = await self.website(request, website_id)
        report = await self.report(website, report_id)
        if not smtp.is_set(settings()):
            raise Conflict(smtp.UNSET)
        if not report.recipients:
            raise Conflict("The report has no recipients any more: all have unsubscribed")
        async with transaction() as db:
            send_id = await send_now(db, report, website.timezone, clock.now())
        return self.json(SentOut(send_id=send_id), status=202)


@blueprint.route("/websites/{website_id}/email-reports/{report_id}/sends", name="sends")
class Sends(Reports):
    """What became of a report's sends."""

    @operation(query=PageQuery, answer=Page(SendOut))
    async def get(self, request: Request, website_id: str, report_id: str) -> Response:
        """The sends of a report, the latest first: to whom, when, and what went wrong."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        report = await self.report(website, report_id)
        async with transaction() as db:
            rows = await store.sends_of(db, report.id, before=id_after(query.cursor) or None, limit=query.limit + 1)
            page = rows[: query.limit]
            held = await deliveries.of_sends(db, [row.id for row in page])
        items = [_shown_send(row, [DeliveryOut.model_validate(one) for one in held[row.id]]) for row in page]
        return self.page(items, encode_cursor(page[-1].id) if len(rows) > query.limit else None)


def _shown_send(row: Any, told: list[DeliveryOut]) -> SendOut:
    return SendOut(
        id=row.id,
        trigger="schedule" if row.slot else "manual",
        period_start=row.period_start,
        period_end=row.period_end,
        created_at=row.created_at,
        state=state_of(told),
        deliveries=told,
    )


@blueprint.route("/email-reports/unsubscribe", name="unsubscribe")
class Unsubscribe(Resource):
    """The link in every report."""

    public = True
    tag = "Email Reports"

    @operation(query=UnsubscribeQuery, answer={"type": "string"}, content_types=("text/html",), errors=(NotFound,))
    async def get(self, request: Request) -> Response:
        """A page that asks whether to unsubscribe: what looks into mails follows links too."""
        token, (_, recipient) = self.read(request)
        asks = f'<form method="post" action="?token={escape(token)}"><button>Unsubscribe</button></form>'
        return _page(f"Take {escape(recipient)} off this report?", asks)

    @operation(query=UnsubscribeQuery, answer={"type": "string"}, content_types=("text/html",), errors=(NotFound,))
    async def post(self, request: Request) -> Response:
        """Take the recipient off the report; mail programs call it by themselves (RFC 8058)."""
        _, (report_id, recipient) = self.read(request)
        async with transaction() as db:
            await store.unsubscribe(db, report_id, recipient)
        return _page("Done", f"<p>{escape(recipient)} will not get this report any more.</p>")

    def read(self, request: Request) -> tuple[str, tuple[int, str]]:
        """The token, and what it names. Raises `NotFound`."""
        token = self.query(request, UnsubscribeQuery).token
        found = read(secret(settings()), token)
        if found is None:
            raise NotFound("This link is not one of ours, or not whole")
        return token, found


def _page(title: str, rest: str) -> Response:
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{PAGE_STYLE}</style><h1>{title}</h1>{rest}</html>"
    )
    return Response(text=text, content_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})
