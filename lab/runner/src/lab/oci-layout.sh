# Makes an OCI image layout: LAYOUT, then FOLDER NAME:TAG pairs. The same content gives the same bytes.
set -eu
layout=$1
shift
blobs=$layout/blobs/sha256
mkdir -p "$blobs"
digest() { sha256sum "$1" | cut -d' ' -f1; }
keep() { # a file's place is its digest, which is printed
    sum=$(digest "$1")
    mv "$1" "$blobs/$sum"
    echo "$sum"
}
describe() { # media type, digest
    printf '"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s' \
        "$1" "$2" "$(stat -c %s "$blobs/$2")"
}
manifests=
while [ "$#" -gt 1 ]; do
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$layout/layer" .
    content=$(digest "$layout/layer")
    gzip -n "$layout/layer"
    layer=$(keep "$layout/layer.gz")
    printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/start"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$content" >"$layout/new"
    config=$(keep "$layout/new")
    printf '{"schemaVersion":2,"config":{%s},"layers":[{%s}]}' \
        "$(describe config.v1+json "$config")" "$(describe layer.v1.tar+gzip "$layer")" >"$layout/new"
    manifest=$(keep "$layout/new")
    manifests="$manifests${manifests:+,}{$(describe manifest.v1+json "$manifest"),\"annotations\":{\"org.opencontainers.image.ref.name\":\"$2\"}}"
    shift 2
done
printf '{"schemaVersion":2,"manifests":[%s]}' "$manifests" >"$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
