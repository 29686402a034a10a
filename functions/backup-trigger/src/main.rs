//! `backup-trigger`: wiring.

mod aws;
mod elasticache;
mod presign;
mod rds;

use std::sync::Arc;

use lifeboat_runtime::clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lifeboat_runtime::Error> {
    let ports = Arc::new(aws::ports().await?);
    lifeboat_runtime::serve("backup-trigger", move |request, _| {
        let ports = Arc::clone(&ports);
        // The futures of SDK calls are large: on the heap, where they do not fill the stack.
        async move { Box::pin(backup_trigger::handle(request, &ports, clock::now())).await }
    })
    .await
}
