//! The reverse proxy in front of the local AWS: callers, faults, call log.

mod admin;
mod authorize;
mod body;
mod call;
mod calls;
mod config;
mod connection;
mod faults;
mod inspect;
mod operation;
mod proxy;
mod quota;
mod resource;
mod route;
mod rule;
mod s3_operation;
mod start;
mod upstreams;
mod violations;
mod wire_error;

pub use calls::{CallLog, CallRecord};
pub use config::{CallerListener, GatewayConfig, HostTags, Upstreams};
pub use faults::{DarkMode, DarkRegion, Faults, GLOBAL_SERVICES, RuleError, RuleStatus};
pub use rule::{FaultAction, FaultRule, Matching};
pub use start::{GatewayError, GatewayHandle, start};
pub use violations::{Declared, Held, Side, ViolationRecord, Violations};
