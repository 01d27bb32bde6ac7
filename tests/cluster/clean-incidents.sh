#!/usr/bin/env bash
# Removes what scenarios and load left in the cluster: their namespaces, by their label, with the incidents in them, and the incidents
# elsewhere that are about one of them. Nothing else is touched; what is removed is named.
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
eval "$("$CLUSTER_SOURCE/env.sh")"

mapfile -t namespaces < <(kubectl get namespaces -o name \
  -l 'app.kubernetes.io/managed-by in (kubectl-incident, firewatch-load)' | sed 's#^namespace/##')
if [ ${#namespaces[@]} -eq 0 ]; then
  say "nothing is left of scenarios or load"
  exit 0
fi
# Told before the operator sees them go: it ends what it has begun about them.
kubectl delete namespace --wait=false "${namespaces[@]}"
if kubectl get customresourcedefinition incidents.firewatch.dev >/dev/null 2>&1; then
  while read -r namespace name about; do
    if [[ " ${namespaces[*]} " == *" $about "* ]] && [[ " ${namespaces[*]} " != *" $namespace "* ]]; then
      kubectl delete incident --wait=false -n "$namespace" "$name"
    fi
  done < <(kubectl get incidents -A -o jsonpath='{range .items[*]}{.metadata.namespace}{" "}{.metadata.name}{" "}{.spec.target.namespace}{"\n"}{end}')
fi
if ! kubectl wait --for=delete --timeout=120s "${namespaces[@]/#/namespace/}" >/dev/null 2>&1; then
  say "not gone after two minutes: $(kubectl get "${namespaces[@]/#/namespace/}" --ignore-not-found -o name 2>/dev/null | paste -sd' ')."
  fail "an incident is let go only by the operator (its record is stored first): is it running? kubectl incident doctor tells"
fi
