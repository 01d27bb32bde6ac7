# shellcheck shell=bash
# promtool, for the test of the alerts: the one on the PATH, or Debian's, taken out of its package. The package is not installed: it
# would start a Prometheus. Sourced by prepare and check.

# Where it is, or nothing.
find_promtool() {
  type -P promtool || find "$FIREWATCH_CACHE" -maxdepth 2 -path '*/promtool-*/promtool' 2>/dev/null | sort -V | tail -n 1
}

# Kept by the package's version; apt checks the package against the archive's signed hash.
get_promtool() {
  [ -z "$(find_promtool)" ] || return 0
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 0
  local room version
  say "taking promtool out of the package prometheus (seconds)"
  room=$(mktemp -d "$FIREWATCH_CACHE/promtool.XXXXXX")
  # apt downloads as a user of its own where it can; either way is fine.
  if (apt-get update -qq && cd "$room" && apt-get download -qq prometheus) >/dev/null 2>&1 \
    && dpkg-deb -x "$room"/prometheus_*.deb "$room/tree"; then
    version=$(basename "$room"/prometheus_*.deb | cut -d_ -f2)
    mkdir -p "$room/kept"
    mv "$room/tree/usr/bin/promtool" "$room/kept/promtool"
    chmod -R a+rX "$room/kept"
    mv -T "$room/kept" "$FIREWATCH_CACHE/promtool-$version" 2>/dev/null || true
  else
    say "promtool cannot be had here: the alerts are not tested"
  fi
  rm -rf "$room"
}
