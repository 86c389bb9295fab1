//! `MediaPipeline`.

use super::{finish, name, opened, refuse, spanned};
use crate::api::{ApiError, Watch};
use crate::front::{Call, Front};
use crate::wire;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kaiwa_proto::media::v1;
use kaiwa_proto::media::v1::media_pipeline_server::MediaPipeline;
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct Pipeline(pub(super) Arc<Front>);

type Events = BoxStream<'static, Result<v1::ClipEvent, Status>>;

impl Pipeline {
    async fn unary<C: Call>(&self, request: Request<C>) -> Result<Response<C::Answer>, Status> {
        let (headers, name, call) = opened(request);
        let work = Box::pin(self.0.call(&headers, call));
        let done = spanned(&name, work).await;
        finish(C::NAME, &name, done)
    }

    async fn watch<T>(
        &self,
        request: Request<T>,
        what: fn(&T) -> (Result<Watch, ApiError>, u64),
    ) -> Result<Response<Events>, Status> {
        let (headers, call, message) = opened(request);
        let (what, after) = what(&message);
        let work = self.0.watch(&headers, what, wire::watch_after(after));
        let watching = spanned(&call, Box::pin(work)).await;
        crate::front::log("Watch", &call, watching.as_ref().err());
        let watching = watching.map_err(|refusal| refuse(&call, &refusal))?;
        let named = call.clone();
        let events = watching.into_stream().map(move |item| match item {
            Ok(item) => Ok(wire::event(item)),
            Err(refusal) => Err(refuse(&named, &refusal)),
        });
        let mut response = Response::new(events.boxed());
        name(response.metadata_mut(), &call);
        Ok(response)
    }
}

#[tonic::async_trait]
impl MediaPipeline for Pipeline {
    type WatchClipStream = Events;
    type WatchRoomClipsStream = Events;

    async fn create_clip(
        &self,
        request: Request<v1::CreateClipRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn issue_upload_credentials(
        &self,
        request: Request<v1::IssueUploadCredentialsRequest>,
    ) -> Result<Response<v1::UploadGrant>, Status> {
        self.unary(request).await
    }

    async fn list_uploaded_parts(
        &self,
        request: Request<v1::ListUploadedPartsRequest>,
    ) -> Result<Response<v1::UploadedParts>, Status> {
        self.unary(request).await
    }

    async fn complete_upload(
        &self,
        request: Request<v1::CompleteUploadRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn abort_upload(
        &self,
        request: Request<v1::AbortUploadRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn get_clip(
        &self,
        request: Request<v1::GetClipRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn batch_get_clips(
        &self,
        request: Request<v1::BatchGetClipsRequest>,
    ) -> Result<Response<v1::BatchGetClipsResponse>, Status> {
        self.unary(request).await
    }

    async fn list_clips(
        &self,
        request: Request<v1::ListClipsRequest>,
    ) -> Result<Response<v1::ListClipsResponse>, Status> {
        self.unary(request).await
    }

    async fn retry_transcode(
        &self,
        request: Request<v1::RetryTranscodeRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn cancel_clip(
        &self,
        request: Request<v1::CancelClipRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn delete_clip(
        &self,
        request: Request<v1::DeleteClipRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn issue_playback(
        &self,
        request: Request<v1::IssuePlaybackRequest>,
    ) -> Result<Response<v1::PlaybackGrant>, Status> {
        self.unary(request).await
    }

    async fn share_clip(
        &self,
        request: Request<v1::ShareClipRequest>,
    ) -> Result<Response<v1::ShareClipResponse>, Status> {
        self.unary(request).await
    }

    async fn add_captions(
        &self,
        request: Request<v1::AddCaptionsRequest>,
    ) -> Result<Response<v1::Clip>, Status> {
        self.unary(request).await
    }

    async fn watch_clip(
        &self,
        request: Request<v1::WatchClipRequest>,
    ) -> Result<Response<Events>, Status> {
        self.watch(request, |request| {
            let clip = wire::clip_id(&request.clip_id).map(Watch::Clip);
            (clip, request.resume_revision)
        })
        .await
    }

    async fn watch_room_clips(
        &self,
        request: Request<v1::WatchRoomClipsRequest>,
    ) -> Result<Response<Events>, Status> {
        self.watch(request, |request| {
            let room = wire::room_id(&request.room_id).map(Watch::Room);
            (room, request.resume_revision)
        })
        .await
    }
}
