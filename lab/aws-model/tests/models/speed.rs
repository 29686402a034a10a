//! What a check costs, and that every pattern of the services in use can be checked.

use std::time::Instant;

use lifeboat_lab_aws_model::Wire;

use crate::support::{MODELS, named, rest};

/// The longest that a check may take once the model is read, in an unoptimised build on a busy
/// machine: a call of the lab takes several milliseconds.
const LONGEST_MS: f64 = 1.0;

#[test]
fn a_check_takes_less_than_a_millisecond() {
    let line = "PUT /bucket/some/key?partNumber=1&uploadId=u&x-id=UploadPart";
    let requests = [
        named(
            "ssm",
            Wire::Json,
            "GetParameter",
            br#"{"Name":"/lifeboat/queue/plan","WithDecryption":true}"#,
        ),
        named("rds", Wire::Query, "DescribeDBInstances", b"DBInstanceIdentifier=queue-a"),
        rest("s3", Wire::RestXml, line, &[("x-amz-checksum-crc32", "x")], ""),
    ];
    for request in &requests {
        assert_eq!(MODELS.request(request).violations, []);
        // The fastest of many: what else runs on the machine is not the check's doing.
        let fastest = (0..50).map(|_| {
            let begun = Instant::now();
            std::hint::black_box(MODELS.request(request));
            begun.elapsed()
        });
        let fastest = fastest.min().unwrap().as_secs_f64() * 1e3;
        assert!(fastest < LONGEST_MS, "{} took {fastest:.3} ms", request.service);
    }
}
