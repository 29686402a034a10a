//! The `verify-backup` function: see the library.

mod aws;

use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lifeboat_runtime::Error> {
    let ports = Arc::new(aws::ports().await?);
    lifeboat_runtime::serve("verify-backup", move |request, invocation| {
        let ports = Arc::clone(&ports);
        // The futures of SDK calls are large: on the heap, where they do not fill the stack.
        async move { Box::pin(verify_backup::handle(request, &ports, invocation.deadline)).await }
    })
    .await
}
