"""The REST-JSON protocol, and `/_…` for tests: faults, events, requests."""

import json
import re
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .service import Refused

JOBS = "/2017-08-29/jobs"
# The service's own bound is of this size.
BODY = 4 * 1024 * 1024
CODES = {
    400: "BadRequestException",
    403: "ForbiddenException",
    404: "NotFoundException",
    409: "ConflictException",
    429: "TooManyRequestsException",
}


def serve(host, port, service):
    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    server.service = service
    return server


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(b"")

    def do_DELETE(self):
        self._answer(b"")

    def do_POST(self):
        self._with_body()

    def do_PUT(self):
        self._with_body()

    def _with_body(self):
        size = self.headers.get("content-length", "")
        if not size.isdigit() or int(size) > BODY:
            self.close_connection = True
            return self._send(413, {"message": "The request is too large"}, "BadRequestException")
        self._answer(self.rfile.read(int(size)))

    def _answer(self, body):
        try:
            url = urllib.parse.urlsplit(self.path)
            path = url.path.rstrip("/")
            query = dict(urllib.parse.parse_qsl(url.query))
            if path.startswith("/_"):
                return self._send(200, self._control(path, body))
            self._authenticate()
            self._service(path, query, body)
        except Refused as error:
            self._send(error.status, {"message": error.message}, error.code)
        except (ValueError, KeyError) as error:
            self._send(400, {"message": str(error)}, "BadRequestException")

    def _authenticate(self):
        signed = self.headers.get("authorization", "")
        if not re.match(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/[^/]+/mediaconvert/aws4_request", signed):
            raise Refused(403, "ForbiddenException", "Missing or wrong authentication token")

    def _service(self, path, query, body):
        service, name = self.server.service, path.removeprefix(JOBS + "/")
        if (self.command, path) == ("POST", "/2017-08-29/endpoints"):
            self._faulty("DescribeEndpoints")
            return self._send(200, {"endpoints": [{"url": f"http://{self.headers['host']}"}]})
        if (self.command, path) == ("POST", JOBS):
            return self._create(body)
        if (self.command, path) == ("GET", JOBS):
            self._faulty("ListJobs")
            limit = int(query.get("maxResults", 20))
            if not 1 <= limit <= 20:
                raise Refused(400, "BadRequestException", "maxResults is 1 to 20")
            return self._send(200, {"jobs": service.list(query.get("status"), limit)})
        if path.startswith(JOBS + "/") and "/" not in name:
            if self.command == "GET":
                self._faulty("GetJob")
                return self._send(200, {"job": service.get(name)})
            if self.command == "DELETE":
                self._faulty("CancelJob")
                service.cancel(name)
                return self._send(202, {})
        raise Refused(404, "NotFoundException", f"There is no {self.command} {path}")

    def _create(self, body):
        fault = self._faulty("CreateJob")
        try:
            request = json.loads(body)
        except ValueError as error:
            raise Refused(400, "BadRequestException", "The request is no JSON") from error
        if not isinstance(request, dict):
            raise Refused(400, "BadRequestException", "The request is no object")
        job, early = self.server.service.create(request)
        if early:
            early.result()
            self.server.service.sink.flush()
        if fault:
            self._refuse(fault)
        self._send(201, {"job": job})

    def _faulty(self, operation):
        """A fault that is to happen after the work is done; others happen now."""
        fault = self.server.service.faults.request(operation)
        if fault and fault.get("after"):
            return fault
        if fault:
            self._refuse(fault)
        return None

    def _refuse(self, fault):
        status = fault["status"]
        self._retry_after = fault.get("retryAfter")
        code = fault.get("code") or CODES.get(status, "InternalServerErrorException")
        raise Refused(status, code, "As the fault script says")

    def _control(self, path, body):
        service = self.server.service
        if (self.command, path) == ("GET", "/_health"):
            return {"status": "ok"}
        if (self.command, path) == ("PUT", "/_faults"):
            service.faults.set(json.loads(body))
            return {}
        if (self.command, path) == ("GET", "/_faults"):
            return service.faults.left()
        if (self.command, path) == ("PUT", "/_events"):
            to = json.loads(body)
            service.sink.configure(to.get("queue"), to.get("webhook"), to.get("key"))
            return {}
        if (self.command, path) == ("GET", "/_events"):
            return {"events": list(service.sink.sent)}
        if (self.command, path) == ("GET", "/_requests"):
            return {"requests": list(service.requests)}
        raise Refused(404, "NotFoundException", f"There is no {self.command} {path}")

    _retry_after = None

    def _send(self, status, answer, code=None):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-amzn-requestid", str(uuid.uuid4()))
        if code:
            self.send_header("x-amzn-errortype", code)
        if self._retry_after is not None:
            self.send_header("retry-after", str(self._retry_after))
            self._retry_after = None
        self.end_headers()
        self.wfile.write(body)
