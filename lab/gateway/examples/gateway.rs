//! The gateway by itself: `gateway CONFIG.json`, for programs that count calls without a whole lab.
//!
//! The file holds a `GatewayConfig`. It prints one line when every port is open, and ends when its
//! standard input does, so that it cannot outlive who started it.

use std::{error::Error, io::Write};

use lifeboat_lab_gateway::gateway::{self, GatewayConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which configuration? gateway CONFIG.json")?;
    let config: GatewayConfig = serde_json::from_slice(&std::fs::read(path)?)?;
    let handle = gateway::start(config).await?;
    writeln!(std::io::stdout(), "admin {}", handle.admin_address())?;
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    handle.stop().await;
    Ok(())
}
