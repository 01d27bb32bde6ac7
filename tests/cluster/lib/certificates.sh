# shellcheck shell=bash
# The cluster's certificates and kubeconfigs, new with every cluster. Sourced by up.

make_certificates() (
  cd "$CLUSTER_DIR/pki" || exit 1
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 365 -subj /CN=cluster-ca \
    -addext keyUsage=critical,keyCertSign,cRLSign
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out sa.key
  openssl pkey -in sa.key -pubout -out sa.pub
  certificate apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$HOST_ADDRESS,IP:$SERVICE_FIRST"
  certificate admin /O=system:masters/CN=admin DNS:admin
  certificate controller-manager /CN=system:kube-controller-manager DNS:controller-manager
  certificate scheduler /CN=system:kube-scheduler DNS:scheduler
  certificate kubelet "/O=system:nodes/CN=system:node:$CLUSTER_NAME" "DNS:$CLUSTER_NAME,IP:$NODE_ADDRESS"
  certificate proxy /CN=system:kube-proxy DNS:proxy
  certificate dns /CN=system:coredns DNS:dns
  certificate metrics-server /CN=system:metrics-server "DNS:metrics-server.kube-system.svc,IP:$NODE_ADDRESS"
  certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client DNS:kubelet-client
  certificate front-proxy /CN=front-proxy DNS:front-proxy
) >"$CLUSTER_DIR/log/certificates.log" 2>&1

certificate() { # name subject names
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3")
}

# Everything inside the file, so that it can be copied and mounted.
write_kubeconfig() { # user file
  local pki=$CLUSTER_DIR/pki
  (
    umask 077
    cat >"$2" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: $CLUSTER_NAME
    cluster:
      server: https://$HOST_ADDRESS:6443
      certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 <"$pki/$1.crt")
      client-key-data: $(base64 -w0 <"$pki/$1.key")
contexts:
  - name: $CLUSTER_NAME
    context: {cluster: $CLUSTER_NAME, user: $1}
current-context: $CLUSTER_NAME
YAML
  )
}
