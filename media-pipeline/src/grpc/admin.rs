//! `MediaAdmin`.

use super::{finish, opened, spanned};
use crate::front::{AdminCall, Front};
use kaiwa_proto::media::v1;
use kaiwa_proto::media::v1::media_admin_server::MediaAdmin;
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct Admin(pub(super) Arc<Front>);

impl Admin {
    async fn unary<C: AdminCall>(
        &self,
        request: Request<C>,
    ) -> Result<Response<C::Answer>, Status> {
        let (headers, name, call) = opened(request);
        let work = Box::pin(self.0.admin_call(&headers, call));
        let done = spanned(&name, work).await;
        finish(C::NAME, &name, done)
    }
}

#[tonic::async_trait]
impl MediaAdmin for Admin {
    async fn list_stuck_jobs(
        &self,
        request: Request<v1::ListStuckJobsRequest>,
    ) -> Result<Response<v1::ListStuckJobsResponse>, Status> {
        self.unary(request).await
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        self.unary(request).await
    }

    async fn redrive_dead_letters(
        &self,
        request: Request<v1::RedriveDeadLettersRequest>,
    ) -> Result<Response<v1::RedriveDeadLettersResponse>, Status> {
        self.unary(request).await
    }
}
