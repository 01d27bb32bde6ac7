#!/usr/bin/env bash
# What a person or a test needs to talk to the local cluster and Postgres, as lines for a shell: eval "$(tests/cluster/env.sh)"
# With CLUSTER=current only what is not the user's own is set; the KUBECONFIG at hand stays.
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=tests/cluster/lib/place.sh
. "$CLUSTER_SOURCE/lib/place.sh"

export_line() { printf 'export %s=%q\n' "$1" "$2"; }

export_line FIREWATCH_CACHE "$FIREWATCH_CACHE"
export_line CLUSTER_DIR "$CLUSTER_DIR"
if [ "$CLUSTER" != current ]; then
  # shellcheck disable=SC2016 # PATH is the reader's
  printf 'export PATH=%q:$PATH\n' "$CLUSTER_DIR/bin"
  export_line KUBECONFIG "$CLUSTER_KUBECONFIG"
  [ ! -s "$CLUSTER_DIR/pki/people.csv" ] || export_line FIREWATCH_PERSON_TOKEN "$(cut -d, -f1 "$CLUSTER_DIR/pki/people.csv")"
  if load_place; then
    # The host's end of the link: what listens there is reachable from pods.
    export_line FIREWATCH_HOST_ADDRESS "$HOST_ADDRESS"
    # Nothing of this cluster goes through a proxy.
    # shellcheck disable=SC2016
    printf 'export NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost,198.18.0.0/15\n'
  fi
fi
# shellcheck disable=SC2016
[ ! -d "$MONITORING_DIR" ] || printf 'export PATH=$PATH:%q\n' "$MONITORING_DIR"
export_line FIREWATCH_SCHEMATHESIS "$SCHEMATHESIS_DIR/bin/schemathesis"
chromium=${FIREWATCH_CHROMIUM:-$(chromium_program)}
[ -z "$chromium" ] || export_line FIREWATCH_CHROMIUM "$chromium"
if [ -s "$CLUSTER_DIR/postgres/port" ]; then
  export_line DATABASE_URL "$("$CLUSTER_SOURCE/postgres" url operator)"
  export_line MIGRATE_DATABASE_URL "$("$CLUSTER_SOURCE/postgres" url migrate)"
  if load_place; then
    export_line POD_DATABASE_URL "$("$CLUSTER_SOURCE/postgres" url operator pods)"
    export_line POD_MIGRATE_DATABASE_URL "$("$CLUSTER_SOURCE/postgres" url migrate pods)"
  fi
fi
for image in "$CLUSTER_DIR"/images/*.digest; do
  [ -s "$image" ] || continue
  name=$(basename "$image" .digest)
  name=${name//-/_}
  export_line "${name^^}_IMAGE" "$(cat "$image")"
done
