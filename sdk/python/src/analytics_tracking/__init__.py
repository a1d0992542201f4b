"""Report pageviews and events of your server to Analytics.

tracking = AnalyticsTracking("https://stats.example.com", token="an_…")
tracking.track(pixel_key, {"type": "pageview", "path": "/api/endpoint"}, request)
"""

from analytics_tracking.client import AnalyticsTracking, Counts
from analytics_tracking.visitors import Visitor, visitor_of

__all__ = ["AnalyticsTracking", "Counts", "Visitor", "visitor_of"]
