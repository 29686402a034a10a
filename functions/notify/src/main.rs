//! The `notify` function: see the library.

mod aws;

use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lifeboat_runtime::Error> {
    let ports = Arc::new(aws::ports().await?);
    lifeboat_runtime::serve("notify", move |request, _| {
        let ports = Arc::clone(&ports);
        // The futures of SDK calls are large: on the heap, where they do not fill the stack.
        async move { Box::pin(notify::handle(request, &ports)).await }
    })
    .await
}
