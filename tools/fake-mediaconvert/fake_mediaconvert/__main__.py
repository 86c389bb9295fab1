"""`python -m fake_mediaconvert`: serves until it is ended, and prints its address first."""

import argparse
import os
import signal
import sys
import threading

from .aws import Aws
from .events import Sink
from .server import serve
from .service import Service


def main():
    arguments = argparse.ArgumentParser(prog="fake_mediaconvert", description=__doc__)
    arguments.add_argument("--host", default="127.0.0.1", help="address to listen on")
    arguments.add_argument("--port", type=int, default=0, help="0: any that is free")
    arguments.add_argument("--aws-endpoint", help="the emulated S3 and SQS, such as http://127.0.0.1:4566")
    arguments.add_argument("--region", default="us-east-1")
    arguments.add_argument("--event-queue", help="URL of an SQS queue that gets every event")
    arguments.add_argument("--webhook", help="URL that gets every event by POST")
    arguments.add_argument("--webhook-header", default="x-api-key", help="header of the API key")
    arguments.add_argument(
        "--webhook-key-env",
        default="FAKE_MEDIACONVERT_KEY",
        help="environment variable with the API key (not an argument: others see arguments)",
    )
    options = arguments.parse_args()
    aws = Aws(options.aws_endpoint, options.region)
    sink = Sink(
        aws,
        options.event_queue,
        options.webhook,
        options.webhook_header,
        os.environ.get(options.webhook_key_env),
    )
    server = serve(options.host, options.port, Service(aws, sink))
    host, port = server.server_address[:2]
    print(f"listening on http://{host}:{port}", flush=True)
    # Off this thread: shutdown() waits for the loop that this thread runs.
    stop = lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever()
    server.service.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
