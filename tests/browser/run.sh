#!/usr/bin/env bash
# Run the tests in a browser. They take two minutes. Once they stood still for an hour and nothing said where, so they
# have ten minutes and a second try where the first did not end. A test that fails is not tried again.
set -uo pipefail
cd "$(dirname "$0")/../.."
run() {
    timeout --kill-after=20 600 "$PYTHON" -u -m pytest -vv -o faulthandler_timeout=240 tests/browser &
    trap 'kill $!' INT TERM
    wait $!
}
run
status=$?
[ "$status" = 124 ] || [ "$status" = 137 ] || exit "$status"
echo "the tests in a browser did not end within 600 s; once more" >&2
run
