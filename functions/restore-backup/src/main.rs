//! `restore-backup`: wiring.

mod aws;
mod password;
mod rds;
mod sql;

use std::sync::Arc;

use lifeboat_runtime::clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lifeboat_runtime::Error> {
    let ports = Arc::new(aws::ports().await?);
    lifeboat_runtime::serve("restore-backup", move |request, _| {
        let ports = Arc::clone(&ports);
        // The futures of SDK calls are large: on the heap, where they do not fill the stack.
        async move { Box::pin(restore_backup::handle(request, &ports, clock::now())).await }
    })
    .await
}
