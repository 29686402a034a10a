//! The `dns-failover` function: see the library.

mod aws;
mod network;
mod route53;

use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lifeboat_runtime::Error> {
    let (place, ports) = aws::ports().await?;
    let shared = Arc::new((place, ports));
    lifeboat_runtime::serve("dns-failover", move |request, _| {
        let shared = Arc::clone(&shared);
        // The futures of SDK calls are large: on the heap, where they do not fill the stack.
        async move { Box::pin(dns_failover::handle(request, &shared.0, &shared.1)).await }
    })
    .await
}
