"""Every row of the service, in one import: Alembic and the tests need them all registered."""

import analytics_app.alerts.models
import analytics_app.backfills.models
import analytics_app.bots.models
import analytics_app.deliveries.models
import analytics_app.experiments.models
import analytics_app.funnels.models
import analytics_app.gdpr.models
import analytics_app.goals.models
import analytics_app.heatmaps.models
import analytics_app.installation.models
import analytics_app.jobs.models
import analytics_app.realtime.models
import analytics_app.replays.models
import analytics_app.reports.models
import analytics_app.sessions.models
import analytics_app.stats.models
import analytics_app.stream.models
import analytics_app.websites.models

ALL_MODELS = (
    analytics_app.backfills.models,
    analytics_app.alerts.models,
    analytics_app.deliveries.models,
    analytics_app.gdpr.models,
    analytics_app.experiments.models,
    analytics_app.goals.models,
    analytics_app.funnels.models,
    analytics_app.bots.models,
    analytics_app.heatmaps.models,
    analytics_app.installation.models,
    analytics_app.jobs.models,
    analytics_app.realtime.models,
    analytics_app.reports.models,
    analytics_app.replays.models,
    analytics_app.sessions.models,
    analytics_app.stats.models,
    analytics_app.stream.models,
    analytics_app.websites.models,
)
