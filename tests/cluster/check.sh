#!/usr/bin/env bash
# What is checked without running anything: format, lints, the core's purity, the CRDs, the scripts, the chart.
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$REPOSITORY"

cargo fmt --all --check
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

# The core holds no client, runtime, pool or HTTP (DESIGN: Layout). Its own dependencies, not those of its tests.
impure=$(cargo tree --quiet --locked -p firewatch-core -e normal --prefix none --format '{p}' | cut -d' ' -f1 | sort -u \
  | grep -xE 'kube-client|kube-runtime|tokio|tokio-.*|async-std|hyper|hyper-.*|reqwest|axum|tower|tower-.*|rustls|native-tls|openssl|sqlx|sqlx-.*|postgres|socket2|mio' || true)
[ -z "$impure" ] || fail "crates/core is pure, but depends on: $(paste -sd' ' <<<"$impure"). Find the way with: cargo tree -p firewatch-core -i NAME"

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
cargo run --quiet --locked -p firewatch -- crds --dir "$fresh"
diff -ru crds "$fresh" >&2 || fail "crds/ is not what the Rust types say; run: cargo run -p firewatch -- crds --dir crds"

if command -v shellcheck >/dev/null; then
  shellcheck -x -P "$REPOSITORY" tests/cluster/{prepare,up,down,postgres,*.sh} tests/cluster/lib/*.sh tests/cluster/images/base/make .ci/run
else
  say "shellcheck is not installed: the scripts are not checked (tests/cluster/prepare installs it)"
fi
# The cluster's helm is there after prepare, before any cluster is.
# shellcheck source=tests/cluster/lib/tools.sh
. "$CLUSTER_SOURCE/lib/tools.sh"
helm=$TOOLS_DIR/helm
[ -x "$helm" ] || helm=$(command -v helm) || true
if [ -n "$helm" ]; then
  "$helm" lint --strict --quiet charts/firewatch --set audit.mode=file
  promtool=$(command -v promtool) || promtool=$MONITORING_DIR/promtool
  [ -x "$promtool" ] || say "promtool is not there: the alerts are not made to fire (tests/cluster/prepare fetches it)"
  FIREWATCH_HELM=$helm FIREWATCH_PROMTOOL=$promtool cargo test --quiet --locked -p firewatch --test component_chart
else
  say "helm is neither built nor installed: the chart is not checked (tests/cluster/prepare builds it)"
fi
