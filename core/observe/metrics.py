"""Prometheus metrics of one process. Labels are route templates, never raw paths: their number stays bounded."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "plugs_http_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._request = cache(self._labelled)
        self.failures = Counter(
            "plugs_http_failures_total",
            "Requests that ended in an error nobody foresaw.",
            ("route",),
            registry=self.registry,
        )

    def _labelled(self, method: str, route: str, status: int) -> Histogram:
        return self.requests.labels(method, route, str(status))

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request that is over."""
        self._request(method, route, status).observe(seconds)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
