#!/usr/bin/env bash
# Records the evidence of scenarios again, each from a live run in the local cluster: breaks the workload, reads it with kubectl, keeps
# what was read in scenarios/NAME/recorded, and cleans up. Needs the workload image and nothing of Firewatch.
# Usage: record.sh [NAME...]   without names: all
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$REPOSITORY"
[ "$CLUSTER" = current ] || { "$CLUSTER_SOURCE/up" && "$CLUSTER_SOURCE/images.sh" firewatch-workload; }
eval "$("$CLUSTER_SOURCE/env.sh")"
cargo build --quiet --locked --workspace
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd scenarios && printf '%s\n' */ | tr -d /)
failed=()
for name in "${names[@]}"; do
  target/debug/kubectl-incident run "$name" --scenarios scenarios --record scenarios || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || fail "not recorded, or not diagnosed as expected: ${failed[*]}"
