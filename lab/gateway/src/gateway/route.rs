//! Which server a call is for.

use super::call::Call;

/// The servers behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    /// The emulator.
    Emulator,
    /// The lab's RDS API.
    Rds,
    /// The lab's documents and Run Command.
    Ssm,
    /// The status API of the lab's DNS server.
    DnsStatus,
}

impl Upstream {
    /// What the server is called in an error.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Emulator => "the emulator",
            Self::Rds => "the lab's RDS",
            Self::Ssm => "the lab's Run Command",
            Self::DnsStatus => "the DNS status API",
        }
    }
}

/// The server for a call.
pub(super) fn upstream(call: &Call) -> Upstream {
    match (call.service.as_str(), call.operation.as_str()) {
        ("rds", _) => Upstream::Rds,
        ("ssm", operation) if is_run_command(operation) => Upstream::Ssm,
        ("route53", "GetHealthCheckStatus") => Upstream::DnsStatus,
        _ => Upstream::Emulator,
    }
}

/// Whether the answer is the lab's own, or the emulator's as the lab mends it: the whole of Route 53
/// and of ElastiCache.
pub(super) fn is_ours(upstream: Upstream, call: &Call) -> bool {
    upstream != Upstream::Emulator || matches!(call.service.as_str(), "route53" | "elasticache")
}

/// The operations of Systems Manager that the lab serves: documents, and commands on hosts.
fn is_run_command(operation: &str) -> bool {
    const COMMANDS: [&str; 6] = [
        "SendCommand",
        "GetCommandInvocation",
        "ListCommands",
        "ListCommandInvocations",
        "CancelCommand",
        "DescribeInstanceInformation",
    ];
    COMMANDS.contains(&operation) || operation.contains("Document")
}
