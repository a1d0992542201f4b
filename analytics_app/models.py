"""Every row of the service, in one import: Alembic and the tests need them all registered."""

import analytics_app.installation.models
import analytics_app.jobs.models
import analytics_app.realtime.models
import analytics_app.sessions.models
import analytics_app.stats.models
import analytics_app.stream.models
import analytics_app.websites.models

ALL_MODELS = (
    analytics_app.installation.models,
    analytics_app.jobs.models,
    analytics_app.realtime.models,
    analytics_app.sessions.models,
    analytics_app.stats.models,
    analytics_app.stream.models,
    analytics_app.websites.models,
)
