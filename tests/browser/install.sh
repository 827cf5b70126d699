#!/usr/bin/env bash
# Install Debian's chromium and npm where they are missing.
set -euo pipefail
packages=()
for name in chromium npm; do command -v "$name" > /dev/null || packages+=("$name"); done
[ ${#packages[@]} = 0 ] && exit
fail() { echo "the tests in a browser need ${packages[*]}, and $1: install it by hand" >&2; exit 1; }
command -v apt-get > /dev/null || fail "there is no apt-get"
sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || fail "neither root nor sudo is to be had"
    sudo=(sudo)
fi
"${sudo[@]}" apt-get update -qq || fail "apt-get update failed"
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null \
    || fail "apt-get cannot install it"
