# shellcheck shell=bash
# The cluster's programs: Debian's packages for what Debian has, Go modules (tools/*/go.mod and go.sum pin every
# dependency) for Kubernetes, etcd, CoreDNS, Helm and metrics-server. Sourced by prepare and up.

KUBERNETES_VERSION=$(sed -n 's#^\tk8s.io/kubernetes v\([0-9.]*\).*#\1#p' "$CLUSTER_SOURCE/tools/kubernetes/go.mod")
# What go.mod and go.sum do not say (the flags of go_build) is a number here: raise it with them.
TOOLS_DIR=$FIREWATCH_CACHE/tools-1-$(recipe_hash "$CLUSTER_SOURCE" tools)

# Command, then the package that brings it: a machine that has containerd from elsewhere keeps it.
# shellcheck disable=SC2034 # read by prepare
PACKAGES_NODE="containerd:containerd runc:runc ip:iproute2 iptables:iptables conntrack:conntrack nsenter:util-linux openssl:openssl"
# shellcheck disable=SC2034 # read by prepare
PACKAGES_IMAGES="buildah:buildah mmdebstrap:mmdebstrap gcc:gcc strip:binutils"
# shellcheck disable=SC2034 # read by prepare
PACKAGES_SCHEMATHESIS="python3:python3 :python3-venv"

install_packages() { # "command:package ..."
  local pair missing=()
  for pair in $1; do
    [ "$pair" != :postgresql ] || continue
    # Debian's python3 has no venv without it, and no command tells.
    if [ "$pair" = :python3-venv ]; then
      python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
      continue
    fi
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  if [[ $1 == *containerd* ]] && [ ! -x /usr/lib/cni/bridge ] && [ ! -x /opt/cni/bin/bridge ]; then
    missing+=(containernetworking-plugins)
  fi
  if [[ $1 == *mmdebstrap* ]] && [ ! -e /usr/share/keyrings/debian-archive-trixie-stable.gpg ]; then
    missing+=(debian-archive-keyring)
  fi
  if [[ $1 == *postgresql* ]] && [ -z "$(postgres_programs)" ]; then
    missing+=(postgresql)
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}; install them with this system's package manager (only apt-get is known here)"
  say "installing ${missing[*]} with apt-get (about a minute)"
  apt-get update -qq >/dev/null
  # Debian's server package would start a cluster of its own; ours is started by tests/cluster/postgres.
  [ ! -d /etc/postgresql-common ] && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || fail "apt-get install ${missing[*]} failed; run it by hand to see why"
}

# Debian's packages, unpacked and not installed: installed they would start daemons of this machine's own.
fetch_monitoring() {
  if [ ! -d "$MONITORING_DIR" ]; then
    if command -v prometheus && { command -v prometheus-alertmanager || command -v alertmanager; }; then return 0; fi >/dev/null
    download_monitoring
  fi
  # The one path that Debian has compiled in: without its templates Alertmanager does not start.
  if [ ! -e /usr/share/prometheus/alertmanager/default.tmpl ]; then
    install -D -m 0644 -t /usr/share/prometheus/alertmanager "$MONITORING_DIR"/*.tmpl
  fi
}

install_schemathesis() {
  [ ! -x "$SCHEMATHESIS_DIR/bin/schemathesis" ] || return 0
  local directory=$SCHEMATHESIS_DIR.new
  say "installing schemathesis with pip (seconds)"
  rm -rf "$directory" "$SCHEMATHESIS_DIR"
  install_packages "$PACKAGES_SCHEMATHESIS"
  python3 -m venv "$directory"
  "$directory/bin/pip" install --quiet --disable-pip-version-check -r "$CLUSTER_SOURCE/schemathesis.txt" >&2 \
    || fail "pip install -r tests/cluster/schemathesis.txt failed; run it by hand to see why"
  # A program of a virtual environment names its interpreter in full: moved, it must be written anew.
  sed -i "1s#$directory#$SCHEMATHESIS_DIR#" "$directory"/bin/schemathesis "$directory"/bin/st
  mv "$directory" "$SCHEMATHESIS_DIR"
}

download_monitoring() {
  command -v apt-get >/dev/null || fail "missing: prometheus and alertmanager; put them on the PATH (only apt-get is known here)"
  say "fetching prometheus and prometheus-alertmanager with apt-get (seconds)"
  local directory package
  directory=$(mktemp -d "$FIREWATCH_CACHE/monitoring.XXXXXX")
  chmod 755 "$directory"
  apt-get update -qq >/dev/null
  (cd "$directory" && apt-get download -qq prometheus prometheus-alertmanager >/dev/null 2>&1) \
    || fail "apt-get download prometheus prometheus-alertmanager failed; run it by hand to see why"
  for package in "$directory"/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$directory" --wildcards --no-anchored --transform 's#.*/##' \
      'bin/prometheus' 'bin/promtool' 'bin/prometheus-alertmanager' 'share/prometheus/alertmanager/*.tmpl' 2>/dev/null || true
    rm "$package"
  done
  for package in prometheus promtool prometheus-alertmanager default.tmpl; do
    [ -s "$directory/$package" ] || fail "Debian's packages of prometheus and prometheus-alertmanager hold no $package"
  done
  # Complete or absent, as build_tools.
  mv -T "$directory" "$MONITORING_DIR" 2>/dev/null || rm -rf "$directory"
}

postgres_programs() { # the newest server's directory, or nothing
  find /usr/lib/postgresql -maxdepth 2 -name bin -type d 2>/dev/null | sort -V | tail -n 1
}

build_tools() {
  [ ! -d "$TOOLS_DIR" ] || return 0
  command -v go >/dev/null || fail "building the cluster's programs needs Go 1.21 or newer on the PATH; install it, or use a cluster of your own with CLUSTER=current"
  say "building Kubernetes $KUBERNETES_VERSION, etcd, CoreDNS, Helm and metrics-server from their Go modules (8 to 12 minutes the first time on 2 cores; kept in $FIREWATCH_CACHE)"
  local version=k8s.io/component-base/version building
  mkdir -p "$FIREWATCH_CACHE"
  building=$(mktemp -d "$FIREWATCH_CACHE/tools.XXXXXX")
  chmod 755 "$building"
  go_build kubernetes "$building/" "-X $version.gitVersion=v$KUBERNETES_VERSION -X $version.gitMajor=1 -X $version.gitMinor=34" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl}
  # Named by hand: the last part of its import path is "v3".
  go_build etcd "$building/etcd" "" go.etcd.io/etcd/server/v3
  go_build coredns "$building/" "" github.com/coredns/coredns
  go_build helm "$building/" "" helm.sh/helm/v4/cmd/helm
  go_build metrics-server "$building/" "" sigs.k8s.io/metrics-server/cmd/metrics-server
  # Complete or absent: an interrupted build leaves no half cache. A second builder that was quicker wins.
  mv -T "$building" "$TOOLS_DIR" 2>/dev/null || rm -rf "$building"
}

go_build() { # module output ldflags packages...
  local module=$1 output=$2 flags=$3
  shift 3
  say "  $module"
  # What stands in the environment about modules is about somebody's own project, not about these.
  (cd "$CLUSTER_SOURCE/tools/$module" && env -u GOWORK nice go build -ldflags="-s -w $flags" -o "$output" "$@")
}
