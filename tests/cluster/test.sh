#!/usr/bin/env bash
# Runs test levels in order, brings up what they need, prints the time of each, and takes down what it brought up itself.
# Usage: test.sh LEVEL...   LEVEL: check core component e2e full
# KEEP=1 leaves the cluster and Postgres as they are at the end. Logs: target/test-logs/LEVEL.log
# shellcheck disable=SC2317 # the levels are called by name, through step
# shellcheck source=tests/cluster/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$REPOSITORY"
logs=$REPOSITORY/target/test-logs
rm -rf "$logs"
mkdir -p "$logs"

# What was up before stays up: it is somebody's.
cluster_was_up='' postgres_was_up=''
[ "$CLUSTER" = current ] || [ ! -e "$CLUSTER_DIR/complete" ] || cluster_was_up=1
[ ! -e "$CLUSTER_DIR/postgres/complete" ] || postgres_was_up=1
clean_up() {
  [ -z "${KEEP:-}" ] && [ -n "${began:-}" ] || return 0
  [ -n "$cluster_was_up" ] || "$CLUSTER_SOURCE/down" || true
  [ -n "$postgres_was_up" ] || "$CLUSTER_SOURCE/postgres" down || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

table=() failed=()
step() { # name command...: remembers how it ended and how long it took
  local name=$1 start=$SECONDS state=ok
  shift
  say "== $name"
  # Cargo's output goes to the terminal as it comes, and to a file in which the counts are read at the end.
  if ! "$@" 2>&1 | tee -a "$logs/$name.log"; then
    state=FAILED
    failed+=("$name")
  fi
  table+=("$(printf '%-12s %-7s %4d s' "$name" "$state" $((SECONDS - start)))")
  [ "$state" = ok ]
}

environment() { eval "$("$CLUSTER_SOURCE/env.sh")"; }
cluster() { "$CLUSTER_SOURCE/up" && "$CLUSTER_SOURCE/postgres" up; }
core() { cargo test --quiet --locked -p firewatch-core -p sandbox-runner -p kubectl-incident; }
component() { "$CLUSTER_SOURCE/prepare" schemathesis && cargo test --quiet --locked -p firewatch --lib --bins && cargo_tests component; }
end_to_end() { cargo_tests e2e; }
full() { FIREWATCH_TEST_FULL=1 cargo_tests full && "$CLUSTER_SOURCE/scenarios.sh"; }
installed() { "$CLUSTER_SOURCE/images.sh" && "$CLUSTER_SOURCE/prepare" monitoring && "$CLUSTER_SOURCE/install.sh"; }

# The root package's test programs of one level, by name: e2e* and full* are those; every other one, whatever its name,
# is a component test, so that none is forgotten.
cargo_tests() { # level
  local path name level tests=()
  for path in tests/*.rs tests/*/main.rs; do
    [ -e "$path" ] || continue
    name=$(basename "${path%/main.rs}" .rs)
    case $name in e2e*) level=e2e ;; full*) level=full ;; *) level=component ;; esac
    [ "$level" != "$1" ] || tests+=(--test "$name")
  done
  if [ ${#tests[@]} -eq 0 ]; then
    say "no tests of the level '$1' yet"
    return 0
  fi
  cargo test --quiet --locked --no-fail-fast -p firewatch "${tests[@]}"
}

up() {
  began=1
  [ -n "${is_up:-}" ] || step cluster cluster || return 1
  is_up=1
  environment
}

# First, because the checks too are better for what it brings. `check` and `core` alone ask for nothing.
if [ "$CLUSTER" != current ] && [[ " $* " =~ \ (component|e2e|full)\  ]]; then
  step prepare "$CLUSTER_SOURCE/prepare" || true
fi

for level in "$@"; do
  case $level in
    check) step check "$CLUSTER_SOURCE/check.sh" || true ;;
    core) step core core || true ;;
    component) { up && step component component; } || true ;;
    e2e) { up && step install installed && environment && step e2e end_to_end; } || true ;;
    full) { up && step install installed && environment && step full full; } || true ;;
    *) fail "unknown level '$level'; known: check core component e2e full" ;;
  esac
done

printf '\n'
printf '%s\n' "${table[@]}"
# Sums up cargo's own closing lines; a step that failed without a failed test (it did not compile, say) counts as one.
cat "$logs"/*.log | awk -v steps=${#failed[@]} '
  /^test result:/ {for (i = 1; i < NF; i++) {if ($(i + 1) == "passed;") passed += $i; if ($(i + 1) == "failed;") failed += $i}}
  END {if (steps > 0 && failed == 0) failed = steps; printf "%d passed, %d failed\n", passed, failed}'
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
