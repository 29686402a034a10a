#!/usr/bin/env bash
# Deploys the regional stack into each region, from a bucket of that region: no region's deployment
# needs another region. Run again, it updates. `make deploy REGIONS="us-east-1 us-west-2"` builds first.
#
#   infra/deploy.sh <x86_64|arm64> <region>...
#
# With two regions, a second pass turns on the copying of backups from each into the other: the other
# region's bucket and key have to be there first.
#
# From the environment; what is not given stays as it was deployed before, the two concurrencies excepted:
#   APPS                  names of apps, each of which gets its stack with the policy of its hosts
#   HEALTH_CHECK_SWITCH   ENABLED makes the public bucket that dns.switch = "health-check" needs
#   HOSTED_ZONES          ids of the hosted zones whose records a recovery may change
#   RECOVERY_CONCURRENCY  invocations kept free for each of the six functions of a recovery (10)
#   OBSERVE_CONCURRENCY   the same for health-probe (100)
#   ENVIRONMENT           shown in notifications and tags (production, in a new stack)
#   PARAMETERS            others of the regional stack, NAME=VALUE with spaces between
#   WITNESS               the region of the third register, which holds no site (infra/witness.yaml)
#   TAGS                  of the stack and all in it, NAME=VALUE with spaces between
set -euo pipefail
cd "$(dirname "$0")/.."
readonly ARCHITECTURE=${1:?x86_64 or arm64}
shift
if [ "$#" -eq 0 ]; then
    echo 'deploy: name the regions: make deploy REGIONS="us-east-1 us-west-2"' >&2
    exit 2
fi
readonly STACK=lifeboat
readonly RECOVERY_CONCURRENCY=${RECOVERY_CONCURRENCY:-10} OBSERVE_CONCURRENCY=${OBSERVE_CONCURRENCY:-100}
# Functions of a recovery in the template, health-probe apart.
readonly RECOVERY_FUNCTIONS=6
# What Lambda leaves of a region's quota to all other functions (API reference, `PutFunctionConcurrency`).
readonly UNRESERVED=100

say() { echo "deploy: $*"; }
die() { echo "deploy: $*" >&2; exit 1; }

for number in "$RECOVERY_CONCURRENCY" "$OBSERVE_CONCURRENCY"; do
    case $number in
        '' | *[!0-9]*) die "$number is no number of invocations: give RECOVERY_CONCURRENCY and OBSERVE_CONCURRENCY as numbers" ;;
    esac
done

identity=$(aws sts get-caller-identity --region "$1" --query '[Account, Arn]' --output text)
read -r account arn <<<"$identity"
partition=$(cut -d: -f2 <<<"$arn")

# The region's bucket for templates and programs. It has to be this account's: whoever took its name
# first would be given the programs that run here.
own_bucket() { # region
    local region=$1 bucket=lifeboat-artifacts-$account-$1 answer
    if answer=$(aws s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" --region "$region" 2>&1); then
        return
    fi
    case $answer in
        *404* | *NoSuchBucket*) ;;
        *403*) die "s3://$bucket is not this account's, or may not be looked at: $answer" ;;
        *) die "cannot look at s3://$bucket: $answer" ;;
    esac
    aws s3 mb "s3://$bucket" --region "$region"
    aws s3api put-public-access-block --bucket "$bucket" --expected-bucket-owner "$account" --region "$region" \
        --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
}

# What a parameter of the region's stack is now; 0 without the stack or the parameter.
deployed() { # region, parameter
    local found
    found=$(aws cloudformation describe-stacks --region "$1" --stack-name "$STACK" --output text \
        --query "Stacks[0].Parameters[?ParameterKey=='$2'].ParameterValue" 2>/dev/null) || true
    echo "${found:-0}"
}

# The parameters that keep invocations free, as far as the region's quota goes. A new account's quota
# is so small that Lambda lets nothing be kept, and a stack that asked would be rolled back.
reserved() { # region
    local region=$1 free own wanted
    free=$(aws lambda get-account-settings --region "$region" --output text \
        --query AccountLimit.UnreservedConcurrentExecutions)
    own=$((RECOVERY_FUNCTIONS * $(deployed "$region" RecoveryConcurrency) + $(deployed "$region" ObserveConcurrency)))
    wanted=$((RECOVERY_FUNCTIONS * RECOVERY_CONCURRENCY + OBSERVE_CONCURRENCY))
    if [ $((free + own - wanted)) -ge "$UNRESERVED" ]; then
        echo "RecoveryConcurrency=$RECOVERY_CONCURRENCY ObserveConcurrency=$OBSERVE_CONCURRENCY"
    else
        echo "deploy: $region: of Lambda's quota $((free + own)) invocations are free, and $((wanted + UNRESERVED)) are needed to" \
            "keep $wanted of them for recoveries: none are kept, and a surge of other functions can hold a recovery" \
            "up. Ask for the quota L-B99A9384 (Concurrent executions), then deploy again." >&2
        echo "RecoveryConcurrency=0 ObserveConcurrency=0"
    fi
}

# What a stack is in: nothing where there is none.
status() { # region, stack
    aws cloudformation describe-stacks --region "$1" --stack-name "$2" --output text \
        --query 'Stacks[0].StackStatus' 2>/dev/null || true
}

# A first creation that failed leaves an empty stack, which takes no update (CloudFormation's guide, "Stack
# status codes": ROLLBACK_COMPLETE can only be deleted). Nothing is kept in it.
clear_failed() { # region, stack
    if [ "$(status "$1" "$2")" = ROLLBACK_COMPLETE ]; then
        say "$1: the first creation of $2 had failed; its empty stack goes first"
        aws cloudformation delete-stack --region "$1" --stack-name "$2"
        aws cloudformation wait stack-delete-complete --region "$1" --stack-name "$2"
    fi
}

# The tags of a stack as the command takes them. Without any, `deploy` would send none, which takes all away.
tags_of() { # region, stack
    if [ -n "${TAGS:-}" ]; then
        tr -s ' ' '\n' <<<"$TAGS"
        return
    fi
    aws cloudformation describe-stacks --region "$1" --stack-name "$2" --output text \
        --query 'Stacks[0].Tags[].[join(`=`, [Key, Value])]' 2>/dev/null | grep = || true
}

# deploy_stack REGION [PARAMETER=VALUE...]: from the template that was packaged for the region.
deploy_stack() {
    local region=$1 tags
    shift
    mapfile -t tags < <(tags_of "$region" "$STACK")
    aws cloudformation deploy --region "$region" --template-file "target/lambda/packaged-$region.yaml" \
        --s3-bucket "lifeboat-artifacts-$account-$region" \
        --stack-name "$STACK" --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
        --parameter-overrides "Architecture=$ARCHITECTURE" ${ENVIRONMENT:+"Environment=$ENVIRONMENT"} "$@" \
        ${tags[@]+--tags "${tags[@]}"} --no-fail-on-empty-changeset
}

read -r -a given <<<"${PARAMETERS:-}"
if [ -n "${HEALTH_CHECK_SWITCH:-}" ]; then given+=("HealthCheckSwitch=$HEALTH_CHECK_SWITCH"); fi
if [ -n "${HOSTED_ZONES:-}" ]; then
    zones=
    for zone in $HOSTED_ZONES; do
        zones+="${zones:+,}arn:$partition:route53:::hostedzone/${zone#/hostedzone/}"
    done
    given+=("HostedZoneArns=$zones")
fi

for region in "$@"; do
    bucket=lifeboat-artifacts-$account-$region
    say "$STACK into $region of account $account, from s3://$bucket"
    own_bucket "$region"
    packaged=target/lambda/packaged-$region.yaml
    aws cloudformation package --region "$region" --template-file infra/template.yaml \
        --s3-bucket "$bucket" --output-template-file "$packaged" \
        2> >(tr '\r' '\n' | grep -v '^Uploading to\|^$' >&2) >/dev/null
    clear_failed "$region" "$STACK"
    kept=$(reserved "$region")
    # Without a peer in the parameters, one that was given before stays.
    # shellcheck disable=SC2086 # two parameters
    deploy_stack "$region" $kept ${given[@]+"${given[@]}"}
    for app in ${APPS:-}; do
        say "the policy of $app's hosts into $region"
        clear_failed "$region" "$STACK-app-$app"
        mapfile -t tags < <(tags_of "$region" "$STACK-app-$app")
        aws cloudformation deploy --region "$region" --template-file infra/app.yaml \
            --stack-name "$STACK-app-$app" --capabilities CAPABILITY_IAM \
            --parameter-overrides "App=$app" ${tags[@]+--tags "${tags[@]}"} --no-fail-on-empty-changeset
    done
done

if [ -n "${WITNESS:-}" ]; then
    for region in "$@"; do
        [ "$region" != "$WITNESS" ] || die "the witness's region holds no site: name another one than $WITNESS"
    done
    say "the third register into $WITNESS"
    clear_failed "$WITNESS" "$STACK-witness"
    mapfile -t tags < <(tags_of "$WITNESS" "$STACK-witness")
    aws cloudformation deploy --region "$WITNESS" --template-file infra/witness.yaml \
        --stack-name "$STACK-witness" ${ENVIRONMENT:+--parameter-overrides "Environment=$ENVIRONMENT"} \
        ${tags[@]+--tags "${tags[@]}"} --no-fail-on-empty-changeset
fi

if [ "$#" -eq 2 ]; then
    say "copy backups between $1 and $2"
    deploy_stack "$1" "PeerRegion=$2"
    deploy_stack "$2" "PeerRegion=$1"
elif [ "$#" -gt 2 ]; then
    echo "deploy: backups are copied between two regions; set PeerRegion of each stack by hand" >&2
fi
