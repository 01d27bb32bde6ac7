#!/usr/bin/env bash
# Records the evidence of scenarios again, each from a live run in the local cluster: breaks the workload, reads it with kubectl, keeps
# what was read in scenarios/NAME/recorded, and cleans up. Needs the workload image and nothing of Firewatch.
# Usage: record.sh [NAME...]   without names: all. JOBS: so many at the same time (default 2).
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$REPOSITORY"
[ "$CLUSTER" = current ] || { "$CLUSTER_SOURCE/up" && "$CLUSTER_SOURCE/images.sh" firewatch-workload; }
eval "$("$CLUSTER_SOURCE/env.sh")"
cargo build --quiet --locked -p kubectl-incident
[ $# -gt 0 ] || set -- --all
target/debug/kubectl-incident run "$@" --scenarios scenarios --record scenarios --jobs "${JOBS:-2}"
