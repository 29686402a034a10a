//! `retention-sweep`: delete what the policy no longer keeps.

use serde::{Deserialize, Serialize};

use crate::{
    backup::{Kind, PointId},
    ids::AppName,
};

/// What to sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The app.
    pub app: AppName,
    /// Whether to delete. Without it the answer shows what would be deleted, and nothing is.
    #[serde(default)]
    pub execute: bool,
}

/// One deletion, made or planned, or a refusal to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// The kind.
    pub kind: Kind,
    /// The recovery point.
    pub id: PointId,
    /// Why it may go, or why it did not.
    pub reason: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Whether anything could be deleted in this call.
    pub executed: bool,
    /// Points looked at.
    pub considered: u64,
    /// Points that stay.
    pub kept: u64,
    /// What was deleted, or would be, in order; the first hundred.
    pub deleted: Vec<Deletion>,
    /// How many there were.
    pub deleted_total: u64,
    /// What should have gone and did not: locked, held, refused; the first hundred.
    pub retained: Vec<Deletion>,
    /// Why nothing at all was deleted, if a rule stopped the sweep.
    pub stopped: Option<String>,
    /// Whether the limit of one run left something for the next.
    pub more: bool,
}
