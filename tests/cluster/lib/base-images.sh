# shellcheck shell=bash
# The two images that come from nowhere else: the pause image of every pod, and Debian's base, made from Debian's
# packages and tagged as the public one, so that ordinary Dockerfiles build unchanged and without a registry.
# Sourced by prepare, up and images.

PAUSE_IMAGE=localhost/firewatch-pause:1
BASE_IMAGE=docker.io/library/debian:trixie-slim
PAUSE_ARCHIVE=$FIREWATCH_CACHE/pause-$(recipe_hash "$CLUSTER_SOURCE" images/pause).tar
BASE_KEY=$(recipe_hash "$CLUSTER_SOURCE" images/base)
BASE_ARCHIVE=$FIREWATCH_CACHE/base-$BASE_KEY.tar

# A store of our own below the cache. Overlays are quick; vfs, which copies, works where they cannot be mounted.
# chroot needs no privilege over the host.
build_image() {
  [ -n "${STORAGE_DRIVER_OF_IMAGES:-}" ] || {
    mkdir -p "$FIREWATCH_CACHE"
    STORAGE_DRIVER_OF_IMAGES=vfs
    ! overlay_works "$FIREWATCH_CACHE" || STORAGE_DRIVER_OF_IMAGES=overlay
  }
  buildah --root "$FIREWATCH_CACHE/buildah-$STORAGE_DRIVER_OF_IMAGES" --runroot "$FIREWATCH_CACHE/buildah-run-$STORAGE_DRIVER_OF_IMAGES" \
    --storage-driver "$STORAGE_DRIVER_OF_IMAGES" "$@"
}

build_pause_image() {
  [ ! -e "$PAUSE_ARCHIVE" ] || return 0
  say "building the pause image (seconds)"
  local directory
  directory=$(mktemp -d "$FIREWATCH_CACHE/pause.XXXXXX")
  gcc -O2 -static -o "$directory/pause" "$CLUSTER_SOURCE/images/pause/pause.c"
  cp "$CLUSTER_SOURCE/images/pause/Dockerfile" "$directory/"
  build_image bud --isolation chroot -q -t "$PAUSE_IMAGE" "$directory" >/dev/null
  build_image push -q "$PAUSE_IMAGE" "docker-archive:$directory/pause.tar:$PAUSE_IMAGE"
  mv "$directory/pause.tar" "$PAUSE_ARCHIVE"
  rm -rf "$directory"
}

build_base_image() {
  local directory
  if [ ! -e "$BASE_ARCHIVE" ]; then
    say "making the base image from Debian's packages (about half a minute)"
    directory=$(mktemp -d "$FIREWATCH_CACHE/base.XXXXXX")
    "$CLUSTER_SOURCE/images/base/make" "$directory/base.tar" >&2
    mv "$directory/base.tar" "$BASE_ARCHIVE"
    rm -rf "$directory"
  fi
  if [ "$(build_image images -q --filter "label=firewatch.base=$BASE_KEY" 2>/dev/null | wc -l)" -eq 0 ]; then
    say "tagging the base image as $BASE_IMAGE for buildah (seconds)"
    directory=$(mktemp -d "$FIREWATCH_CACHE/base.XXXXXX")
    ln "$BASE_ARCHIVE" "$directory/base.tar"
    cp "$CLUSTER_SOURCE/images/base/Dockerfile" "$directory/"
    build_image bud --isolation chroot -q --label "firewatch.base=$BASE_KEY" -t "$BASE_IMAGE" "$directory" >/dev/null
    rm -rf "$directory"
  fi
}
