//! What every function does before and after its handler: a typed request in, a named error out.
//!
//! [`serve()`] is the only place where a function meets the Lambda runtime. Beside it are the few
//! things that only a running program has: the clock, the environment, AWS clients, logs and
//! metrics. Handlers take all of them as arguments, so that a test can call a handler with none.

pub mod aws;
pub mod clock;
pub mod env;
mod logs;
pub mod metrics;
mod serve;

pub use lambda_runtime::Error;
pub use serve::{Invocation, serve};
