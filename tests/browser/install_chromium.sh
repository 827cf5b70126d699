#!/usr/bin/env bash
# Install Debian's chromium where it is missing.
set -euo pipefail
command -v chromium > /dev/null && exit
fail() { echo "the tests of the page need chromium, and $1: install it by hand" >&2; exit 1; }
command -v apt-get > /dev/null || fail "there is no apt-get"
sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || fail "neither root nor sudo is to be had"
    sudo=(sudo)
fi
"${sudo[@]}" apt-get update -qq || fail "apt-get update failed"
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null \
    || fail "apt-get cannot install it"
