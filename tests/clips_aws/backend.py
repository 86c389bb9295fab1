"""A back end: brings clips over gRPC and the AWS SDK, follows them and plays them. One step for each run; what came of
it is printed as JSON."""

import datetime
import hashlib
import json
import os
import urllib.error
import urllib.request
import uuid

import boto3
import botocore.auth
import grpc
from botocore.config import Config
from botocore.exceptions import ClientError
from kaiwa.media.v1 import media_pb2 as pb
from kaiwa.media.v1 import media_pb2_grpc as stubs

script = json.loads(os.environ["KAIWA_SCRIPT"])
if ahead := script.get("ahead"):
    # A clock that agrees with the emulator's: what is refused is the credentials, not the time of the request.
    real = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *a, **k: real(*a, **k) + datetime.timedelta(seconds=ahead)
PART = 5 * 1024 * 1024
ENDED = {pb.CLIP_STATE_READY, pb.CLIP_STATE_FAILED, pb.CLIP_STATE_REJECTED, pb.CLIP_STATE_CANCELLED,
         pb.CLIP_STATE_EXPIRED, pb.CLIP_STATE_DELETED}

clips = stubs.MediaPipelineStub(grpc.insecure_channel(script["grpc"]))
who = (("authorization", f"Bearer {script['token']}"), ("x-acting-user", script["user"]))


def key():
    return str(uuid.uuid4())


def name(state):
    return pb.ClipState.Name(state).removeprefix("CLIP_STATE_")


def registered(size):
    declared = pb.DeclaredFile(name="talk.mp4", size=size, content_type="video/mp4")
    request = pb.CreateClipRequest(request_id=key(), room_id=script["room"], title="A talk", share=True,
                                   declared=declared)
    clip = clips.CreateClip(request, metadata=who, timeout=10)
    assert clip.state == pb.CLIP_STATE_CREATED, clip
    return clip.id


def credentials(clip):
    request = pb.IssueUploadCredentialsRequest(request_id=key(), clip_id=clip, mode=pb.UPLOAD_MODE_CREDENTIALS)
    return clips.IssueUploadCredentials(request, metadata=who, timeout=10).credentials


def s3_of(given):
    config = Config(retries={"max_attempts": 3}, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=given["endpoint"], region_name=given["region"], config=config,
                        aws_access_key_id=given["id"], aws_secret_access_key=given["secret"],
                        aws_session_token=given["session"])


def plain(given):
    return {"endpoint": given.endpoint, "region": given.region, "bucket": given.bucket, "key": given.key,
            "id": given.access_key_id, "secret": given.secret_access_key, "session": given.session_token}


def stored(given, data):
    """In parts, as the SDK's users do."""
    s3 = s3_of(given)
    where = {"Bucket": given["bucket"], "Key": given["key"]}
    upload = s3.create_multipart_upload(ContentType="video/mp4", **where)["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(data), PART), 1):
        sent = s3.upload_part(PartNumber=number, UploadId=upload, Body=data[at:at + PART], **where)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3.complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": parts}, **where)
    return len(parts)


def outcome(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"


def opened(given):
    """What these credentials do with everything that is not theirs."""
    s3 = s3_of(given)
    bucket, own = given["bucket"], given["key"]
    folder = own.rsplit("/", 1)[0]
    others = [f"{folder}/processed/hls/index.m3u8", f"{folder}/source2", f"{folder}2/source", "video/other/source"]
    tried = {f"put {other}": outcome(s3.put_object, Bucket=bucket, Key=other, Body=b"x") for other in others}
    tried["put other bucket"] = outcome(s3.put_object, Bucket=script["other"], Key=own, Body=b"x")
    tried["begin elsewhere"] = outcome(s3.create_multipart_upload, Bucket=bucket, Key=others[0])
    tried["read"] = outcome(s3.get_object, Bucket=bucket, Key=own)
    tried["delete"] = outcome(s3.delete_object, Bucket=bucket, Key=own)
    tried["list"] = outcome(s3.list_objects_v2, Bucket=bucket, Prefix=folder)
    return tried


def followed(clip):
    """States as a watch tells them, to the end."""
    states = []
    stream = clips.WatchClip(pb.WatchClipRequest(clip_id=clip), metadata=who, timeout=script["patience"])
    for event in stream:
        what = event.WhichOneof("what")
        seen = list(event.snapshot.clips) if what == "snapshot" else [event.changed] if what == "changed" else []
        for one in seen:
            if not states or states[-1] != name(one.state):
                states.append(name(one.state))
            if one.state in ENDED:
                stream.cancel()
                return states, one
    raise AssertionError(f"the watch ended after {states}")


def fetched(path):
    try:
        with urllib.request.urlopen(script["http"] + path, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def lines(text):
    return [line for line in text.decode().splitlines() if line and not line.startswith("#")]


def played(clip):
    """Every rendition's first segment, by the server."""
    grant = clips.IssuePlayback(pb.IssuePlaybackRequest(clip_id=clip), metadata=who, timeout=10)
    status, master = fetched(grant.url)
    assert status == 200 and master.startswith(b"#EXTM3U"), (status, master)
    folder = grant.url.rsplit("/", 1)[0]
    segments = 0
    for rendition in lines(master):
        status, playlist = fetched(f"{folder}/{rendition}")
        assert status == 200, (rendition, status)
        status, segment = fetched(f"{folder}/{lines(playlist)[0]}")
        assert status == 200 and segment[0] == 0x47, (rendition, status)
        segments += 1
    return {"renditions": segments, "elsewhere": fetched(grant.url.replace(clip, str(uuid.uuid4())))[0],
            "bent": fetched(grant.url.replace("/v/", "/v/x", 1))[0]}


def ended(clip):
    states, last = followed(clip)
    found = {"clip": clip, "states": states, "reason": last.error.reason, "attempt": last.attempt}
    if last.state == pb.CLIP_STATE_READY:
        found["played"] = played(clip)
    return found


def mirror(method, path, body):
    headers = {"authorization": who[0][1], "x-acting-user": who[1][1], "content-type": "application/json"}
    request = urllib.request.Request(script["http"] + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def by_credentials(data):
    clip = registered(len(data))
    given = plain(credentials(clip))
    parts = stored(given, data)
    return {**ended(clip), "parts": parts, "given": given, "opened": opened(given)}


def by_mirror(data):
    """Signed parts, over HTTP alone."""
    import base64

    def b64(of):
        return base64.b64encode(hashlib.sha256(of).digest()).decode()

    declared = {"name": "talk.mp4", "size": str(len(data)), "contentType": "video/mp4"}
    clip = mirror("POST", "/api/v1/clips", {"requestId": key(), "roomId": script["room"], "title": "A talk",
                                            "share": True, "declared": declared})["id"]
    size = 8 * 1024 * 1024
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    plans = [{"number": n, "size": str(len(piece)), "sha256": b64(piece)} for n, piece in enumerate(pieces, 1)]
    grant = mirror("POST", f"/api/v1/clips/{clip}/upload", {"requestId": key(), "parts": plans})
    assert int(grant["parts"]["partSize"]) == size, grant
    for part, piece in zip(grant["parts"]["parts"], pieces):
        headers = {k: v for k, v in part["headers"].items() if k.lower() != "content-length"}
        request = urllib.request.Request(part["url"], piece, headers, method=part["method"])
        urllib.request.urlopen(request, timeout=20).close()
    mirror("POST", f"/api/v1/clips/{clip}/complete", {"requestId": key()})
    return {**ended(clip), "parts": len(pieces)}


def begun(data):
    """Uploaded, and left to itself."""
    clip = registered(len(data))
    stored(plain(credentials(clip)), data)
    return {"clip": clip}


def cancelled(clip):
    clips.CancelClip(pb.CancelClipRequest(request_id=key(), clip_id=clip), metadata=who, timeout=10)
    return ended(clip)


def reached(clip):
    """Waits for a state."""
    stream = clips.WatchClip(pb.WatchClipRequest(clip_id=clip), metadata=who, timeout=script["patience"])
    for event in stream:
        what = event.WhichOneof("what")
        seen = list(event.snapshot.clips) if what == "snapshot" else [event.changed] if what == "changed" else []
        if any(name(one.state) in script["states"] for one in seen):
            stream.cancel()
            return {"clip": clip}
    raise AssertionError("it did not come to it")


def main():
    data = open(script["file"], "rb").read() if "file" in script else b""
    steps = {"by_credentials": lambda: by_credentials(data), "by_mirror": lambda: by_mirror(data),
             "begun": lambda: begun(data), "ended": lambda: ended(script["clip"]),
             "cancelled": lambda: cancelled(script["clip"]), "reached": lambda: reached(script["clip"]),
             "opened": lambda: opened(script["given"]),
             "written": lambda: {"own": outcome(s3_of(script["given"]).put_object, Bucket=script["given"]["bucket"],
                                                Key=script["given"]["key"], Body=b"x")}}
    print(json.dumps(steps[script["step"]]()))


main()
