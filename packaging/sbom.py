"""The bill of materials of `lifeboat` as CycloneDX 1.6 JSON: every crate that a target's program links.

    packaging/sbom.py TARGET... > lifeboat.cdx.json

Read from Cargo.lock by `cargo metadata`, so that it says what was built and nothing is asked of anybody.
The same sources give the same bytes: its time is SOURCE_DATE_EPOCH, its number is made from its content.
"""

import datetime
import json
import os
import subprocess
import sys
import tomllib
import uuid

PROGRAM = "lifeboat"


def metadata(target: str) -> dict:
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def linked(found: dict) -> dict[str, list[str]]:
    """What is linked, by package id, each with what it links itself: no build scripts' or tests' crates."""
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    packages = {package["id"]: package for package in found["packages"]}
    # A macro runs in the compiler and leaves nothing of itself in the program.
    macros = {
        id
        for id, package in packages.items()
        if any("proc-macro" in target["kind"] for target in package["targets"])
    }
    root = next(id for id, package in packages.items() if package["name"] == PROGRAM)
    tree, ahead = {}, [root]
    while ahead:
        id = ahead.pop()
        if id in tree:
            continue
        tree[id] = sorted(
            dep["pkg"]
            for dep in nodes[id]["deps"]
            if dep["pkg"] not in macros and any(kind["kind"] is None for kind in dep["dep_kinds"])
        )
        ahead.extend(tree[id])
    return tree


def purl(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict, checksums: dict) -> dict:
    of = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package.get("license"):
        # Old manifests write a choice with a slash, which is no SPDX expression.
        of["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((package["name"], package["version"])):
        of["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        of["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return of


def main(targets: list[str]) -> None:
    with open("Cargo.lock", "rb") as lock:
        locked = tomllib.load(lock)["package"]
    checksums = {(p["name"], p["version"]): p["checksum"] for p in locked if "checksum" in p}
    packages, tree = {}, {}
    for target in targets:
        found = metadata(target)
        packages |= {package["id"]: package for package in found["packages"]}
        for id, links in linked(found).items():
            tree[id] = sorted(set(tree.get(id, [])) | set(links))
    by_name = sorted(tree, key=lambda id: (packages[id]["name"], packages[id]["version"]))
    root = next(id for id in by_name if packages[id]["name"] == PROGRAM)
    compiler = subprocess.run(["rustc", "-V"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    # Its standard library is in every program.
    std = {
        "type": "library",
        "bom-ref": f"pkg:generic/rust-std@{compiler}",
        "name": "rust-std",
        "version": compiler,
        "purl": f"pkg:generic/rust-std@{compiler}",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    links = {purl(packages[id]): [purl(packages[of]) for of in tree[id]] for id in by_name}
    links[purl(packages[root])].append(std["bom-ref"])
    at = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.UTC)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[root], checksums) | {"type": "application"},
            "properties": [{"name": "lifeboat:target", "value": target} for target in targets],
        },
        "components": [component(packages[id], checksums) for id in by_name if id != root] + [std],
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(links.items())],
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))
    print(json.dumps({**bill, "serialNumber": f"urn:uuid:{number}"}, indent=1))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("sbom: name the targets, such as x86_64-unknown-linux-musl")
    main(sys.argv[1:])
