//! Bounds that AWS's API references give and the models lack, of the members that this system sends.

use crate::violation::Bound;

/// What is bounded of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// The bytes of a text, in UTF-8.
    Bytes,
    /// The items of a list.
    Items,
    /// A number.
    Value,
}

/// A bound of a member.
#[derive(Debug)]
pub(crate) struct Documented {
    service: &'static str,
    /// An operation, or the beginning of several with `*` at the end.
    operation: &'static str,
    /// The member, without the numbers of items.
    pub(crate) member: &'static str,
    pub(crate) measure: Measure,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

const fn bound(
    service: &'static str,
    operation: &'static str,
    member: &'static str,
    measure: Measure,
    (least, most): (f64, f64),
) -> Documented {
    Documented { service, operation, member, measure, least, most }
}

const DOCUMENTED: [Documented; 10] = [
    // CloudFormation, "CreateStack", "UpdateStack", "CreateChangeSet": a larger template comes from S3.
    bound("cloudformation", "CreateStack", "TemplateBody", Measure::Bytes, (1.0, 51_200.0)),
    bound("cloudformation", "UpdateStack", "TemplateBody", Measure::Bytes, (1.0, 51_200.0)),
    bound("cloudformation", "CreateChangeSet", "TemplateBody", Measure::Bytes, (1.0, 51_200.0)),
    // SNS, "Publish": 256 KB, in bytes.
    bound("sns", "Publish", "Message", Measure::Bytes, (1.0, 262_144.0)),
    // S3, "DeleteObjects".
    bound("s3", "DeleteObjects", "Delete.Objects", Measure::Items, (1.0, 1_000.0)),
    // CloudWatch, "PutMetricData".
    bound("monitoring", "PutMetricData", "MetricData", Measure::Items, (0.0, 1_000.0)),
    // RDS, "DescribeDBInstances" and each of its other lists.
    bound("rds", "Describe*", "MaxRecords", Measure::Value, (20.0, 100.0)),
    // ElastiCache, "DescribeSnapshots"; "DescribeReplicationGroups" and its other lists.
    bound("elasticache", "DescribeSnapshots", "MaxRecords", Measure::Value, (20.0, 50.0)),
    bound("elasticache", "DescribeReplicationGroups", "MaxRecords", Measure::Value, (20.0, 100.0)),
    bound("elasticache", "DescribeCacheClusters", "MaxRecords", Measure::Value, (20.0, 100.0)),
];

impl Documented {
    /// The bound that a measure breaks.
    pub(crate) fn broken(&self, found: f64) -> Option<Bound> {
        if found < self.least {
            Some(Bound::Least(self.least))
        } else {
            (found > self.most).then_some(Bound::Most(self.most))
        }
    }
}

/// The bounds of an operation's members.
pub(crate) fn of(service: &str, operation: &str) -> Vec<&'static Documented> {
    let is_its = |known: &&Documented| {
        known.service == service
            && match known.operation.strip_suffix('*') {
                Some(beginning) => operation.starts_with(beginning),
                None => known.operation == operation,
            }
    };
    DOCUMENTED.iter().filter(is_its).collect()
}
