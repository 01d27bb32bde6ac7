#!/usr/bin/env bash
# Installs the chart into the local cluster, or with CLUSTER=current into the one of the current KUBECONFIG.
# REMEDIATION_NAMESPACES: where approved plans may be executed (comma-separated; made if missing). Without it: demo; tests and
# scenarios opt each namespace of theirs in by themselves. With CLUSTER=current: none without it, and POD_DATABASE_URL names
# a Postgres that pods reach; without that the record is kept in a file of the pod.
# Further arguments go to helm. Usage: install.sh [up | down] [helm arguments...]
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"

verb=${1:-up}
[ $# -eq 0 ] || shift
eval "$("$CLUSTER_SOURCE/env.sh")"
command -v helm >/dev/null || fail "helm is missing; install it (the local cluster brings its own)"

case $verb in
  up) ;;
  down)
    helm uninstall firewatch --namespace firewatch-system --ignore-not-found --wait >&2
    exit 0
    ;;
  *) fail "usage: install.sh [up | down] [helm arguments...]" ;;
esac

if [ "$CLUSTER" != current ] && [ -z "${REMEDIATION_NAMESPACES:-}" ]; then
  REMEDIATION_NAMESPACES=demo
fi
IFS=, read -ra namespaces <<<"${REMEDIATION_NAMESPACES:-}"
for namespace in "${namespaces[@]}"; do
  kubectl get namespace "$namespace" >/dev/null 2>&1 || kubectl create namespace "$namespace" >&2
done

# Ours is on the local cluster's node; of another cluster's nodes nothing is known.
seccomp_profile=''
[ "$CLUSTER" = current ] || seccomp_profile=profiles/firewatch-sandbox.json

# Alerts are taken in: a token of this installation's own.
kubectl get namespace firewatch-system >/dev/null 2>&1 || kubectl create namespace firewatch-system >&2
kubectl -n firewatch-system get secret firewatch-intake >/dev/null 2>&1 \
  || kubectl -n firewatch-system create secret generic firewatch-intake --from-file=tokens=<(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n') >&2

values() {
  cat <<YAML
image: {repository: localhost/firewatch, tag: "$(cat "$CLUSTER_DIR/images/firewatch.tag")"}
sandbox:
  image: "$(cat "$CLUSTER_DIR/images/firewatch-sandbox.digest")"
  seccompProfile: "$seccomp_profile"
remediation: {namespaces: [${REMEDIATION_NAMESPACES:-}]}
intake: {enabled: true, tokenSecret: firewatch-intake}
YAML
  if [ -n "${POD_DATABASE_URL:-}" ]; then
    echo "database: {url: \"$POD_DATABASE_URL\", migrateUrl: \"${POD_MIGRATE_DATABASE_URL:-$POD_DATABASE_URL}\"}"
  else
    say "no Postgres that pods reach (POD_DATABASE_URL): the record is kept in a file of the operator's pod"
    echo "audit: {mode: file}"
  fi
}

[ -s "$CLUSTER_DIR/images/firewatch.tag" ] || fail "the images are not loaded; run: make images"
# By standard input: passwords do not belong into a command line, which every user of this host can read.
values | helm upgrade --install firewatch "$REPOSITORY/charts/firewatch" --namespace firewatch-system --create-namespace \
  --values - --wait --timeout 3m "$@" >&2 || {
  kubectl -n firewatch-system get pods >&2
  kubectl -n firewatch-system logs deployment/firewatch --all-containers --tail=30 >&2 || true
  fail "the chart does not install (see above)"
}
# The chart's own test, which tells of what is not whole: guards, rights, record, readiness.
mkdir -p "$CLUSTER_DIR/log"
helm test firewatch --namespace firewatch-system --logs --timeout 1m >"$CLUSTER_DIR/log/helm-test.log" 2>&1 || {
  cat "$CLUSTER_DIR/log/helm-test.log" >&2
  kubectl -n firewatch-system logs firewatch-selfcheck >&2 || true
  fail "helm test fails (see above)"
}
say "Firewatch is installed in the cluster of context '$(kubectl config current-context)'"
