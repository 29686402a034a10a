//! Checks of backups that cannot be made as the plan asks for them.

use crate::{
    backup::verification::{READ_UP_TO_GIB, Verify},
    plan_file::check::Report,
};

/// The most hours between two checks, a year: more is a typing error.
const LONGEST_HOURS: u32 = 8_760;

/// The most GiB that a function is let to read: what it reads at most, and more is no use to anybody.
const MOST_GIB: u32 = 1024;
/// The most MiB up to which rows are counted, a TiB: more is a typing error.
const MOST_MIB: u32 = 1 << 20;

/// What is wrong.
pub(super) fn check(verify: &Verify, report: &mut Report) {
    for (key, hours) in [
        ("read_every_hours", verify.read_every_hours),
        ("restore_every_hours", verify.restore_every_hours),
    ] {
        if !(1..=LONGEST_HOURS).contains(&hours) {
            report.add(
                &["backup", "verify", key],
                format!(
                    "use 1 to {LONGEST_HOURS} hours: the checks that are owed are made once an hour, \
                     and a backup that is never checked is only a file"
                ),
            );
        }
    }
    if verify.read_up_to_gib > MOST_GIB {
        report.add(
            &["backup", "verify", "read_up_to_gib"],
            format!(
                "use 0 to {MOST_GIB} GiB: a function ends after 15 minutes, in which it reads some \
                 {READ_UP_TO_GIB}; what is larger is proven by its restore"
            ),
        );
    }
    if verify.count_up_to_mib > MOST_MIB {
        report.add(
            &["backup", "verify", "count_up_to_mib"],
            format!(
                "use 0 to {MOST_MIB} MiB: a restored volume loads while it is read, and a larger \
                 table is sampled"
            ),
        );
    }
}
