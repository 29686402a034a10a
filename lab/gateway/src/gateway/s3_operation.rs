//! S3's operations, which follow from method, path style, and sub-resource parameters.

use hyper::http::request::Parts;

use super::operation::{decode, field, form_fields};

/// Operation, and `bucket` or `bucket/key`.
pub(crate) fn identify(parts: &Parts, host: &str) -> (String, Option<String>) {
    let path = decode(parts.uri.path().trim_start_matches('/'), false);
    let (bucket, key) = match bucket_of_host(host) {
        Some(bucket) => (bucket.to_owned(), path),
        None => match path.split_once('/') {
            Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
            None => (path, String::new()),
        },
    };
    let query = form_fields(parts.uri.query().unwrap_or_default().as_bytes());
    let has = |name: &str| field(&query, name).is_some();
    let method = parts.method.as_str();

    if bucket.is_empty() {
        let name = if method == "GET" { "ListBuckets".to_owned() } else { format!("{method} /") };
        return (name, None);
    }
    if key.is_empty() {
        return (bucket_operation(method, &has), Some(bucket));
    }
    let copies = parts.headers.contains_key("x-amz-copy-source");
    (object_operation(method, copies, &has), Some(format!("{bucket}/{key}")))
}

/// The bucket of a virtual-hosted request: `bucket.s3.region.amazonaws.com`, `bucket.localhost`.
pub(crate) fn bucket_of_host(host: &str) -> Option<&str> {
    let end = [".s3.", ".s3-", ".localhost"].iter().find_map(|mark| host.find(mark))?;
    host.get(..end).filter(|bucket| !bucket.is_empty() && *bucket != "s3")
}

fn bucket_operation(method: &str, has: &dyn Fn(&str) -> bool) -> String {
    const PARTS: [(&str, &str); 15] = [
        ("acl", "Acl"),
        ("cors", "Cors"),
        ("encryption", "Encryption"),
        ("lifecycle", "LifecycleConfiguration"),
        ("location", "Location"),
        ("logging", "Logging"),
        ("notification", "NotificationConfiguration"),
        ("object-lock", "ObjectLockConfiguration"),
        ("ownershipControls", "OwnershipControls"),
        ("policy", "Policy"),
        ("publicAccessBlock", "PublicAccessBlock"),
        ("replication", "Replication"),
        ("tagging", "Tagging"),
        ("versioning", "Versioning"),
        ("website", "Website"),
    ];
    let verb = match method {
        "GET" => "Get",
        "PUT" => "Put",
        "DELETE" => "Delete",
        _ => "",
    };
    if let Some((parameter, name)) = PARTS.iter().find(|(parameter, _)| has(parameter))
        && !verb.is_empty()
    {
        return match *parameter {
            "object-lock" | "publicAccessBlock" => format!("{verb}{name}"),
            _ => format!("{verb}Bucket{name}"),
        };
    }
    match method {
        "GET" if has("list-type") => "ListObjectsV2",
        "GET" if has("versions") => "ListObjectVersions",
        "GET" if has("uploads") => "ListMultipartUploads",
        "GET" => "ListObjects",
        "HEAD" => "HeadBucket",
        "PUT" => "CreateBucket",
        "DELETE" => "DeleteBucket",
        "POST" if has("delete") => "DeleteObjects",
        "POST" => "PostObject",
        other => return format!("{other} bucket"),
    }
    .to_owned()
}

fn object_operation(method: &str, copies: bool, has: &dyn Fn(&str) -> bool) -> String {
    match method {
        "GET" if has("uploadId") => "ListParts",
        "GET" if has("attributes") => "GetObjectAttributes",
        "GET" if has("tagging") => "GetObjectTagging",
        "GET" if has("acl") => "GetObjectAcl",
        "GET" if has("retention") => "GetObjectRetention",
        "GET" if has("legal-hold") => "GetObjectLegalHold",
        "GET" => "GetObject",
        "HEAD" => "HeadObject",
        "PUT" if has("partNumber") && copies => "UploadPartCopy",
        "PUT" if has("partNumber") => "UploadPart",
        "PUT" if has("tagging") => "PutObjectTagging",
        "PUT" if has("acl") => "PutObjectAcl",
        "PUT" if has("retention") => "PutObjectRetention",
        "PUT" if has("legal-hold") => "PutObjectLegalHold",
        "PUT" if copies => "CopyObject",
        "PUT" => "PutObject",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" if has("tagging") => "DeleteObjectTagging",
        "DELETE" => "DeleteObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "POST" if has("restore") => "RestoreObject",
        "POST" if has("select") => "SelectObjectContent",
        other => return format!("{other} object"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &str, host: &str, expected: &str) {
        let (method, uri) = request.split_once(' ').unwrap();
        let parts =
            hyper::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        let (name, resource) = identify(&parts, host);
        assert_eq!(format!("{name} {}", resource.unwrap_or_default()).trim_end(), expected);
    }

    #[test]
    fn operations() {
        let local = "127.0.0.1";
        check("GET /", local, "ListBuckets");
        check("PUT /b", local, "CreateBucket b");
        check("GET /b?list-type=2&prefix=x%2F", local, "ListObjectsV2 b");
        check("GET /b?versions", local, "ListObjectVersions b");
        check("PUT /b?versioning", local, "PutBucketVersioning b");
        check("GET /b?object-lock", local, "GetObjectLockConfiguration b");
        check("POST /b?delete", local, "DeleteObjects b");
        check("HEAD /b", local, "HeadBucket b");
        check("GET /b/k/l", local, "GetObject b/k/l");
        check("HEAD /b/k", local, "HeadObject b/k");
        check("PUT /b/k", local, "PutObject b/k");
        check("DELETE /b/k?versionId=1", local, "DeleteObject b/k");
        check("PUT /b/k?partNumber=1&uploadId=u", local, "UploadPart b/k");
        check("PUT /b/k?legal-hold&versionId=1", local, "PutObjectLegalHold b/k");
        check("GET /b/k?legal-hold&versionId=1", local, "GetObjectLegalHold b/k");
        check("PUT /b/k?retention", local, "PutObjectRetention b/k");
        check("GET /b/k?versionId=1&x-id=GetObject", local, "GetObject b/k");
        check("GET /b/k?uploadId=u&x-id=ListParts", local, "ListParts b/k");
        check("GET /b?versions&key-marker=k&prefix=wal%2F", local, "ListObjectVersions b");
        check("GET /b?list-type=2&start-after=k", local, "ListObjectsV2 b");
        check(
            "DELETE /b/k?uploadId=u&x-id=AbortMultipartUpload",
            local,
            "AbortMultipartUpload b/k",
        );
        check("PUT /b/k?partNumber=1&uploadId=u&x-id=UploadPart", local, "UploadPart b/k");
        check("POST /b/k?uploads", local, "CreateMultipartUpload b/k");
        check("POST /b/k?uploadId=u", local, "CompleteMultipartUpload b/k");
        check("PUT /k", "b.s3.us-west-2.amazonaws.com", "PutObject b/k");
        check("GET /?list-type=2", "b.c.s3.localhost", "ListObjectsV2 b.c");
        check("PUT /k", "b.localhost", "PutObject b/k");
        check("PUT /b/k", "s3.localhost", "PutObject b/k");
    }
}
