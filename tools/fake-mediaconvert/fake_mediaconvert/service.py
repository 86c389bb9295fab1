"""Jobs: created, carried out, told of, cancelled. What goes wrong on purpose is asked of the fault script."""

import concurrent.futures
import os
import random
import shutil
import string
import tempfile
import threading
import time

from . import events, model, rules, transcode
from .aws import split
from .events import ACCOUNT
from .faults import Faults
from .transcode import JobError

OVER = ("COMPLETE", "CANCELED", "ERROR")


class Refused(Exception):
    """An answer that is an error of the service."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Service:
    def __init__(self, aws, sink):
        self.aws, self.sink, self.faults = aws, sink, Faults()
        self.requests, self._jobs, self._tokens = [], {}, {}
        self._lock = threading.Lock()
        self._held = []
        # As the service's default queue: a few at once, the others wait.
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=2)

    def close(self):
        with self._lock:
            for job in self._jobs.values():
                if job["status"] not in OVER:
                    job["status"] = "CANCELED"
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.sink.close()

    def create(self, body):
        """The job, new or the token's. The same token with another request is refused."""
        errors = model.check("CreateJob", body) or rules.check(body, self.aws.has_bucket)
        if errors:
            raise Refused(400, "BadRequestException", "; ".join(errors[:10]))
        with self._lock:
            self.requests.append(body)
            token = body.get("clientRequestToken")
            known = self._tokens.get(token)
            if known:
                first = self._jobs[known]["_request"]
                if first != body:
                    raise Refused(409, "ConflictException", "The token was used for another request")
                return self._shown(self._jobs[known]), None
            job = self._new(body)
            self._jobs[job["id"]] = job
            if token:
                job["clientRequestToken"] = token
                self._tokens[token] = job["id"]
            shown = self._shown(job)
        fault = self.faults.job() or {}
        if fault.get("do") == "stuck":
            return shown, None
        done = self._pool.submit(self._run, job, fault)
        # `early`: the answer waits until the job is over, and its COMPLETE is told.
        return shown, done if fault.get("do") == "early" else None

    def get(self, name):
        with self._lock:
            if name not in self._jobs:
                raise Refused(404, "NotFoundException", f"The job {name} was not found")
            return self._shown(self._jobs[name])

    def list(self, status, limit):
        with self._lock:
            jobs = [self._shown(j) for j in self._jobs.values() if status in (None, j["status"])]
        return list(reversed(jobs))[:limit]

    def cancel(self, name):
        with self._lock:
            job = self._jobs.get(name)
            if job is None:
                raise Refused(404, "NotFoundException", f"The job {name} was not found")
            if job["status"] in OVER:
                raise Refused(409, "ConflictException", f"The job is {job['status']} already")
            job["status"] = "CANCELED"
            job["timing"]["finishTime"] = int(time.time())
        self._tell(job, "CANCELED")

    def _new(self, body):
        name = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))
        name = f"{int(time.time() * 1000)}-{name}"
        arn = f"arn:aws:mediaconvert:{self.aws.region}:{ACCOUNT}"
        now = int(time.time())
        return {
            "id": name,
            "arn": f"{arn}:jobs/{name}",
            "status": "SUBMITTED",
            "createdAt": now,
            "queue": body.get("queue") or f"{arn}:queues/Default",
            "role": body["role"],
            "settings": body["settings"],
            "userMetadata": body.get("userMetadata", {}),
            "timing": {"submitTime": now},
            "_request": body,
        }

    @staticmethod
    def _shown(job):
        return {name: value for name, value in job.items() if not name.startswith("_")}

    def _set(self, job, **values):
        """Whether it was changed: nothing is, once it is over."""
        with self._lock:
            if job["status"] in OVER:
                return False
            job.update(values)
            if job["status"] in OVER:
                job["timing"]["finishTime"] = int(time.time())
            return True

    def _run(self, job, fault):
        folder = tempfile.mkdtemp(prefix="fake-mediaconvert-")
        try:
            if fault.get("do") == "error":
                raise JobError(fault.get("code", 1999), fault.get("message", "As the fault script says"))
            groups = self._work(job, folder)
            shown = [
                {"outputDetails": [{k: d[k] for k in ("durationInMs", "videoDetails")} for d in g["outputDetails"]]}
                for g in groups
            ]
            if self._set(job, status="COMPLETE", jobPercentComplete=100, outputGroupDetails=shown):
                self._tell(job, "COMPLETE", outputGroupDetails=groups, paddingInserted=0, blackVideoDetected=0)
        except JobError as error:
            self._fail(job, error.code, error.message)
        except Exception as error:  # noqa: BLE001: the service has one code for what it did not foresee
            self._fail(job, 1999, repr(error)[:200])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fail(self, job, code, message):
        if self._set(job, status="ERROR", errorCode=code, errorMessage=message):
            self._tell(job, "ERROR", errorCode=code, errorMessage=message)

    def _work(self, job, folder):
        if not self._set(job, status="PROGRESSING", currentPhase="PROBING", jobPercentComplete=0):
            return []
        self._tell(job, "PROGRESSING")
        settings = job["settings"]
        uri = settings["inputs"][0]["fileInput"]
        source = os.path.join(folder, "source")
        if not self.aws.download(*split(uri), source):
            raise JobError(1404, f"Unable to open input file [{uri}]")
        videos, audios, seconds = transcode.probe(source)
        self._tell(job, "INPUT_INFORMATION", inputDetails=transcode.describe(uri, videos, audios))
        self._set(job, currentPhase="TRANSCODING")
        done = []
        for place, group in enumerate(settings["outputGroups"]):
            if job["status"] in OVER:
                return []
            out = os.path.join(folder, f"group{place}")
            os.mkdir(out)
            if group["outputGroupSettings"]["type"] == "HLS_GROUP_SETTINGS":
                done += self._hls(job, transcode.Hls(group, source, out, bool(audios), seconds), out)
            else:
                done.append(self._files(group, source, out, seconds))
        return done

    def _hls(self, job, hls, out):
        last = [-100]

        def on_percent(percent):
            self._set(job, jobPercentComplete=percent)
            if percent - last[0] >= 25:
                last[0] = percent
                self._tell(job, "STATUS_UPDATE", framesDecoded=0, jobProgress=_progress(percent))

        if not hls.run(on_percent, lambda: job["status"] in OVER):
            return []
        self._set(job, currentPhase="UPLOADING")
        for name in sorted(os.listdir(out)):
            self.aws.upload(os.path.join(out, name), hls.bucket, hls.prefix + name)
        return [hls.details()]

    def _files(self, group, source, out, seconds):
        bucket, key = split(group["outputGroupSettings"]["fileGroupSettings"]["destination"])
        base = key.rsplit("/", 1)[-1]
        prefix, base = key[: len(key) - len(base)], base or "source"
        details = []
        for output in group["outputs"]:
            video = output["videoDescription"]
            if video["codecSettings"].get("codec") != "FRAME_CAPTURE":
                raise JobError(1030, "This double makes frame captures only in a FILE_GROUP")
            names = transcode.capture(output, source, out, base)
            for name in names:
                self.aws.upload(os.path.join(out, name), bucket, prefix + name)
            size = {"widthInPx": video.get("width", 0), "heightInPx": video.get("height", 0)}
            # The last picture's name alone, as the service does.
            paths = [f"s3://{bucket}/{prefix}{name}" for name in names[-1:]]
            details.append({"outputFilePaths": paths, "durationInMs": int(seconds * 1000), "videoDetails": size})
        return {"type": "FILE_GROUP", "outputDetails": details}

    def _tell(self, job, status, **extra):
        told = events.event(job, self.aws.region, status, extra)
        fault = self.faults.event(status) or {}
        do = fault.get("do")
        with self._lock:
            held, self._held = self._held, []
        if do == "reorder":
            # It comes after the next one; if there is none, after a second.
            with self._lock:
                self._held = [*held, told]
            self._later(1, self._release)
            return
        if do == "delay":
            self._later(fault.get("seconds", 1), lambda: self.sink.put(told))
        elif do != "drop":
            for _ in range(2 if do == "duplicate" else 1):
                self.sink.put(told)
        for late in held:
            self.sink.put(late)

    def _release(self):
        with self._lock:
            held, self._held = self._held, []
        for late in held:
            self.sink.put(late)

    @staticmethod
    def _later(seconds, call):
        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()


def _progress(percent):
    def phase(status, done):
        return {"status": status, "percentComplete": done}

    return {
        "jobPercentComplete": percent,
        "currentPhase": "TRANSCODING",
        "retryCount": 0,
        "phaseProgress": {
            "PROBING": phase("COMPLETE", 100),
            "TRANSCODING": phase("PROGRESSING", percent),
            "UPLOADING": phase("PENDING", 0),
        },
    }
