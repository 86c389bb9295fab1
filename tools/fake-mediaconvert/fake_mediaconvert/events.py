"""Events as EventBridge delivers them: to an SQS queue, to a webhook, or both."""

import datetime
import json
import queue
import threading
import time
import urllib.error
import urllib.request
import uuid

ACCOUNT = "000000000000"


def event(job, region, status, extra):
    """One `MediaConvert Job State Change`."""
    now = time.time()
    when = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    detail = {
        "timestamp": int(now * 1000),
        "accountId": ACCOUNT,
        "queue": job["queue"],
        "jobId": job["id"],
        "status": status,
        "userMetadata": job.get("userMetadata", {}),
        **extra,
    }
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "MediaConvert Job State Change",
        "source": "aws.mediaconvert",
        "account": ACCOUNT,
        "time": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [job["arn"]],
        "detail": detail,
    }


class Sink:
    """Where events go, one after the other; what does not answer gets an event thrice, then it is lost."""

    def __init__(self, aws, queue_url=None, webhook=None, header="x-api-key", key=None):
        self._aws, self.queue_url = aws, queue_url
        self.webhook, self._header, self._key = webhook, header, key
        self.sent = []
        self._line = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def configure(self, queue_url, webhook, key):
        self.queue_url, self.webhook, self._key = queue_url, webhook, key

    def put(self, told):
        self._line.put(told)

    def flush(self):
        """Waits until everything so far was sent."""
        self._line.join()

    def close(self):
        """Waits until everything was sent."""
        self._line.put(None)
        self._thread.join(timeout=10)

    def _run(self):
        while (told := self._line.get()) is not None:
            body = json.dumps(told)
            if self.queue_url:
                self._thrice(lambda: self._aws.send(self.queue_url, body))
            if self.webhook:
                self._thrice(lambda: self._post(body))
            self.sent.append(told)
            self._line.task_done()

    def _post(self, body):
        headers = {"content-type": "application/json"}
        if self._key:
            headers[self._header] = self._key
        request = urllib.request.Request(self.webhook, body.encode(), headers, method="POST")
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            # What the receiver refuses it would refuse again.
            if error.code >= 500 or error.code == 429:
                raise

    @staticmethod
    def _thrice(call):
        for attempt in range(3):
            try:
                call()
                return
            except Exception:  # noqa: BLE001: whatever it was, it is tried again
                time.sleep(0.1 * 2**attempt)
