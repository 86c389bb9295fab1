"""What is to go wrong: set by `PUT /_faults`, and spent as it happens.

    {"requests": [{"operation": "CreateJob", "status": 429, "times": 2, "retryAfter": 1}],
     "events":   [{"status": "COMPLETE", "do": "drop" | "duplicate" | "reorder" | "delay", "times": 1, "seconds": 1}],
     "jobs":     [{"do": "stuck" | "error" | "early", "code": 1404, "message": "…", "times": 1}]}

`times` is 1 unless said; 0 means always. `status` of an event may be `*`. A request with `"after": true` is carried
out and its answer is lost.
"""

import threading

_REQUEST = {"operation", "status", "times", "retryAfter", "after", "code"}
_EVENT = {"status", "do", "times", "seconds"}
_JOB = {"do", "code", "message", "times"}
_EVENTS = {"drop", "duplicate", "reorder", "delay"}
_JOBS = {"stuck", "error", "early"}


class Faults:
    def __init__(self):
        self._lock = threading.Lock()
        self._script = {"requests": [], "events": [], "jobs": []}

    def set(self, script):
        """Replaces the script. Raises ValueError for one that would not do what it says."""
        if not isinstance(script, dict) or set(script) - set(self._script):
            raise ValueError("a script has requests, events and jobs")
        kept = {}
        for part, (allowed, does) in {
            "requests": (_REQUEST, None),
            "events": (_EVENT, _EVENTS),
            "jobs": (_JOB, _JOBS),
        }.items():
            kept[part] = [self._entry(entry, allowed, does) for entry in script.get(part, [])]
        with self._lock:
            self._script = kept

    def left(self):
        with self._lock:
            return {part: [dict(entry) for entry in entries] for part, entries in self._script.items()}

    def request(self, operation):
        return self._take("requests", lambda entry: entry.get("operation", operation) == operation)

    def event(self, status):
        return self._take("events", lambda entry: entry.get("status", "*") in ("*", status))

    def job(self):
        return self._take("jobs", lambda entry: True)

    def _take(self, part, fits):
        with self._lock:
            entries = self._script[part]
            for place, entry in enumerate(entries):
                if fits(entry):
                    if entry["times"] == 1:
                        entries.pop(place)
                    elif entry["times"] > 1:
                        entry["times"] -= 1
                    return dict(entry)
        return None

    @staticmethod
    def _entry(entry, allowed, does):
        if not isinstance(entry, dict) or set(entry) - allowed:
            raise ValueError(f"{entry!r}: only {', '.join(sorted(allowed))}")
        if does and entry.get("do") not in does:
            raise ValueError(f"{entry!r}: do is one of {', '.join(sorted(does))}")
        if does is None and not isinstance(entry.get("status"), int):
            raise ValueError(f"{entry!r}: the status is a number")
        return {"times": 1, **entry}
