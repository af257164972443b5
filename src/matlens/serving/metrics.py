"""Counts of what a server does, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter

COUNTERS = {"photos_answered": "Photos that were answered.", "photos_refused": "Photos that could not be read.",
            "batches": "Batches that were computed.", "overloaded": "Requests that were refused for overload."}


class Metrics:
    """Counters of one server. All are changed in the event loop's thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: Counter[str] = Counter()

    def count(self, name: str) -> None:
        """Add one to a counter of COUNTERS."""
        self._counts[name] += 1

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request. path: one of the server's own, so that strangers cannot make new ones."""
        self._requests[path, status] += 1
        self._seconds[path] += seconds  # type: ignore[assignment]

    def text(self, waiting: int) -> str:
        """Return all counts. waiting: photos that wait or are computed."""
        lines = ["# HELP matlens_requests_total Requests by path and status.", "# TYPE matlens_requests_total counter"]
        lines += [f'matlens_requests_total{{path="{path}",status="{status}"}} {n}'
                  for (path, status), n in sorted(self._requests.items())]
        lines += ["# HELP matlens_request_seconds_total Seconds until requests were answered, by path.",
                  "# TYPE matlens_request_seconds_total counter"]
        lines += [f'matlens_request_seconds_total{{path="{path}"}} {seconds:.6f}'
                  for path, seconds in sorted(self._seconds.items())]
        for name, words in COUNTERS.items():
            lines += [f"# HELP matlens_{name}_total {words}", f"# TYPE matlens_{name}_total counter",
                      f"matlens_{name}_total {self._counts[name]}"]
        lines += ["# HELP matlens_photos_waiting Photos that wait or are computed.",
                  "# TYPE matlens_photos_waiting gauge", f"matlens_photos_waiting {waiting}"]
        return "\n".join(lines) + "\n"
