#!/bin/bash
# Runs a container's command as the entry point of pytorch/torchserve does:
#
#   serve [OPTIONS]              torchserve --start with /home/model-server/config.properties
#   torchserve --start ...       that server
#   anything else                a line of shell, evaluated here; then the container lives as long as the server it started
#
# In the first two cases the server becomes the container's first process: SIGTERM drains it, and its exit status is the
# container's. TorchServe's entry point never ends, whatever became of the server. TS_CONFIG_FILE names another file.
set -eu

config=${TS_CONFIG_FILE:-/home/model-server/config.properties}

starts_a_server() {
  local word
  [ "$1" = torchserve ] || return 1
  for word in "$@"; do
    case "$word" in --start) return 0 ;; esac
  done
  return 1
}

server_pid() {
  cat "${TEMP:-/tmp}/.model_server.pid" 2> /dev/null
}

# Waits for a server in the background, which is no child of this shell, and passes SIGTERM on to it.
wait_for_server() {
  local pid
  pid=$(server_pid) || return 0
  while kill -0 "$pid" 2> /dev/null; do
    if [ $stopping = asked ]; then
      stopping=told
      kill -TERM "$pid" 2> /dev/null || true
    fi
    sleep 1 &
    wait $! || true
  done
}

[ $# -gt 0 ] || set -- serve
if [ "$1" = serve ]; then
  shift
  exec torchserve --start --foreground --ts-config "$config" "$@"
elif starts_a_server "$@"; then
  exec "$@" --foreground
fi
stopping=no
trap 'stopping=asked' TERM INT # a signal that comes while the command runs is kept
eval "$@"
wait_for_server
