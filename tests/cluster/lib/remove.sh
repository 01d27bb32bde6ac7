# shellcheck shell=bash
# Removes every trace of this cluster, however it was left: complete, half built, or with its processes killed.
# It looks at what is there, not at what a file says should be. Sourced by down and by up (for a stale cluster).

remove_cluster() {
  local try process mount group

  # Again until none is left: a process may fork between the look and the kill.
  for try in {1..100}; do
    mapfile -t processes < <(cluster_processes)
    [ ${#processes[@]} -gt 0 ] || break
    for process in "${processes[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
    sleep 0.05
  done
  [ "$try" -lt 100 ] || fail "processes do not end: ${processes[*]}"

  while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done < <(awk -v below="$CLUSTER_DIR/" 'index($2, below) == 1 {print $2}' /proc/mounts | sort -r)

  if [ -e "/run/netns/$CLUSTER_NAME" ]; then
    ip netns del "$CLUSTER_NAME" 2>/dev/null || rm -f "/run/netns/$CLUSTER_NAME"
  fi
  if [ -e "/sys/class/net/${CLUSTER_NAME}0" ]; then
    # The kernel removes the link with its namespace, but not at once.
    ip link del "${CLUSTER_NAME}0" 2>/dev/null || true
  fi
  for group in $(cluster_cgroups); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done

  # What the programs keep outside of their directories.
  rm -f /var/lib/cni/results/"$CLUSTER_NAME"-* 2>/dev/null || true
  [ ! -d /var/log/containers ] || find /var/log/containers -lname "$CLUSTER_DIR/*" -delete
  local socket
  for socket in /run/containerd/s/*; do
    # A shim's socket that nobody listens on is a killed shim's.
    [ ! -S "$socket" ] || grep -qF "$socket" /proc/net/unix || rm -f "$socket"
  done
  if load_place; then
    rm -rf "$HOME/.kube/cache/discovery/${HOST_ADDRESS}_6443"
  fi

  if awk -v below="$CLUSTER_DIR/" 'index($2, below) == 1 {found = 1} END {exit !found}' /proc/mounts; then
    fail "mounts are left below $CLUSTER_DIR (grep $CLUSTER_DIR /proc/mounts shows them); nothing was deleted"
  fi
  local part
  for part in etcd containerd containerd-run containerd.sock containerd.sock.ttrpc runc kubelet kubelet-pods cni cni-ipam pki config bin kubeconfig slot; do
    rm -rf --one-file-system "${CLUSTER_DIR:?}/$part"
  done
}
