//! Each call of `media.proto`, as one of [`Clips`] or [`ClipsAdmin`]. gRPC and HTTP both come through here.

use crate::admin::ClipsAdmin;
use crate::api::{Answer, Caller, Clips};
use crate::authz::Operation;
use crate::wire;
use kaiwa_common::limits::{CLIP_CALL, CLIP_COMPLETE};
use kaiwa_proto::media::v1;
use std::time::Duration;

/// A request about clips.
pub trait Call: Send + 'static {
    /// What it is answered with.
    type Answer: Send + 'static;
    /// What is asked.
    const OPERATION: Operation;
    /// For logs.
    const NAME: &'static str;
    /// How long it may take if the caller doesn't say.
    const WAITS: Duration = CLIP_CALL;

    /// A mutation's key, or empty.
    fn key(&self) -> &str;

    /// Checks and carries it out.
    fn run<'a>(self, clips: &'a dyn Clips, caller: &'a Caller) -> Answer<'a, Self::Answer>;
}

/// A request of an operator.
pub trait AdminCall: Send + 'static {
    /// What it is answered with.
    type Answer: Send + 'static;
    /// For logs.
    const NAME: &'static str;

    /// A mutation's key, or empty.
    fn key(&self) -> &str;

    /// Checks and carries it out.
    fn run<'a>(self, admin: &'a dyn ClipsAdmin, caller: &'a Caller) -> Answer<'a, Self::Answer>;
}

macro_rules! call {
    (@key $request:ident read) => { "" };
    (@key $request:ident once) => { &$request.request_id };
    (@waits) => {};
    (@waits $waits:expr) => { const WAITS: Duration = $waits; };
    ($type:ident -> $answer:ident, $operation:ident, $once:ident $(, $waits:expr)?;
     |$request:ident, $clips:ident, $caller:ident| $work:expr) => {
        impl Call for v1::$type {
            type Answer = v1::$answer;
            const OPERATION: Operation = Operation::$operation;
            const NAME: &'static str = stringify!($type);
            call!(@waits $($waits)?);

            fn key(&self) -> &str {
                let $request = self;
                let _ = &$request;
                call!(@key $request $once)
            }

            fn run<'a>(
                self,
                $clips: &'a dyn Clips,
                $caller: &'a Caller,
            ) -> Answer<'a, Self::Answer> {
                let $request = self;
                Box::pin(async move { $work })
            }
        }
    };
}

/// Calls that name a clip and give it back as it is then.
macro_rules! moves {
    ($($type:ident, $operation:ident, $method:ident;)*) => { $(
        call!(
            $type -> Clip, $operation, once;
            |request, clips, caller| {
                let id = wire::clip_id(&request.clip_id)?;
                Ok(wire::clip(&clips.$method(caller, id).await?))
            }
        );
    )* };
}

call!(
    CreateClipRequest -> Clip, Create, once;
    |request, clips, caller| {
        let new = wire::new_clip(request)?;
        Ok(wire::clip(&clips.create(caller, new).await?))
    }
);
call!(
    IssueUploadCredentialsRequest -> UploadGrant, Grant, once;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        let want = wire::want_grant(request.mode, request.parts)?;
        Ok(wire::grant(clips.grant(caller, id, want).await?))
    }
);
call!(
    ListUploadedPartsRequest -> UploadedParts, Parts, read;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        Ok(wire::parts(clips.parts(caller, id).await?))
    }
);
call!(
    CompleteUploadRequest -> Clip, Complete, once, CLIP_COMPLETE;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        let parts = wire::uploaded_parts(request.parts)?;
        Ok(wire::clip(&clips.complete(caller, id, parts).await?))
    }
);
moves! {
    AbortUploadRequest, Abort, abort;
    RetryTranscodeRequest, Retry, retry;
    CancelClipRequest, Cancel, cancel;
    DeleteClipRequest, Delete, delete;
}
call!(
    GetClipRequest -> Clip, Get, read;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        Ok(wire::clip(&clips.get(caller, id).await?))
    }
);
call!(
    BatchGetClipsRequest -> BatchGetClipsResponse, Get, read;
    |request, clips, caller| {
        let ids = wire::clip_ids(&request.clip_ids)?;
        let found = clips.get_many(caller, ids).await?;
        Ok(v1::BatchGetClipsResponse { clips: found.iter().map(wire::clip).collect() })
    }
);
call!(
    ListClipsRequest -> ListClipsResponse, List, read;
    |request, clips, caller| {
        let query = wire::query(&request)?;
        Ok(wire::page(&clips.list(caller, query).await?))
    }
);
call!(
    IssuePlaybackRequest -> PlaybackGrant, Playback, read;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        Ok(wire::playback(clips.playback(caller, id).await?))
    }
);
call!(
    ShareClipRequest -> ShareClipResponse, Share, once;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        let room = wire::room_id(&request.room_id)?;
        let message_seq = clips.share(caller, id, room).await?;
        Ok(v1::ShareClipResponse { message_seq })
    }
);
call!(
    AddCaptionsRequest -> Clip, Captions, once;
    |request, clips, caller| {
        let id = wire::clip_id(&request.clip_id)?;
        let (language, label) = wire::captions(&request)?;
        let clip = clips.add_captions(caller, id, language, label, request.vtt).await?;
        Ok(wire::clip(&clip))
    }
);

impl AdminCall for v1::ListStuckJobsRequest {
    type Answer = v1::ListStuckJobsResponse;
    const NAME: &'static str = "ListStuckJobsRequest";

    fn key(&self) -> &'static str {
        ""
    }

    fn run<'a>(self, admin: &'a dyn ClipsAdmin, caller: &'a Caller) -> Answer<'a, Self::Answer> {
        Box::pin(async move {
            let limit = wire::want_size(self.page_size)?;
            Ok(wire::stuck(&admin.stuck(caller, limit).await?))
        })
    }
}

impl AdminCall for v1::ListDeadLettersRequest {
    type Answer = v1::ListDeadLettersResponse;
    const NAME: &'static str = "ListDeadLettersRequest";

    fn key(&self) -> &'static str {
        ""
    }

    fn run<'a>(self, admin: &'a dyn ClipsAdmin, caller: &'a Caller) -> Answer<'a, Self::Answer> {
        Box::pin(async move {
            let (queue, reason, limit) = wire::want_letters(&self)?;
            let page = admin.dead_letters(caller, queue, reason, limit).await?;
            Ok(wire::letters(page))
        })
    }
}

impl AdminCall for v1::RedriveDeadLettersRequest {
    type Answer = v1::RedriveDeadLettersResponse;
    const NAME: &'static str = "RedriveDeadLettersRequest";

    fn key(&self) -> &str {
        &self.request_id
    }

    fn run<'a>(self, admin: &'a dyn ClipsAdmin, caller: &'a Caller) -> Answer<'a, Self::Answer> {
        Box::pin(async move {
            let (queue, pick) = wire::pick(self)?;
            Ok(wire::redriven(admin.redrive(caller, queue, pick).await?))
        })
    }
}
