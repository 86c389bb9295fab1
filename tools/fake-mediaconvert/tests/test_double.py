"""The double's own tests: `python -m unittest` in this folder. They need ffmpeg, and no emulator."""

import copy
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from fake_mediaconvert import model, rules, transcode
from fake_mediaconvert.events import Sink
from fake_mediaconvert.server import serve
from fake_mediaconvert.service import Service

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/mediaconvert/aws4_request, SignedHeaders=host, Signature=0"


def request():
    h264 = {
        "rateControlMode": "QVBR",
        "maxBitrate": 300000,
        "gopSize": 2,
        "gopSizeUnits": "SECONDS",
        "qvbrSettings": {"qvbrQualityLevel": 7},
    }
    video = {"width": 160, "height": 90, "codecSettings": {"codec": "H_264", "h264Settings": h264}}
    audio = {
        "audioSourceName": "Audio Selector 1",
        "codecSettings": {
            "codec": "AAC",
            "aacSettings": {"bitrate": 96000, "codingMode": "CODING_MODE_2_0", "sampleRate": 48000},
        },
    }
    frames = {"codec": "FRAME_CAPTURE", "frameCaptureSettings": {"framerateNumerator": 1, "framerateDenominator": 1}}
    hls = {"destination": "s3://clips/out/hls/index", "segmentLength": 2, "minSegmentLength": 0}
    return {
        "role": "arn:aws:iam::000000000000:role/transcode",
        "clientRequestToken": "clip-1",
        "userMetadata": {"clip": "c"},
        "settings": {
            "inputs": [
                {
                    "fileInput": "s3://clips/in/source",
                    "audioSelectors": {"Audio Selector 1": {"defaultSelection": "DEFAULT"}},
                }
            ],
            "outputGroups": [
                {
                    "outputGroupSettings": {"type": "HLS_GROUP_SETTINGS", "hlsGroupSettings": hls},
                    "outputs": [
                        {
                            "nameModifier": "_90p",
                            "containerSettings": {"container": "M3U8"},
                            "videoDescription": video,
                            "audioDescriptions": [audio],
                        }
                    ],
                },
                {
                    "outputGroupSettings": {
                        "type": "FILE_GROUP_SETTINGS",
                        "fileGroupSettings": {"destination": "s3://clips/out/thumbnails/thumb"},
                    },
                    "outputs": [
                        {
                            "containerSettings": {"container": "RAW"},
                            "videoDescription": {"width": 80, "height": 46, "codecSettings": frames},
                        }
                    ],
                },
            ],
        },
    }


class Bucket:
    """S3 and SQS of the tests: a folder, and a list."""

    region = "us-east-1"

    def __init__(self, folder):
        self.folder, self.told = folder, []

    def has_bucket(self, bucket):
        return bucket == "clips"

    def download(self, _, key, path):
        try:
            shutil.copy(os.path.join(self.folder, key), path)
        except OSError:
            return False
        return True

    def upload(self, path, _, key):
        to = os.path.join(self.folder, key)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy(path, to)

    def send(self, _, body):
        self.told.append(json.loads(body))


class Rules(unittest.TestCase):
    def wrong(self, change):
        body = copy.deepcopy(request())
        change(body)
        return model.check("CreateJob", body) or rules.check(body, lambda bucket: bucket == "clips")

    def test_a_good_request_passes(self):
        self.assertEqual(self.wrong(lambda body: None), [])

    def test_each_bad_request_is_refused_with_its_place(self):
        settings = lambda b: b["settings"]
        hls = lambda b: b["settings"]["outputGroups"][0]
        video = lambda b: hls(b)["outputs"][0]["videoDescription"]
        h264 = lambda b: video(b)["codecSettings"]["h264Settings"]
        hls_settings = lambda b: hls(b)["outputGroupSettings"]["hlsGroupSettings"]
        frames = lambda b: b["settings"]["outputGroups"][1]["outputs"][0]
        for name, change, word in [
            ("required", lambda b: b.pop("role"), "role is required"),
            ("unknown", lambda b: b.update(colour="red"), "colour is unknown"),
            ("type", lambda b: video(b).update(width="wide"), "width: is no integer"),
            ("boolean is no number", lambda b: video(b).update(width=True), "is no integer"),
            ("enum", lambda b: h264(b).update(rateControlMode="CRF"), "is none of"),
            ("minimum", lambda b: h264(b).update(maxBitrate=5), "under 1000"),
            ("maximum", lambda b: h264(b).update(maxBitrate=2_000_000_000), "over"),
            ("pattern", lambda b: hls_settings(b).update(destination="http://x/y"), "does not match"),
            ("role", lambda b: b.update(role="r"), "no ARN of a role"),
            ("no input", lambda b: settings(b).update(inputs=[]), "inputs: at least one"),
            ("no group", lambda b: settings(b).update(outputGroups=[]), "outputGroups: at least one"),
            ("no output", lambda b: hls(b).update(outputs=[]), "outputs: at least one"),
            ("QVBR", lambda b: h264(b).pop("maxBitrate"), "QVBR needs maxBitrate"),
            ("segment", lambda b: hls_settings(b).pop("minSegmentLength"), "minSegmentLength is needed"),
            ("odd", lambda b: video(b).update(width=161), "width must be even"),
            ("capture", lambda b: hls(b)["outputs"].append({**frames(b), "nameModifier": "x"}), "FILE_GROUP only"),
            ("twice", lambda b: hls(b)["outputs"].append(hls(b)["outputs"][0]), "its own nameModifier"),
            ("selector", lambda b: settings(b)["inputs"][0].pop("audioSelectors"), "no audio selector"),
            ("bucket", lambda b: hls_settings(b).update(destination="s3://other/x"), "no such bucket"),
            ("container", lambda b: hls(b)["outputs"][0].update(containerSettings={"container": "MP4"}), "does not fit"),
        ]:
            with self.subTest(name):
                self.assertIn(word, "; ".join(self.wrong(change)))


class Server(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.source = tempfile.mkdtemp()
        os.mkdir(os.path.join(cls.source, "in"))
        command = "ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=s=160x90:r=10:d=3 -f lavfi -i sine=d=3"
        command += " -c:v libx264 -preset ultrafast -c:a aac -shortest -f mp4"
        subprocess.run([*command.split(), os.path.join(cls.source, "in", "source")], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.source)

    def setUp(self):
        self.bucket = Bucket(tempfile.mkdtemp())
        shutil.copytree(os.path.join(self.source, "in"), os.path.join(self.bucket.folder, "in"))
        self.server = serve("127.0.0.1", 0, Service(self.bucket, Sink(self.bucket, "queue")))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.root = f"http://127.0.0.1:{self.server.server_address[1]}"

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.server.service.close()
        shutil.rmtree(self.bucket.folder)

    def call(self, method, path, body=None, signed=SIGNED):
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.root + path, data, {"authorization": signed}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, json.load(answer), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers

    def create(self, body=None):
        return self.call("POST", "/2017-08-29/jobs", body or request())

    def faults(self, **script):
        self.assertEqual(self.call("PUT", "/_faults", script)[0], 200)

    def over(self, job):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            shown = self.call("GET", f"/2017-08-29/jobs/{job}")[1]["job"]
            if shown["status"] in ("COMPLETE", "ERROR", "CANCELED"):
                self.server.service.sink.flush()
                return shown
            time.sleep(0.02)
        self.fail("the job does not end")

    def statuses(self):
        return [told["detail"]["status"] for told in self.bucket.told]

    def test_a_job_is_carried_out_and_told_of(self):
        status, answer, _ = self.create()
        self.assertEqual((status, answer["job"]["status"]), (201, "SUBMITTED"))
        job = self.over(answer["job"]["id"])
        self.assertEqual(job["status"], "COMPLETE", job)
        files = {os.path.join(d, f) for d, _, names in os.walk(self.bucket.folder) for f in names}
        names = {os.path.relpath(f, self.bucket.folder) for f in files}
        hls = {"out/hls/index.m3u8", "out/hls/index_90p.m3u8", "out/hls/index_90p_00000.ts", "out/hls/index_90p_00001.ts"}
        self.assertLessEqual(hls | {"out/thumbnails/thumb.0000000.jpg", "out/thumbnails/thumb.0000002.jpg"}, names)
        self.assertEqual(self.statuses()[:2], ["PROGRESSING", "INPUT_INFORMATION"])
        last = self.bucket.told[-1]
        self.assertEqual((last["source"], last["detail"]["userMetadata"]), ("aws.mediaconvert", {"clip": "c"}))
        groups = last["detail"]["outputGroupDetails"]
        self.assertEqual(groups[0]["playlistFilePaths"], ["s3://clips/out/hls/index.m3u8"])

    def test_a_token_makes_one_job(self):
        self.faults(jobs=[{"do": "stuck"}])
        first, second = self.create()[1], self.create()[1]
        self.assertEqual(first["job"]["id"], second["job"]["id"])
        other = {**request(), "priority": 1}
        self.assertEqual(self.create(other)[0], 409)
        self.assertEqual(len(self.call("GET", "/2017-08-29/jobs")[1]["jobs"]), 1)

    def test_a_stuck_job_is_cancelled_once(self):
        self.faults(jobs=[{"do": "stuck"}])
        path = "/2017-08-29/jobs/" + self.create()[1]["job"]["id"]
        self.assertEqual(self.call("DELETE", path)[0], 202)
        self.assertEqual(self.call("DELETE", path)[0], 409)
        self.assertEqual(self.call("GET", path)[1]["job"]["status"], "CANCELED")
        self.server.service.sink.flush()
        self.assertEqual(self.statuses(), ["CANCELED"])

    def test_errors_have_the_services_codes(self):
        body = request()
        body["settings"]["inputs"][0]["fileInput"] = "s3://clips/in/nothing"
        self.assertEqual(self.over(self.create(body)[1]["job"]["id"])["errorCode"], 1404)
        self.faults(jobs=[{"do": "error", "code": 3999}])
        again = {**request(), "clientRequestToken": "clip-2"}
        self.assertEqual(self.over(self.create(again)[1]["job"]["id"])["errorCode"], 3999)
        self.assertEqual(self.call("GET", "/2017-08-29/jobs/none")[0], 404)
        self.assertEqual(self.call("GET", "/2017-08-29/jobs", signed="none")[0], 403)

    def test_a_playlist_as_input_is_not_followed(self):
        with tempfile.TemporaryDirectory() as folder:
            film, playlist = os.path.join(folder, "film.ts"), os.path.join(folder, "source")
            lavfi = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=d=1:s=64x64", film]
            subprocess.run(lavfi, check=True)
            with open(playlist, "w") as file:
                file.write(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n")
            self.assertEqual(len(transcode.probe(film)[0]), 1)
            with self.assertRaises(transcode.JobError):
                transcode.probe(playlist)

    def test_requests_fail_as_the_script_says_and_then_succeed(self):
        self.faults(requests=[{"operation": "CreateJob", "status": 429, "retryAfter": 2}, {"status": 503}])
        status, _, headers = self.create()
        self.assertEqual((status, headers["x-amzn-errortype"], headers["retry-after"]), (429, "TooManyRequestsException", "2"))
        self.assertEqual([self.create()[0], self.create()[0]], [503, 201])

    def test_a_lost_answer_has_created_the_job(self):
        self.faults(requests=[{"operation": "CreateJob", "status": 500, "after": True}], jobs=[{"do": "stuck"}])
        self.assertEqual(self.create()[0], 500)
        self.assertEqual(len(self.call("GET", "/2017-08-29/jobs")[1]["jobs"]), 1)
        self.assertEqual(self.create()[0], 201)
        self.assertEqual(len(self.call("GET", "/2017-08-29/jobs")[1]["jobs"]), 1)

    def test_events_are_dropped_doubled_and_reordered(self):
        self.faults(
            events=[
                {"status": "PROGRESSING", "do": "drop"},
                {"status": "INPUT_INFORMATION", "do": "reorder"},
                {"status": "COMPLETE", "do": "duplicate"},
            ]
        )
        self.over(self.create()[1]["job"]["id"])
        statuses = self.statuses()
        self.assertNotIn("PROGRESSING", statuses)
        self.assertEqual(statuses[:2], ["STATUS_UPDATE", "INPUT_INFORMATION"])
        self.assertEqual(statuses[-2:], ["COMPLETE", "COMPLETE"])
        self.assertEqual(self.bucket.told[-1]["id"], self.bucket.told[-2]["id"])

    def test_an_early_job_is_over_before_its_answer(self):
        self.faults(jobs=[{"do": "early"}])
        answer = self.create()[1]
        self.assertEqual(answer["job"]["status"], "SUBMITTED")
        self.assertEqual(self.statuses()[-1], "COMPLETE")

    def test_a_script_that_would_do_nothing_is_refused(self):
        for script in ({"colour": []}, {"events": [{"do": "explode"}]}, {"requests": [{"times": 1}]}):
            self.assertEqual(self.call("PUT", "/_faults", script)[0], 400)

    def test_a_webhook_gets_events_with_its_key(self):
        got = []

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                got.append((self.headers["x-api-key"], body["detail"]["status"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        hook = HTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        try:
            to = {"webhook": f"http://127.0.0.1:{hook.server_address[1]}/", "key": "k"}
            self.call("PUT", "/_events", to)
            self.faults(jobs=[{"do": "error", "code": 1010}])
            self.over(self.create()[1]["job"]["id"])
            self.assertEqual(got, [("k", "ERROR")])
        finally:
            hook.shutdown()
            hook.server_close()


if __name__ == "__main__":
    unittest.main()
