#!/usr/bin/env bash
# Deploys the regional stack into each region, from a bucket of that region: no region's deployment
# needs another region. Run again, it updates. `make deploy REGIONS="us-east-1 us-west-2"` builds first.
#
#   infra/deploy.sh <x86_64|arm64> <region>...
#
# With two regions, a second pass turns on the copying of backups from each into the other: the other
# region's bucket and key have to be there first.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly ARCHITECTURE=${1:?x86_64 or arm64}
shift
if [ "$#" -eq 0 ]; then
    echo 'deploy: name the regions: make deploy REGIONS="us-east-1 us-west-2"' >&2
    exit 2
fi
readonly ENVIRONMENT=${ENVIRONMENT:-production} STACK=lifeboat

account=$(aws sts get-caller-identity --region "$1" --query Account --output text)
# deploy_stack REGION [PARAMETER=VALUE...]: from the template that was packaged for the region.
deploy_stack() {
    local region=$1
    shift
    aws cloudformation deploy --region "$region" --template-file "target/lambda/packaged-$region.yaml" \
        --s3-bucket "lifeboat-artifacts-$account-$region" \
        --stack-name "$STACK" --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
        --parameter-overrides "Environment=$ENVIRONMENT" "Architecture=$ARCHITECTURE" "$@" \
        --no-fail-on-empty-changeset
}

for region in "$@"; do
    bucket=lifeboat-artifacts-$account-$region
    echo "deploy: $STACK into $region of account $account, from s3://$bucket"
    if ! aws s3api head-bucket --bucket "$bucket" --region "$region" >/dev/null 2>&1; then
        aws s3 mb "s3://$bucket" --region "$region"
        aws s3api put-public-access-block --bucket "$bucket" --region "$region" \
            --public-access-block-configuration \
            BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    fi
    packaged=target/lambda/packaged-$region.yaml
    aws cloudformation package --region "$region" --template-file infra/template.yaml \
        --s3-bucket "$bucket" --output-template-file "$packaged" \
        2> >(tr '\r' '\n' | grep -v '^Uploading to\|^$' >&2) >/dev/null
    # Without a peer in the parameters, one that was given before stays.
    deploy_stack "$region"
done

if [ "$#" -eq 2 ]; then
    echo "deploy: copy backups between $1 and $2"
    deploy_stack "$1" "PeerRegion=$2"
    deploy_stack "$2" "PeerRegion=$1"
elif [ "$#" -gt 2 ]; then
    echo "deploy: backups are copied between two regions; set PeerRegion of each stack by hand" >&2
fi
