#!/usr/bin/env bash
# Runs scenarios live through the Firewatch that is installed: breaks the workload, reports it, approves the plan, and checks that the
# workload is well. Prints a scoreboard; the same for machines is in target/scenarios.json. Cleans up, also after Ctrl-C.
# Usage: scenarios.sh [NAME...]   without names: all. JOBS: so many at the same time (default 3).
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$REPOSITORY"
eval "$("$CLUSTER_SOURCE/env.sh")"
kubectl get customresourcedefinition incidents.firewatch.dev >/dev/null 2>&1 \
  || fail "Firewatch is not installed in this cluster; run: make install"
cargo build --quiet --locked -p kubectl-incident
[ $# -gt 0 ] || set -- --all
mkdir -p target
status=0
target/debug/kubectl-incident run "$@" --scenarios scenarios --yes --jobs "${JOBS:-3}" --output json >target/scenarios.json || status=$?
[ -s target/scenarios.json ] || exit "$status"
say "for machines: target/scenarios.json"
exit "$status"
