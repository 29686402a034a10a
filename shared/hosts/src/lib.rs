//! Work on the hosts of a site, through Systems Manager's Run Command.
//!
//! Nothing here remembers what it sent: a command is found again by its id, or by the document and
//! the parameters that it was sent with, so that a function that is called twice need not send
//! twice. Waiting is the caller's: [`RunCommand::progress`] and [`RunCommand::answers`] answer at once.
//! What the answers of several hosts come to is judged by [`lifeboat_core::hosts`].
//!
//! The function's role needs `ssm:SendCommand` on its documents and on the hosts with the site's
//! tag, and `ssm:ListCommands`, `ssm:ListCommandInvocations`, `ssm:GetCommandInvocation` and
//! `ssm:DescribeInstanceInformation`, which cannot be narrowed.

mod once;
mod port;
mod progress;
mod run_command;
mod told;

pub use lifeboat_core::hosts::HostFailure;
pub use once::{LOOK_BACK, send_once};
pub use port::HostWork;
pub use progress::{Progress, joined};
pub use run_command::{FarLimits, Found, Order, RunCommand, To};
