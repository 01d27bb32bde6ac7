# shellcheck shell=bash
# Starts the cluster's programs: the control plane on the host's end of the link, the node's in its namespace.
# Sourced by up.

start() { # name command...: in a session and in the cgroup of this cluster, with a log of its own
  local name=$1
  shift
  (
    echo "$BASHPID" >"$(own_cgroup)/cgroup.procs"
    exec setsid "$@" </dev/null >"$CLUSTER_DIR/log/$name.log" 2>&1
  ) &
}

start_in_node() { # name command...
  local name=$1
  shift
  start "$name" nsenter --net="/run/netns/$CLUSTER_NAME" "$@"
}

start_control_plane() {
  local pki=$CLUSTER_DIR/pki config=$CLUSTER_DIR/config
  local client=http://$ETCD_ADDRESS:2379 peer=http://$ETCD_ADDRESS:2380
  # Without fsync: the data of a test cluster need not outlive the machine.
  start etcd "$TOOLS_DIR/etcd" --data-dir "$CLUSTER_DIR/etcd" --unsafe-no-fsync \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
  # A person: service accounts decide nothing, and a certificate is no token that could be sent on.
  [ -e "$pki/people.csv" ] || (umask 077 && printf '%s,person,person\n' "$(openssl rand -hex 24)" >"$pki/people.csv")
  # Aggregator routing: the host has no kube-proxy, so the API server goes to endpoints, not to ClusterIPs.
  start kube-apiserver "$TOOLS_DIR/kube-apiserver" --etcd-servers="$client" \
    --bind-address="$HOST_ADDRESS" --advertise-address="$HOST_ADDRESS" --secure-port=6443 \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --authorization-mode=Node,RBAC \
    --token-auth-file="$pki/people.csv" \
    --enable-admission-plugins=NodeRestriction --service-cluster-ip-range="$SERVICES" --allow-privileged=true \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --enable-aggregator-routing=true \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key"
  wait_for 60 "the API server (see $CLUSTER_DIR/log/kube-apiserver.log)" kube get --raw /readyz
  sed -e "s/{{node}}/$NODE_ADDRESS/g" -e "s#{{ca}}#$(base64 -w0 <"$pki/ca.crt")#g" "$CLUSTER_SOURCE/addons.yaml" | kube apply -f - >/dev/null
  start kube-controller-manager "$TOOLS_DIR/kube-controller-manager" --kubeconfig="$config/controller-manager.kubeconfig" \
    --leader-elect=false --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
    --use-service-account-credentials --cluster-cidr="$PODS" --node-cidr-mask-size=24 --allocate-node-cidrs=true --secure-port=0
  start kube-scheduler "$TOOLS_DIR/kube-scheduler" --kubeconfig="$config/scheduler.kubeconfig" --leader-elect=false --secure-port=0
}

start_node() {
  local config=$CLUSTER_DIR/config
  write_node_configuration "$config"
  start_in_node coredns "$TOOLS_DIR/coredns" -conf "$config/Corefile"
  start_in_node containerd containerd --config "$config/containerd.toml"
  wait_for 20 "containerd (see $CLUSTER_DIR/log/containerd.log)" ctr -a "$CLUSTER_DIR/containerd.sock" version
  ctr -a "$CLUSTER_DIR/containerd.sock" -n k8s.io images import "$PAUSE_ARCHIVE" >/dev/null
  start_in_node kubelet "$TOOLS_DIR/kubelet" --config="$config/kubelet.yaml" --kubeconfig="$config/kubelet.kubeconfig" \
    --hostname-override="$CLUSTER_NAME" --node-ip="$NODE_ADDRESS" --root-dir="$CLUSTER_DIR/kubelet"
  start_in_node kube-proxy "$TOOLS_DIR/kube-proxy" --kubeconfig="$config/proxy.kubeconfig" --proxy-mode=iptables \
    --cluster-cidr="$PODS" --hostname-override="$CLUSTER_NAME" --conntrack-max-per-core=0 \
    --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
  wait_for 60 "a ready node (see $CLUSTER_DIR/log/kubelet.log)" kube wait --for=condition=Ready "node/$CLUSTER_NAME" --timeout=1s
}

write_node_configuration() { # directory
  local plugins=/usr/lib/cni snapshotter=overlayfs
  [ -x "$plugins/bridge" ] || plugins=/opt/cni/bin
  overlay_works "$CLUSTER_DIR" || snapshotter=native
  cat >"$1/Corefile" <<CONFIG
.:53 {
  bind $NODE_ADDRESS
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $1/dns.kubeconfig
    pods insecure
  }
  cache 5
}
CONFIG
  # Pods' network namespaces below the state directory, and runc's state too: `down` finds all of it in one place.
  cat >"$1/containerd.toml" <<CONFIG
version = 2
root = "$CLUSTER_DIR/containerd"
state = "$CLUSTER_DIR/containerd-run"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$CLUSTER_DIR/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$CLUSTER_DIR/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$CLUSTER_DIR/runc"
CONFIG
  cat >"$CLUSTER_DIR/cni/10-bridge.conflist" <<CONFIG
{"cniVersion": "0.4.0", "name": "$CLUSTER_NAME", "plugins": [
  {"type": "bridge", "bridge": "cni-$CLUSTER_NAME", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$CLUSTER_DIR/cni-ipam", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONFIG
  echo "nameserver $NODE_ADDRESS" >"$1/resolv.conf"
  cat >"$1/kubelet.yaml" <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $CLUSTER_DIR/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER_NAME
clusterDNS: [$NODE_ADDRESS]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$CLUSTER_DIR/containerd.sock
failSwapOn: false
tlsCertFile: $CLUSTER_DIR/pki/kubelet.crt
tlsPrivateKeyFile: $CLUSTER_DIR/pki/kubelet.key
seccompDefault: true
enforceNodeAllocatable: [pods]
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
maxPods: 200
podLogsDir: $CLUSTER_DIR/kubelet-pods
resolvConf: $1/resolv.conf
CONFIG
}
