"""Bots: what was kept out of the numbers, and the rules about who is."""

from datetime import datetime, timedelta
from typing import Any

from aiohttp.web import Request, Response
from faust.web import Blueprint

from analytics_app import clock
from analytics_app.bots import api_store, sightings_store
from analytics_app.bots.logic import Action
from analytics_app.bots.rules import MatchType
from analytics_app.bots.schemas import (
    BotStatsOut,
    BotStatsQuery,
    DetectionOut,
    DetectionsQuery,
    RuleBody,
    RuleOut,
    RulePatch,
    RulesQuery,
    TrialBody,
    TrialOut,
)
from analytics_app.bots.sightings import sought
from analytics_app.db import snapshot, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Conflict, NotFound
from analytics_app.shapes import decode_cursor, encode_cursor, id_after
from analytics_app.stats import store as stats
from analytics_app.stats.periods import Period
from web.judging import SIGHTINGS
from web.resource import One, Page, Resource, operation, validated

blueprint = Blueprint("bots")

TAG = "Bot Detection"
DAY = timedelta(days=1)


@blueprint.route("/websites/{website_id}/bots/stats", name="stats")
class BotStats(Resource):
    """What was kept out."""

    tag = TAG

    @operation(query=BotStatsQuery, answer=BotStatsOut)
    async def get(self, request: Request, website_id: str) -> Response:
        """Requests of a period that were counted and that were kept out, the latter by type and by claimed name."""
        website, query = await self.website(request, website_id), self.query(request, BotStatsQuery)
        period = query.period(clock.now())
        async with snapshot() as db:
            found = await api_store.blocked(db, website.id, period.start, period.end)
            allowed = await stats.requests(db, website.id, period.start, period.end)
        total = found.requests + allowed
        first, last = _days(period)
        return self.json(
            {
                "period": {"from": first, "to": last},
                "totals": {
                    "total_requests": total,
                    "blocked_requests": found.requests,
                    "allowed_requests": allowed,
                    "block_rate": round(100 * found.requests / total, 2) if total else 0.0,
                },
                "bot_types": found.types,
                "top_bots": found.bots,
            }
        )


@blueprint.route("/websites/{website_id}/bots/detections", name="detections")
class Detections(Resource):
    """What was detected."""

    tag = TAG

    @operation(query=DetectionsQuery, answer=Page(DetectionOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """What was detected in a period, the latest first: logged (counted all the same), left out, and blocked."""
        website, query = await self.website(request, website_id), self.query(request, DetectionsQuery)
        period = query.period(clock.now())
        wanted = query.model_dump(include={"type", "name", "reason", "min_score", "visitor"})
        wanted["action"] = int(Action[query.action.upper()]) if query.action else None
        async with transaction() as db:
            rows = await api_store.detections_of(
                db,
                website.id,
                period.start,
                period.end,
                limit=query.limit + 1,
                before=_place(query.cursor),
                wanted=wanted,
            )
        page = rows[: query.limit]
        following = encode_cursor([page[-1].at.isoformat(), page[-1].id]) if len(rows) > query.limit else None
        return self.page([_shown(row) for row in page], following)


@blueprint.route("/websites/{website_id}/bots/rules", name="rules")
class Rules(Resource):
    """The rules of a website."""

    tag = TAG

    @operation(query=RulesQuery, answer=Page(RuleOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List rules."""
        website, query = await self.website(request, website_id), self.query(request, RulesQuery)
        async with transaction() as db:
            rows = await api_store.rules_of(
                db,
                website.id,
                after=id_after(query.cursor),
                limit=query.limit + 1,
                rule_type=query.rule_type,
                match_type=query.match_type,
            )
        page = [RuleOut.model_validate(row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=RuleBody, answer=One(RuleOut), status=201, errors=(Conflict,))
    async def post(self, request: Request, website_id: str) -> Response:
        """Create a rule. It is followed by every process within 2 s."""
        website, body = await self.website(request, website_id), await self.body(request, RuleBody)
        async with transaction() as db:
            row = await api_store.add_rule(db, website.id, body.model_dump())
        if row is None:
            raise Conflict(f"A website has at most {api_store.MOST_RULES} rules")
        await DEFINITIONS.renew_one("bot_rules", website.id)
        return self.one(RuleOut.model_validate(row), status=201)


@blueprint.route("/websites/{website_id}/bots/dry-run", name="dry_run")
class DryRun(Resource):
    """A rule, tried."""

    tag = TAG

    @operation(body=TrialBody, answer=One(TrialOut), scope="read")
    async def post(self, request: Request, website_id: str) -> Response:
        """Say what a rule would have matched in the last day. Nothing is changed."""
        website, body = await self.website(request, website_id), await self.body(request, TrialBody)
        until = clock.now()
        await SIGHTINGS.write()
        salts = DEFINITIONS.snapshot.salts.values()
        wanted = [sought(salt, website.id, MatchType(body.match_type), body.match_value) for salt in salts]
        async with transaction() as db:
            tried = await sightings_store.tried(db, website.id, until - DAY, wanted)
        return self.one(
            TrialOut(
                since=until - DAY,
                until=until,
                total_requests=tried.requests,
                total_senders=tried.senders,
                matched_requests=tried.matched_requests,
                matched_senders=tried.matched_senders,
                exact=body.match_type != "user_agent",
            )
        )


@blueprint.route("/websites/{website_id}/bots/rules/{rule_id}", name="rule")
class OneRule(Resource):
    """One rule."""

    tag = TAG

    @operation(answer=One(RuleOut))
    async def get(self, request: Request, website_id: str, rule_id: str) -> Response:
        """Get a rule."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            row = await api_store.rule_of(db, website.id, self.id(rule_id))
        if row is None:
            raise NotFound
        return self.one(RuleOut.model_validate(row))

    @operation(body=RuleBody, answer=One(RuleOut))
    async def put(self, request: Request, website_id: str, rule_id: str) -> Response:
        """Update a rule: all fields."""
        return await self._change(request, website_id, rule_id, RuleBody)

    @operation(body=RulePatch, answer=One(RuleOut))
    async def patch(self, request: Request, website_id: str, rule_id: str) -> Response:
        """Update a rule: the fields given."""
        return await self._change(request, website_id, rule_id, RulePatch)

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, rule_id: str) -> Response:
        """Delete a rule."""
        website, wanted = await self.website(request, website_id), self.id(rule_id)
        async with transaction() as db:
            if not await api_store.delete_rule(db, website.id, wanted):
                raise NotFound
        await DEFINITIONS.renew_one("bot_rules", website.id)
        return self.no_content()

    async def _change(
        self, request: Request, website_id: str, rule_id: str, model: type[RuleBody] | type[RulePatch]
    ) -> Response:
        website, wanted = await self.website(request, website_id), self.id(rule_id)
        body = await self.body(request, model)
        async with transaction() as db:
            row = await api_store.rule_of(db, website.id, wanted, lock=True)
            if row is None:
                raise NotFound
            values = body.model_dump()
            if isinstance(body, RulePatch):
                held = {name: getattr(row, name) for name in RuleBody.model_fields}
                values = validated(RuleBody, held | body.changes()).model_dump()
            changed = await api_store.change_rule(db, wanted, values)
        await DEFINITIONS.renew_one("bot_rules", website.id)
        return self.one(RuleOut.model_validate(changed))


def _shown(row: Any) -> DetectionOut:
    fields = {name: getattr(row, name) for name in DetectionOut.model_fields if name != "action"}
    return DetectionOut(action=Action(row.action).name.lower(), **fields)  # type: ignore[arg-type]


def _days(period: Period) -> tuple[str, str]:
    """The first and the last day of a period, in its zone."""
    within = period.start, max(period.start, period.end - timedelta(microseconds=1))
    first, last = (at.astimezone(period.zone).date().isoformat() for at in within)
    return first, last


def _place(cursor: str | None) -> tuple[datetime, int] | None:
    """The place that a cursor stands for. Raises `NotFound` on a cursor of another list."""
    match decode_cursor(cursor) if cursor else None:
        case None:
            return None
        case [str() as at, int() as number]:
            try:
                moment = datetime.fromisoformat(at)
            except ValueError:
                moment = None
            if moment is not None and moment.tzinfo is not None and 0 <= number < 2**53:
                return moment, number
    raise NotFound("cursor: it is not the next_cursor of an earlier page of this list")
