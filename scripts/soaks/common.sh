# What soaks have in common: a server of their own, and an end to it. To be sourced, with `set -euo pipefail` in force.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# The optimized server takes minutes to build; SOAK_PROFILE=release is for reports that measure.
profile=${SOAK_PROFILE:-dev}
folder=
server_pid=
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "soak: $1" >&2
  exit 1
}

# Builds the server, unless SOAK_SERVER names one that is built already; leaves its path in `server`.
build_server() {
  if [[ -n ${SOAK_SERVER-} ]]; then
    server=$(realpath -- "$SOAK_SERVER")
    return
  fi
  cargo build --quiet --locked --manifest-path "$root/Cargo.toml" --profile "$profile" -p saas-http --bin saas-server
  server=${CARGO_TARGET_DIR:-$root/target}/${profile/#dev/debug}/saas-server
}

# Starts it on a free port with an empty data folder and the settings NAME=VALUE…, and with nothing of the caller's environment; leaves
# `url`, and its log in `$folder/server.log`.
start_server() {
  local port
  folder=$(mktemp -d)
  for _ in {1..20}; do
    port=$((20000 + RANDOM % 10000))
    url=http://127.0.0.1:$port
    (cd "$folder" && exec env -i PATH="$PATH" HOME="$folder" HOST=127.0.0.1 PORT="$port" "$@" "$server") >"$folder/server.log" 2>&1 </dev/null &
    server_pid=$!
    for _ in {1..200}; do
      if curl -sf -o "$folder/ready" "$url/health/ready"; then return; fi
      kill -0 "$server_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" || true
    server_pid=
    # Only a port that somebody took in between is worth another try.
    grep -q 'cannot listen' "$folder/server.log" || break
  done
  tail -n 30 "$folder/server.log" >&2
  fail "the server did not start"
}

# Installs what drives a browser (puppeteer-core) into the user's cache, once, and prints its folder.
install_driver() {
  command -v npm >/dev/null || fail "Node.js 20 or later with npm is needed (Debian's packages 'nodejs' and 'npm')"
  local cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/saas/docs-page sum driver partial
  sum=$(cat "$root"/scripts/soaks/docs-page/package*.json | cksum)
  driver=$cache/${sum// /-}
  if [[ ! -d $driver ]]; then
    mkdir -p "$cache"
    partial=$(mktemp -d "$cache/partial.XXXXXX")
    cp "$root"/scripts/soaks/docs-page/package*.json "$partial"
    if ! (cd "$partial" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 </dev/null; then
      rm -rf "$partial"
      fail "npm could not install the package 'puppeteer-core'"
    fi
    mv -T "$partial" "$driver" 2>/dev/null || rm -rf "$partial" # Another run was faster.
  fi
  echo "$driver"
}

clean_up() {
  local status=$?
  set +e
  if [[ -n $server_pid ]]; then
    kill "$server_pid" 2>/dev/null
    wait "$server_pid" 2>/dev/null
  fi
  if [[ -n $folder ]]; then rm -rf "$folder"; fi
  exit "$status"
}
