"""A back end in Python: what it gets from the server, by code generated from `proto/` alone."""

import json
import os
import time

import grpc
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status
from kaiwa.media.v1 import media_pb2 as pb
from kaiwa.media.v1 import media_pb2_grpc as stubs

script = json.loads(os.environ["KAIWA_SCRIPT"])
channel = grpc.insecure_channel(script["address"])
clips = stubs.MediaPipelineStub(channel)
admin = stubs.MediaAdminStub(channel)

KINDS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        details.ErrorInfo, details.BadRequest, details.PreconditionFailure, details.QuotaFailure,
        details.RetryInfo, details.RequestInfo,
    )
}


def bearer(token, *more):
    return (("authorization", f"Bearer {token}"),) + more


creator = bearer(script["creator"])


def typed(error):
    """The code, the reason and the details of an error."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    found = {}
    for packed in status.details:
        kind = KINDS[packed.type_url.rsplit("/", 1)[1]]()
        assert packed.Unpack(kind)
        found[type(kind).__name__] = kind
    info = found["ErrorInfo"]
    assert info.domain == "media.kaiwa", info
    assert info.metadata["help"], info
    names = dict(error.initial_metadata() or ())
    names.update(dict(error.trailing_metadata() or ()))
    assert names["x-request-id"] == found["RequestInfo"].request_id, names
    return error.code(), info.reason, found


def refused(call, request, metadata=creator, timeout=10):
    """What comes of a call that has to be refused."""
    try:
        answer = call(request, metadata=metadata, timeout=timeout)
        if hasattr(answer, "__next__"):
            next(answer)
    except grpc.RpcError as error:
        return typed(error)
    raise AssertionError(f"{request} was not refused")


def registering():
    request = pb.CreateClipRequest(
        request_id="01990000-0000-7000-8000-00000000abcd", room_id="r_lobby", title="A walk", share=True,
        declared=pb.DeclaredFile(name="walk.mp4", size=5_000_000_000, sha256=b"\1" * 32, content_type="video/mp4"),
        labels={"course": "rust-1"},
    )
    clip, call = clips.CreateClip.with_call(request, metadata=creator + (("x-request-id", "mine-1"),), timeout=5)
    metadata = {key: value for key, value in call.initial_metadata()}
    assert metadata["x-request-id"] == "mine-1", metadata
    assert "x-idempotent-replay" not in metadata, metadata
    assert clip.state == pb.CLIP_STATE_CREATED and clip.declared.size == 5_000_000_000, clip
    assert dict(clip.labels) == {"course": "rust-1"}, clip
    again, call = clips.CreateClip.with_call(request, metadata=creator, timeout=5)
    assert again == clip
    assert ("x-idempotent-replay", "true") in list(call.initial_metadata())
    request.title = "Another"
    assert refused(clips.CreateClip, request)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED")


def uploading():
    fine = script["fine"]
    parts = [pb.PartPlan(number=1, size=5, sha256=b"\2" * 32), pb.PartPlan(number=2, size=3)]
    ask = pb.IssueUploadCredentialsRequest
    grant = clips.IssueUploadCredentials(ask(clip_id=fine, parts=parts), metadata=creator)
    assert grant.WhichOneof("way") == "parts" and [p.number for p in grant.parts.parts] == [1, 2], grant
    assert grant.parts.parts[0].method == "PUT" and grant.parts.part_size == 8 << 20, grant
    assert grant.parts.checksum == pb.CHECKSUM_KIND_SHA256, grant
    crc32c = [pb.PartPlan(number=1, size=5, crc32c=b"\xe3\x06\x92\x83")]
    grant = clips.IssueUploadCredentials(ask(clip_id=fine, parts=crc32c), metadata=creator)
    assert grant.parts.checksum == pb.CHECKSUM_KIND_CRC32C, grant
    form = clips.IssueUploadCredentials(ask(clip_id=fine, mode=pb.UPLOAD_MODE_POST), metadata=creator)
    assert form.form.fields["policy"] == "p", form
    sts = clips.IssueUploadCredentials(ask(clip_id=fine, mode=pb.UPLOAD_MODE_CREDENTIALS), metadata=creator)
    assert sts.credentials.secret_access_key == "top" and sts.credentials.session_token == "session", sts
    arrived = clips.ListUploadedParts(pb.ListUploadedPartsRequest(clip_id=fine), metadata=creator)
    assert [p.etag for p in arrived.parts] == ["e1"], arrived
    done = clips.CompleteUpload(pb.CompleteUploadRequest(clip_id=fine, parts=arrived.parts), metadata=creator)
    assert done.id == fine


def reading():
    fine = script["fine"]
    assert clips.GetClip(pb.GetClipRequest(clip_id=fine), metadata=creator).progress.percent == 40
    ids = [fine, script["errors"][0][0]]
    found = clips.BatchGetClips(pb.BatchGetClipsRequest(clip_ids=ids), metadata=creator)
    assert [clip.id for clip in found.clips] == [fine], found
    page = clips.ListClips(pb.ListClipsRequest(room_id="r_lobby"), metadata=creator)
    assert page.next_page_token == fine, page
    page = clips.ListClips(pb.ListClipsRequest(room_id="r_lobby", page_token=fine), metadata=creator)
    assert page.next_page_token == "", page
    grant = clips.IssuePlayback(pb.IssuePlaybackRequest(clip_id=fine), metadata=bearer(script["viewer"]))
    assert grant.url.startswith("/v/") and grant.captions[0].language == "en", grant
    shared = clips.ShareClip(pb.ShareClipRequest(clip_id=fine, room_id="r_other"), metadata=creator)
    assert shared.message_seq == 77
    for call, kind in (
        (clips.AbortUpload, pb.AbortUploadRequest), (clips.RetryTranscode, pb.RetryTranscodeRequest),
        (clips.CancelClip, pb.CancelClipRequest), (clips.DeleteClip, pb.DeleteClipRequest),
    ):
        assert call(kind(clip_id=fine), metadata=creator).id == fine
    captions = pb.AddCaptionsRequest(clip_id=fine, language="pt-BR", label="Português", vtt="WEBVTT\n\n")
    assert clips.AddCaptions(captions, metadata=creator).captions[0].language == "pt-BR"


def watching():
    for call, request in (
        (clips.WatchClip, pb.WatchClipRequest(clip_id=script["fine"])),
        (clips.WatchRoomClips, pb.WatchRoomClipsRequest(room_id="r_lobby")),
    ):
        stream = call(request, metadata=creator)
        kinds = [(event.WhichOneof("what"), event.revision) for event, _ in zip(stream, range(3))]
        assert kinds == [("snapshot", 7), ("changed", 8), ("heartbeat", 8)], kinds
        stream.cancel()
    resumed = clips.WatchClip(pb.WatchClipRequest(clip_id=script["fine"], resume_revision=7), metadata=creator)
    assert next(resumed).WhichOneof("what") == "changed"
    resumed.cancel()
    old = pb.WatchClipRequest(clip_id=script["fine"], resume_revision=999)
    assert refused(clips.WatchClip, old)[:2] == (grpc.StatusCode.OUT_OF_RANGE, "RESUME_REVISION_COMPACTED")


def every_error():
    codes = {
        "NOT_FOUND": "NOT_FOUND", "NOT_ROOM_MEMBER": "PERMISSION_DENIED", "PERMISSION_DENIED": "PERMISSION_DENIED",
        "INVALID_ARGUMENT": "INVALID_ARGUMENT", "IDEMPOTENCY_KEY_REUSED": "INVALID_ARGUMENT",
        "CLIP_STATE": "FAILED_PRECONDITION", "CLIP_CHANGED": "ABORTED", "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
        "UNAVAILABLE": "UNAVAILABLE", "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
        "RESUME_REVISION_COMPACTED": "OUT_OF_RANGE", "UPLOAD_CORRUPT": "DATA_LOSS",
    }
    assert len(script["errors"]) == 12
    for clip, expected in script["errors"]:
        code, reason, found = refused(clips.GetClip, pb.GetClipRequest(clip_id=clip))
        assert (code.name, reason) == (codes[expected], expected), (code, reason, expected)
        if expected == "INVALID_ARGUMENT":
            assert found["BadRequest"].field_violations[0].field == "declared.size", found
        if expected == "CLIP_STATE":
            violation = found["PreconditionFailure"].violations[0]
            assert (violation.type, violation.description) == ("CLIP_STATE", "CLIP_STATE_READY"), violation
        if expected == "QUOTA_EXCEEDED":
            assert found["QuotaFailure"].violations[0].subject == "bytes of the day", found
            assert found["RetryInfo"].retry_delay.seconds == 90, found
        if expected == "UNAVAILABLE":
            assert found["RetryInfo"].retry_delay.seconds == 1, found


def who():
    get = pb.GetClipRequest(clip_id=script["fine"])
    delete = pb.DeleteClipRequest(clip_id=script["fine"])
    denied = grpc.StatusCode.PERMISSION_DENIED
    unauthenticated = grpc.StatusCode.UNAUTHENTICATED
    acting = ("x-acting-user", "bob")
    assert refused(clips.GetClip, get, ())[:2] == (unauthenticated, "UNAUTHENTICATED")
    assert refused(clips.GetClip, get, bearer("a.b.c"))[:2] == (unauthenticated, "UNAUTHENTICATED")
    assert refused(clips.GetClip, get, bearer(script["expired"]))[:2] == (unauthenticated, "TOKEN_EXPIRED")
    assert refused(clips.DeleteClip, delete, bearer(script["viewer"]))[:2] == (denied, "ROLE_TOO_LOW")
    assert refused(clips.GetClip, get, creator + (acting,))[:2] == (denied, "ACTING_USER_REFUSED")
    assert refused(clips.GetClip, get, bearer(script["lms"]))[:2] == (denied, "ACTING_USER_REFUSED")
    assert refused(clips.DeleteClip, delete, bearer(script["reader"], acting))[:2] == (denied, "SCOPE_MISSING")
    assert clips.DeleteClip(delete, metadata=bearer(script["lms"], acting)).id == script["fine"]
    assert refused(admin.ListStuckJobs, pb.ListStuckJobsRequest())[:2] == (denied, "ROLE_TOO_LOW")
    jobs = admin.ListStuckJobs(pb.ListStuckJobsRequest(), metadata=bearer(script["admin"])).jobs
    assert jobs[0].overdue_ms == 61_000, jobs
    letters = admin.ListDeadLetters(pb.ListDeadLettersRequest(), metadata=bearer(script["admin"])).letters
    assert letters[0].reason == "undecodable", letters
    redrive = pb.RedriveDeadLettersRequest(queue="object-events", ids=["l1", "l2"])
    assert admin.RedriveDeadLetters(redrive, metadata=bearer(script["admin"])).redriven == 2


def bounds():
    never = pb.GetClipRequest(clip_id=script["never"])
    exceeded = grpc.StatusCode.DEADLINE_EXCEEDED
    # What is left of the deadline is the answer's: it arrives, with its details.
    assert refused(clips.GetClip, never, timeout=1.5)[:2] == (exceeded, "DEADLINE_EXCEEDED")
    # Places of the watches above may not be free yet: as many as there are, and then no more. (The bound itself is
    # tested in Rust.)
    streams = []
    try:
        while len(streams) <= 8:
            stream = clips.WatchClip(pb.WatchClipRequest(clip_id=script["fine"]), metadata=creator)
            next(stream)
            streams.append(stream)
    except grpc.RpcError as error:
        code, reason, found = typed(error)
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAM_LIMIT"), reason
        assert found["QuotaFailure"].violations[0].subject == "watches", found
    assert 1 <= len(streams) <= 8, len(streams)
    other = clips.WatchClip(pb.WatchClipRequest(clip_id=script["fine"]), metadata=bearer(script["viewer"]))
    next(other)
    for stream in streams + [other]:
        stream.cancel()
    large = pb.AddCaptionsRequest(clip_id=script["fine"], language="en", label="x", vtt="WEBVTT\n" + "x" * (2 << 20))
    try:
        clips.AddCaptions(large, metadata=creator)
        raise AssertionError("two mebibytes were taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE, error
    code, reason, found = refused(clips.CreateClip, pb.CreateClipRequest())
    fields = {violation.field for violation in found["BadRequest"].field_violations}
    assert reason == "INVALID_ARGUMENT" and {"room_id", "declared.size", "declared.name"} <= fields, fields


def drained_streams_are_free_again():
    """Places of watches that ended are given back: soon, since the server learns of it by the connection."""
    deadline = time.monotonic() + 20
    while True:
        try:
            next(clips.WatchClip(pb.WatchClipRequest(clip_id=script["fine"]), metadata=creator))
            return
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and time.monotonic() < deadline, error


for step in (registering, uploading, reading, watching, drained_streams_are_free_again, every_error, who, bounds,
             drained_streams_are_free_again):
    step()
    print(step.__name__)
channel.close()
print("all is as it should be")
