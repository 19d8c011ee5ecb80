#!/usr/bin/env bash
# Starts Cloister in containers: see --help. Run it again after any change of .env; it repairs what it can.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

VERSION=0.1.0
READY_SECONDS=${READY_SECONDS:-120}

usage() {
  cat <<'TEXT'
Usage: ./docker-start.sh [mode] [options]      starts Cloister and says where it is
       ./docker-start.sh --stop | --down | --status

Modes, remembered in .env until another is given:
  (none)          SQLite, data in a Docker volume
  --bind-mounts   SQLite, data in a directory of this host (CLOISTER_DATA, default ./cloister-data), owned by you
  --postgres      PostgreSQL in a container beside the server
  --memory        nothing is kept: for tries

Options:
  --build         build the images again; without it they are built when they are missing
  --stop          stop the containers and keep everything
  --down          stop and remove the containers; data stays in its volumes or directories
  --status        say how it is
  -h, --help      this text

Settings: .env, which is made from .env.example at the first start.
TEXT
}

say() { printf '%s\n' "$*"; }
# What went wrong, and what to do about it.
die() {
  printf 'docker-start: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf 'Fix: %s\n' "$2" >&2
  exit 1
}

mode='' former='' action=start build=no
while [ $# -gt 0 ]; do
  case $1 in
    --bind-mounts | --postgres | --memory)
      [ -z "$mode" ] || die "--$mode and $1 exclude each other." 'Give one mode.'
      mode=${1#--}
      ;;
    --build) build=yes ;;
    --stop | --down | --status) action=${1#--} ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "there is no option $1." ;;
  esac
  shift
done

# ---- the engine and Compose ------------------------------------------------------------------------------

command -v docker >/dev/null || die 'there is no docker command.' 'Install Docker 20.10 or newer: https://docs.docker.com/engine/install/'
if ! problem=$(docker version --format '{{.Server.Version}}' 2>&1); then
  case $problem in
    *'permission denied'*) die 'you may not speak to the Docker engine.' 'Add yourself to its group and sign in again: sudo usermod -aG docker "$USER"' ;;
    *) die "the Docker engine does not answer: $problem" 'Start it: sudo systemctl start docker' ;;
  esac
fi
if docker compose version >/dev/null 2>&1; then
  COMPOSE=(docker compose)
elif command -v docker-compose >/dev/null; then
  COMPOSE=(docker-compose)
else
  die 'there is no Docker Compose.' 'Install the plugin (docker-compose-plugin) or docker-compose 1.29.'
fi

# ---- .env ----------------------------------------------------------------------------------------------------

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# The value of a line NAME=value of .env, which is read as Compose does, and never run.
setting() { sed -n "s/^$1=//p" .env | tail -n 1; }

# Puts NAME=value into .env: in place of its line, or of the commented one, or at the end.
put() {
  local name=$1 value=$2 line found=no
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      "$name="* | "#$name="*)
        [ $found = yes ] || printf '%s=%s\n' "$name" "$value"
        found=yes
        ;;
      *) printf '%s\n' "$line" ;;
    esac
  done <.env >.env.new
  [ $found = yes ] || printf '%s=%s\n' "$name" "$value" >>.env.new
  # Into the same file, so that its mode and owner stay.
  cat .env.new >.env
  rm -f .env.new
}

prepare_settings() {
  if [ ! -e .env ]; then
    (umask 077; cp .env.example .env)
    say 'Made .env from .env.example.'
  fi
  chmod 600 .env
  if [ -z "$(setting CLOISTER_ADMIN_KEY)" ] && [ -z "$(setting CLOISTER_ADMIN_KEY_FILE)" ]; then
    put CLOISTER_ADMIN_KEY "clst_$(random)"
    say 'Made an admin key: CLOISTER_ADMIN_KEY in .env.'
  fi
  former=$(setting CLOISTER_MODE)
  mode=${mode:-${former:-sqlite}}
  case $mode in
    sqlite) files=docker-compose.yml store=sqlite profiles='' ;;
    memory) files=docker-compose.yml store=memory profiles='' ;;
    bind-mounts) files=docker-compose.yml:docker-compose.bind-mounts.yml store=sqlite profiles='' ;;
    postgres) files=docker-compose.yml:docker-compose.postgres.yml store=postgres profiles=postgres ;;
    *) die "CLOISTER_MODE=$mode in .env is no mode." 'It is sqlite, bind-mounts, postgres or memory.' ;;
  esac
  # A proxy that was chosen stays, and so do files of the operator's own.
  local one
  for one in $(setting COMPOSE_PROFILES | tr ',' ' '); do
    case $one in postgres) ;; *) profiles=${profiles:+$profiles,}$one ;; esac
  done
  for one in $(setting COMPOSE_FILE | tr ':' ' '); do
    case $one in
      docker-compose.yml | docker-compose.postgres.yml | docker-compose.bind-mounts.yml) ;;
      *) files=$files:$one ;;
    esac
  done
  put CLOISTER_MODE "$mode"
  put CLOISTER_STORE "$store"
  put COMPOSE_FILE "$files"
  put COMPOSE_PROFILES "$profiles"
  [ -n "$(setting COMPOSE_PROJECT_NAME)" ] || put COMPOSE_PROJECT_NAME cloister
  if [ "$mode" = postgres ] && [ -z "$(setting POSTGRES_PASSWORD)" ]; then put POSTGRES_PASSWORD "$(random)"; fi
  [ "$mode" != bind-mounts ] || prepare_directory
}

# The server's directory belongs to whoever starts it; as root, to user 1000, since the server never runs as root.
prepare_directory() {
  local directory uid gid
  directory=$(setting CLOISTER_DATA)
  directory=${directory:-$PWD/cloister-data}
  case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
  uid=$(setting CLOISTER_UID) gid=$(setting CLOISTER_GID)
  uid=${uid:-$(id -u)} gid=${gid:-$(id -g)}
  [ "$uid" != 0 ] || uid=1000
  [ "$gid" != 0 ] || gid=1000
  put CLOISTER_DATA "$directory"
  put CLOISTER_UID "$uid"
  put CLOISTER_GID "$gid"
  mkdir -p "$directory" || die "$directory cannot be made." 'Set CLOISTER_DATA in .env to a directory of yours.'
  if [ "$(stat -c %u:%g "$directory")" != "$uid:$gid" ]; then
    chown "$uid:$gid" "$directory" 2>/dev/null || die "$directory does not belong to $uid:$gid." "sudo chown $uid:$gid '$directory'"
  fi
  chmod 700 "$directory"
}

# The rest of .env that would fail only later, and less clearly.
check_settings() {
  local port name found=no
  port=$(setting CLOISTER_PORT)
  port=${port:-3000}
  case $port in '' | *[!0-9]*) die "CLOISTER_PORT=$port in .env is no port." 'Give a number from 1 to 65535.' ;; esac
  for name in ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN OPENAI_API_KEY OPENAI_BASE_URL GEMINI_API_KEY DEEPSEEK_API_KEY XAI_API_KEY; do
    if [ -n "$(setting $name)" ] || [ -n "$(setting ${name}_FILE)" ]; then found=yes; fi
  done
  [ $found = yes ] || say 'No provider has a key in .env: the demo model answers.'
  "${COMPOSE[@]}" config >/dev/null || die 'Compose does not take these settings.' 'See its message above; the settings are in .env.'
}

# ---- images ---------------------------------------------------------------------------------------------------

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# The sandbox's recipe and programs are inside the server's image, so this machine needs no Node.
build_images() {
  local server sandbox log
  server=$(setting CLOISTER_IMAGE) server=${server:-cloister:$VERSION}
  sandbox=$(setting CLOISTER_SANDBOX_IMAGE) sandbox=${sandbox:-cloister-sandbox:$VERSION}
  log=$(mktemp)
  if [ $build = yes ] || ! has_image "$server"; then
    say "Building $server; the first time takes a minute or two …"
    docker build --tag "$server" ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} . >"$log" 2>&1 || { tail -n 25 "$log" >&2; die "$server could not be built." 'See the last lines above; the npm registry has to be reachable.'; }
  fi
  if [ $build = yes ] || ! has_image "$sandbox"; then
    say "Building $sandbox …"
    docker run --rm --network none "$server" image context --variant "${SANDBOX_VARIANT:-default}" |
      docker build --tag "$sandbox" --target "${SANDBOX_VARIANT:-default}" ${BASE_IMAGE:+--build-arg "BASE_IMAGE=$BASE_IMAGE"} - >"$log" 2>&1 || { tail -n 25 "$log" >&2; die "$sandbox could not be built." 'See the last lines above. Without the network of Debian: SANDBOX_VARIANT=minimal ./docker-start.sh'; }
  fi
  rm -f "$log"
}

# ---- start, stop, status -----------------------------------------------------------------------------------------

address() {
  local host port
  host=$(setting CLOISTER_BIND) port=$(setting CLOISTER_PORT)
  host=${host:-127.0.0.1}
  case $host in 0.0.0.0 | ::) host=127.0.0.1 ;; esac
  printf 'http://%s:%s' "$host" "${port:-3000}"
}

container() { "${COMPOSE[@]}" ps -q cloister 2>/dev/null | head -n 1; }

# `ready`, or how far it is. Asked of the server itself: Compose's own check looks only every few seconds.
state_of() {
  if docker exec "$1" cloister status --quiet >/dev/null 2>&1; then echo ready; else docker inspect -f '{{.State.Status}}' "$1" 2>/dev/null || echo gone; fi
}

wait_until_ready() {
  local id state last='' started=$SECONDS
  while :; do
    id=$(container)
    if [ -n "$id" ]; then state=$(state_of "$id"); else state=starting; fi
    [ "$state" = "$last" ] || say "  $((SECONDS - started)) s: $state"
    last=$state
    case $state in
      ready) return ;;
      exited | dead | gone) break ;;
    esac
    [ $((SECONDS - started)) -lt "$READY_SECONDS" ] || break
    [ "$(docker inspect -f '{{.RestartCount}}' "$id" 2>/dev/null || echo 0)" -lt 3 ] || break
    sleep 1
  done
  say
  "${COMPOSE[@]}" logs --tail 15 cloister >&2 || true
  die 'the server does not come up; its last lines are above.' 'They name the cause. When it is mended, run this again; docs/troubleshooting.md has what others met.'
}

# Another mode is another database, and so another installation; the broker serves one, and is told here that the former is over.
leave_former_mode() {
  [ -n "$former" ] && [ "$former" != "$mode" ] || return 0
  say "Leaving the mode $former …"
  "${COMPOSE[@]}" down --remove-orphans >/dev/null 2>&1 || true
  "${COMPOSE[@]}" run --rm --no-deps broker broker --forget >/dev/null || die 'the former mode could not be left.' 'See the message above.'
}

start() {
  prepare_settings
  check_settings
  build_images
  leave_former_mode
  say "Starting Cloister ($mode) …"
  if ! "${COMPOSE[@]}" up -d --remove-orphans; then
    "${COMPOSE[@]}" logs --tail 15 cloister >&2 || true
    die 'the containers could not be started.' 'When a port is in use, set another CLOISTER_PORT in .env. Otherwise see the messages above.'
  fi
  wait_until_ready
  say
  say "Cloister runs at $(address)/dashboard"
  say 'Its key: CLOISTER_ADMIN_KEY in .env'
  say "Try it:  $(printf '%s ' "${COMPOSE[@]}")exec cloister cloister agent -m 'run uname -a'"
}

needs_settings() { [ -e .env ] || die 'nothing was started here yet: there is no .env.' 'Run ./docker-start.sh'; }

case $action in
  start) start ;;
  stop) needs_settings; "${COMPOSE[@]}" stop; say 'Stopped. Everything is kept; ./docker-start.sh starts it again.' ;;
  down) needs_settings; "${COMPOSE[@]}" down; say 'Stopped and removed. The data is kept; ./docker-start.sh starts it again.' ;;
  status)
    needs_settings
    id=$(container)
    [ -n "$id" ] || die 'Cloister does not run.' 'Run ./docker-start.sh'
    docker exec "$id" cloister status
    ;;
esac
