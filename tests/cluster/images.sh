#!/usr/bin/env bash
# Builds the images from their Dockerfiles and brings them into the cluster: the operator, the sandbox, and what the test
# workloads run on. The slow layers (apt) stay in buildah's cache, so that after a Rust change this takes seconds.
# Usage: images.sh [NAME...]   NAME: firewatch firewatch-sandbox firewatch-workload (all without)
# Writes $CLUSTER_DIR/images/NAME.digest: the name with the digest, as a pod can use it.
# NO_BUILD=1 takes the binaries in target/image as they are. IMAGE_PROFILE=dev puts debug binaries in, stripped: for who
# changes the code and has them built anyway.
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"

names=("$@")
[ ${#names[@]} -gt 0 ] || names=(firewatch firewatch-sandbox firewatch-workload)

build_binaries() {
  local crates=() name
  for name in "${names[@]}"; do
    case $name in
      firewatch) crates+=(-p firewatch) ;;
      firewatch-sandbox) crates+=(-p sandbox-runner) ;;
    esac
  done
  [ ${#crates[@]} -gt 0 ] || return 0
  local profile=${IMAGE_PROFILE:-image}
  say "building the binaries for the images (minutes the first time)"
  (cd "$REPOSITORY" && cargo build --quiet --locked --profile "$profile" --bins "${crates[@]}")
  # Asked of cargo, since a configuration may put it anywhere.
  local built
  built=$(cd "$REPOSITORY" && cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/${profile/#dev/debug}
  mkdir -p "$REPOSITORY/target/image"
  # Removed first: cargo's own file there is the same as the one among its intermediate products, and would be written over.
  [ "$built" -ef "$REPOSITORY/target/image" ] || for name in "${names[@]}"; do
    case $name in
      firewatch) rm -f "$REPOSITORY/target/image/firewatch" && strip -o "$REPOSITORY/target/image/firewatch" "$built/firewatch" ;;
      firewatch-sandbox) rm -f "$REPOSITORY/target/image/sandbox-runner" && strip -o "$REPOSITORY/target/image/sandbox-runner" "$built/sandbox-runner" ;;
    esac
  done
}

# As the user: after as_root it would be root's cargo.
[ -n "${NO_BUILD:-}" ] || build_binaries
[ "$EUID" -eq 0 ] || as_root env NO_BUILD=1 "$0" "${names[@]}"
# shellcheck source=tests/cluster/lib/base-images.sh
. "$CLUSTER_SOURCE/lib/base-images.sh"
# shellcheck source=tests/cluster/lib/tools.sh
. "$CLUSTER_SOURCE/lib/tools.sh"
"$CLUSTER_SOURCE/prepare" images

# The sandbox's kubectl, of the cluster's version. Written only if it is another one.
take_kubectl() {
  local kubectl=$TOOLS_DIR/kubectl
  [ "$CLUSTER" != current ] || kubectl=$(command -v kubectl) || fail "CLUSTER=current needs kubectl on the PATH"
  mkdir -p "$REPOSITORY/target/image"
  cmp -s "$kubectl" "$REPOSITORY/target/image/kubectl" || install -m 0755 "$kubectl" "$REPOSITORY/target/image/kubectl"
  give_back "$REPOSITORY/target/image"
}

describe() { # name: sets file, context and inputs, the hash of what the image is made from
  local binary copied=()
  context=$REPOSITORY
  case $1 in
    firewatch) file=$REPOSITORY/Dockerfile binary=target/image/firewatch ;;
    firewatch-sandbox) file=$REPOSITORY/Dockerfile.sandbox binary=target/image/sandbox-runner
      take_kubectl
      copied=(target/image/kubectl crates/sandbox-runner/scripts) ;;
    firewatch-workload) context=$CLUSTER_SOURCE/images/workload file=$CLUSTER_SOURCE/images/workload/Dockerfile binary='' ;;
    *) fail "unknown image '$1'; known: firewatch firewatch-sandbox firewatch-workload" ;;
  esac
  [ -z "$binary" ] || [ -e "$REPOSITORY/$binary" ] || fail "$binary is missing; run without NO_BUILD=1"
  # All that its Dockerfile copies: what is not in here would not make a new image.
  inputs=$({
    echo "$BASE_KEY"
    recipe_hash "$(dirname "$file")" "$(basename "$file")"
    if [ -n "$binary" ]; then recipe_hash "$REPOSITORY" "$binary" "${copied[@]}"; fi
  } | sha256sum | cut -c1-16)
}

# An archive is made once for its inputs: with a new manifest the digest would change although nothing else did.
build() { # name archive
  local name=$1
  say "building localhost/$name:dev (seconds; a minute or two the first time)"
  if ! build_image bud --isolation chroot --layers -q --pull-never -f "$file" -t "localhost/$name:dev" "$context" >"$CLUSTER_DIR/log/image-$name.log" 2>&1; then
    cat "$CLUSTER_DIR/log/image-$name.log" >&2
    fail "localhost/$name:dev does not build"
  fi
  build_image push -q "localhost/$name:dev" "oci-archive:$2.part:localhost/$name:dev"
  mv "$2.part" "$2"
  # Older archives of this image; the newest few stay for whoever goes back and forth between two branches.
  find "$FIREWATCH_CACHE/images" -name "$name-????????????????.tar" -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- | xargs -r rm -f
}

tag() { # digest
  local hash=${1#sha256:}
  echo "${hash:0:12}"
}

load() { # name archive
  local digest context
  digest=$(tar -xOf "$2" index.json | grep -o 'sha256:[0-9a-f]\{64\}' | head -n 1)
  if [ "$CLUSTER" = current ]; then
    context=$(kubectl config current-context)
    case $context in
      kind-*) kind load image-archive "$2" --name "${context#kind-}" >&2 ;;
      k3d-*) k3d image import "$2" --cluster "${context#k3d-}" >&2 ;;
      *) say "context '$context' is neither kind nor k3d: push $2 (an OCI archive) to a registry that its nodes reach, and set the chart's image values to it" ;;
    esac
    echo "localhost/$1:dev" >"$CLUSTER_DIR/images/$1.digest"
    echo dev >"$CLUSTER_DIR/images/$1.tag"
    return
  fi
  if ! in_containerd images ls -q | grep -qxF "localhost/$1@$digest"; then
    in_containerd images import "$2" >/dev/null
    in_containerd images tag --force "localhost/$1:dev" "localhost/$1@$digest" >/dev/null
    in_containerd images tag --force "localhost/$1:dev" "localhost/$1:$(tag "$digest")" >/dev/null
  fi
  # A tag of its own for every content: a Deployment with a new tag rolls, one with the same stays as it is.
  tag "$digest" >"$CLUSTER_DIR/images/$1.tag"
  echo "localhost/$1@$digest" >"$CLUSTER_DIR/images/$1.digest"
  say "loaded localhost/$1@$digest"
}

in_containerd() { ctr -a "$CLUSTER_DIR/containerd.sock" -n k8s.io "$@"; }

mkdir -p "$CLUSTER_DIR/images" "$CLUSTER_DIR/log"
if [ "$CLUSTER" != current ] && ! in_containerd version >/dev/null 2>&1; then
  fail "the local cluster is not up; run: make cluster-up"
fi
exec 8>"$FIREWATCH_CACHE/images.lock"
flock 8
mkdir -p "$FIREWATCH_CACHE/images"
for name in "${names[@]}"; do
  describe "$name"
  archive=$FIREWATCH_CACHE/images/$name-$inputs.tar
  if [ ! -e "$archive" ]; then
    build "$name" "$archive"
    built=1
  fi
  load "$name" "$archive"
done
# Layers of earlier builds; those of the named images stay, and with them the slow ones.
[ -z "${built:-}" ] || build_image rmi --prune >/dev/null 2>&1 || true
give_back "$CLUSTER_DIR/images" "$FIREWATCH_CACHE"
