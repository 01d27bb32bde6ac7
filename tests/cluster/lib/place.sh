# shellcheck shell=bash
# Where a cluster lives on this host: its slot of addresses, its links, its cgroups. Sourced by up, down, env and postgres.
# shellcheck disable=SC2034 # the addresses are read by whoever sources this
#
# Sixteen slots share 198.18.0.0/15, the range kept for tests inside one machine (RFC 2544). A slot is a /19 of it:
#   .0.0/24 host and node · .1.0/24 pods · .16.0/20 services
# and one address of 127.0.0.0/8 for etcd, so that ports never collide.

place() { # slot: sets the addresses
  SLOT=$1
  local first=198.$((18 + SLOT / 8)) third=$((32 * (SLOT % 8)))
  NET=$first.$third.0/19
  HOST_ADDRESS=$first.$third.1
  NODE_ADDRESS=$first.$third.2
  PODS=$first.$((third + 1)).0/24
  SERVICES=$first.$((third + 16)).0/20
  SERVICE_FIRST=$first.$((third + 16)).1
  ETCD_ADDRESS=127.18.$SLOT.1
}

# The slot that `up` took, if there is one.
load_place() {
  [ -s "$CLUSTER_DIR/slot" ] || return 1
  place "$(cat "$CLUSTER_DIR/slot")"
}

# Takes a free slot and at once the links that mark it as taken; callers on the same host do it one after another.
take_place() {
  local start try
  exec 9>/run/lock/firewatch-cluster
  flock 9
  start=$((16#$(printf %s "$CLUSTER_NAME" | sha256sum | cut -c1-4)))
  for try in {0..15}; do
    place $(((start + try) % 16))
    [ -z "$(ip route show to root "$NET")" ] || continue
    ! ip route show to match "$HOST_ADDRESS" | grep -qv ^default || continue
    link_node
    echo "$SLOT" >"$CLUSTER_DIR/slot"
    exec 9>&-
    return 0
  done
  fail "all 16 address slots of 198.18.0.0/15 are taken (ip route shows by whom); take a cluster down first"
}

# --- network: a link from the host into the node's namespace, and no route out of it
link_node() {
  ip netns add "$CLUSTER_NAME"
  ip link add "${CLUSTER_NAME}0" type veth peer name eth0 netns "$CLUSTER_NAME"
  ip addr add "$HOST_ADDRESS/24" dev "${CLUSTER_NAME}0"
  ip link set "${CLUSTER_NAME}0" up
  ip -n "$CLUSTER_NAME" addr add "$NODE_ADDRESS/24" dev eth0
  ip -n "$CLUSTER_NAME" link set eth0 up
  ip -n "$CLUSTER_NAME" link set lo up
  ip -n "$CLUSTER_NAME" route add default via "$HOST_ADDRESS"
  ip route add "$PODS" via "$NODE_ADDRESS"
  in_node sysctl -qw net.ipv4.ip_forward=1
}

# Not `ip netns exec`: that mounts /sys anew and hides the cgroups.
in_node() { nsenter --net="/run/netns/$CLUSTER_NAME" "$@"; }

# --- cgroups. Pods get a root of their own, else two kubelets on one host remove each other's pods. Our own processes
# (and with them containerd's shims) are in a second one, by which `down` finds them without trusting process ids in files.
cgroup_v2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

cgroup_roots() { # the hierarchies that are mounted
  if cgroup_v2; then echo /sys/fs/cgroup; else
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d -exec test -e '{}/cgroup.procs' ';' -print
  fi
}

make_cgroups() {
  local root
  for root in $(cgroup_roots); do
    if cgroup_v2; then
      local controller
      for controller in cpu cpuset memory pids io hugetlb; do
        echo "+$controller" >"$root/cgroup.subtree_control" 2>/dev/null || true
      done
    fi
    mkdir -p "$root/$CLUSTER_NAME"
    if [ -e "$root/$CLUSTER_NAME/cpuset.cpus" ] && ! cgroup_v2; then
      # A new cpuset is empty, and nothing can enter an empty one.
      cat "$root/cpuset.cpus" >"$root/$CLUSTER_NAME/cpuset.cpus"
      cat "$root/cpuset.mems" >"$root/$CLUSTER_NAME/cpuset.mems"
    fi
  done
  mkdir -p "$(own_cgroup)"
}

own_cgroup() {
  local root
  if cgroup_v2; then echo "/sys/fs/cgroup/$CLUSTER_NAME.host"; else
    for root in pids memory freezer; do
      [ -e "/sys/fs/cgroup/$root/cgroup.procs" ] && echo "/sys/fs/cgroup/$root/$CLUSTER_NAME.host" && return
    done
  fi
}

cluster_cgroups() {
  local root group
  for root in $(cgroup_roots); do
    for group in "$root/$CLUSTER_NAME" "$root/$CLUSTER_NAME.host"; do
      [ ! -d "$group" ] || echo "$group"
    done
  done
}

# Every process of this cluster and of no other: ours, the shims, the containers.
cluster_processes() {
  local group
  for group in $(cluster_cgroups); do
    find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un
}
