# shellcheck shell=bash
# What every script of the local cluster shares: where things are, how messages look, how root is got.
# Sourced, never run. Nothing here changes the machine.

set -euo pipefail

CLUSTER_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPOSITORY=$(cd "$CLUSTER_SOURCE/../.." && pwd)
CLUSTER=${CLUSTER:-local}
CLUSTER_DIR=$(realpath -m "${CLUSTER_DIR:-$REPOSITORY/target/cluster}")
FIREWATCH_CACHE=${FIREWATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/firewatch}
# Prometheus and Alertmanager for the tests, where the machine has none of its own.
# shellcheck disable=SC2034 # read by prepare and env.sh
# The number changes with what is taken out of the packages.
MONITORING_DIR=$FIREWATCH_CACHE/monitoring-2
# schemathesis for the tests of the HTTP API, in a virtual environment of its own, by what it holds.
# shellcheck disable=SC2034 # read by prepare and env.sh
SCHEMATHESIS_DIR=$FIREWATCH_CACHE/schemathesis-$(sha256sum <"$CLUSTER_SOURCE/schemathesis.txt" | cut -c1-16)

# A name of its own per state directory, so that the clusters of two clones never meet. It becomes the name of the
# network namespace, the links (15 characters at most, "cni-" in front), the cgroup and the node.
CLUSTER_NAME=${CLUSTER_NAME:-fw-$(printf %s "$CLUSTER_DIR" | sha256sum | cut -c1-6)}
CLUSTER_KUBECONFIG=$CLUSTER_DIR/kubeconfig

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Sandboxes, mounts and namespaces need root. A user with sudo need not think of it.
as_root() { # script arguments...
  [ "$EUID" -ne 0 ] || return 0
  command -v sudo >/dev/null || fail "$(basename "$0") makes network namespaces and mounts and so needs root; run it as root"
  exec sudo env "PATH=$PATH" "HOME=$HOME" "CLUSTER=$CLUSTER" "CLUSTER_DIR=$CLUSTER_DIR" "CLUSTER_NAME=$CLUSTER_NAME" \
    "FIREWATCH_CACHE=$FIREWATCH_CACHE" ${KUBECONFIG:+"KUBECONFIG=$KUBECONFIG"} "$@"
}

# After sudo, what the user has to read or remove is the user's.
give_back() { # paths...
  [ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$@"
}

# Waits for a condition instead of for a time: tries every 100 ms.
wait_for() { # seconds what command...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { say "error: $what did not come in time"; return 1; }
    sleep 0.1
  done
}

# The hash of a recipe: of the contents and relative names of files, so that a cache entry is found by what it is made from.
recipe_hash() { # directory files...
  local directory=$1
  shift
  (cd "$directory" && find "$@" -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-16
}

# The Chromium of this machine, whatever it is called; nothing where there is none.
chromium_program() {
  command -v chromium || command -v chromium-headless-shell || command -v chromium-browser || command -v google-chrome || true
}

kube() { "$CLUSTER_DIR/bin/kubectl" --kubeconfig "$CLUSTER_KUBECONFIG" "$@"; }

check_name() {
  [[ $CLUSTER_NAME =~ ^[a-z][a-z0-9-]{0,9}$ ]] \
    || fail "CLUSTER_NAME '$CLUSTER_NAME' must be 1 to 10 of a-z, 0-9 and '-', a letter first (it becomes the name of links)"
  # A socket's path has at most 107 bytes, and the kubelet's are deep below.
  [ ${#CLUSTER_DIR} -le 64 ] || fail "CLUSTER_DIR '$CLUSTER_DIR' is longer than 64 characters, too long for sockets below it; set CLUSTER_DIR to a shorter one"
}

# Inside a container, or on some file systems, overlays cannot be mounted.
overlay_works() { # a directory on the file system in question
  local directory works=1
  directory=$(mktemp -d "$1/overlay.XXXXXX")
  mkdir "$directory"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$directory/lower,upperdir=$directory/upper,workdir=$directory/work" "$directory/merged" 2>/dev/null; then
    umount "$directory/merged"
    works=0
  fi
  rm -rf "$directory"
  return "$works"
}
