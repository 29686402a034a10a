#!/bin/sh
# Loads the image archive on standard input into the host's own layout, under its name.
set -eu
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
cat >"$archive"
name=$(tar -xOf "$archive" manifest.json | sed -n 's/.*"RepoTags":\["\([^"]*\)".*/\1/p')
skopeo --insecure-policy copy --quiet "docker-archive:$archive" "oci:$LIFEBOAT_HOME/loaded:${name##*/}"
echo "Loaded image: ${name##*/}"
