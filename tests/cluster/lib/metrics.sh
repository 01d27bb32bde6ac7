# shellcheck shell=bash
# The metrics API (kubectl top, HorizontalPodAutoscalers): metrics-server as a process in the node's namespace, so that
# it needs no image, behind a Service without selector. Sourced by up.

start_metrics_server() {
  local pki=$CLUSTER_DIR/pki
  # 10250, its default, is the kubelet's here.
  start_in_node metrics-server "$TOOLS_DIR/metrics-server" --kubeconfig="$CLUSTER_DIR/config/metrics-server.kubeconfig" \
    --authentication-kubeconfig="$CLUSTER_DIR/config/metrics-server.kubeconfig" \
    --authorization-kubeconfig="$CLUSTER_DIR/config/metrics-server.kubeconfig" \
    --bind-address="$NODE_ADDRESS" --secure-port=4443 \
    --tls-cert-file="$pki/metrics-server.crt" --tls-private-key-file="$pki/metrics-server.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP --metric-resolution=10s --kubelet-request-timeout=8s
  wait_for 40 "the metrics API (see $CLUSTER_DIR/log/metrics-server.log)" \
    kube wait --for=condition=Available apiservice/v1beta1.metrics.k8s.io --timeout=1s
}
