#!/usr/bin/env bash
# The whole story on a real cluster: something breaks, Firewatch finds the cause, a person approves, it is repaired.
# DEMO_APPROVE=yes approves without asking. DEMO_SCENARIO: another of scenarios/ (crashloop without it).
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
scenario=${DEMO_SCENARIO:-crashloop}

"$CLUSTER_SOURCE/up"
[ "$CLUSTER" = current ] || "$CLUSTER_SOURCE/postgres" up
"$CLUSTER_SOURCE/images.sh"
[ "$CLUSTER" != current ] || export REMEDIATION_NAMESPACES=${REMEDIATION_NAMESPACES:-demo}
"$CLUSTER_SOURCE/install.sh"
eval "$("$CLUSTER_SOURCE/env.sh")"

say "building the kubectl plugin (seconds, a minute the first time)"
(cd "$REPOSITORY" && cargo build --quiet --locked -p kubectl-incident)
PATH=$(cd "$REPOSITORY" && cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug:$PATH

# An earlier demo's namespace would show an earlier fault.
kubectl delete namespace demo --ignore-not-found --wait >&2
kubectl create namespace demo >&2
"$CLUSTER_SOURCE/install.sh" >/dev/null 2>&1

approve=()
[ "${DEMO_APPROVE:-}" != yes ] || approve=(--yes)
result=0
kubectl incident run "$scenario" --namespace demo --keep "${approve[@]}" || result=$?

if [ -n "${DATABASE_URL:-}" ]; then
  say ""
  say "The record, from Postgres alone:"
  programs=$(find /usr/lib/postgresql -maxdepth 2 -name bin -type d 2>/dev/null | sort -V | tail -n 1)
  "$programs/psql" "$DATABASE_URL" -X -x -c "SELECT created_at, name, namespace, severity, phase, outcome, root_cause, root_cause_category,
    execution_status, jsonb_array_length(sandbox_commands) AS sandbox_commands, total_tokens, cost_usd, duration_ms, resolved,
    human_intervention, sequence, last_hash FROM audit_logs WHERE namespace = 'demo' ORDER BY created_at DESC LIMIT 1" || true
fi
cat >&2 <<TEXT

To go on by hand:
  eval "\$(tests/cluster/env.sh)"
  kubectl -n demo get incidents,remediationapprovals
  kubectl incident -n demo list
To clean up:
  make uninstall cluster-down postgres-down
TEXT
exit "$result"
