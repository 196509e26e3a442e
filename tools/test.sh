#!/bin/bash
# Installs the packages, builds everything and runs every fast test (those not tagged "slow"). Logs
# of failing tests are printed; the last line is "N passed, N failed". Needs no network but for apt.
#
#   tools/test.sh                      all
#   tools/test.sh //tests/compression/...   a part
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=("${@:-//...}")
options=(--noshow_progress --curses=no --color=no)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

tools/setup.sh

# What has to pass: every test but the slow and the manual ones, and those that are skipped because they
# need CUDA.
all="tests(set(${targets[*]}))"
bazel query "${options[@]}" --ui_event_filters=-info \
  "$all except attr(tags, '\b(slow|manual|cuda)\b', $all)" >"$scratch/expected"
expected=$(wc -l <"$scratch/expected")
echo "test: building, then running $expected tests"

status=0
bazel test "${options[@]}" --jobs=2 --keep_going \
  --test_tag_filters=-slow --test_summary=terse --test_output=errors \
  --build_event_json_file="$scratch/events.json" "${targets[@]}" || status=$?

# One line of the event file is one event; the final status of a test is its testSummary.
touch "$scratch/events.json"
grep '"id":{"testSummary"' "$scratch/events.json" >"$scratch/summaries" || true
passed=$(grep -c '"overallStatus":"\(PASSED\|FLAKY\)"' "$scratch/summaries" || true)
failed=$((expected - passed))

if ((failed > 0)); then
  echo "test: not passed (failed, timed out, or did not build):"
  grep '"overallStatus":"\(PASSED\|FLAKY\)"' "$scratch/summaries" |
    sed 's/.*"testSummary":{"label":"\([^"]*\)".*/\1/' | sort >"$scratch/passed" || true
  sort "$scratch/expected" | comm -23 - "$scratch/passed" | sed 's/^/  /'
fi
if ((failed == 0 && status != 0)); then
  echo "test: bazel failed with status $status"
fi
echo "$passed passed, $failed failed"
((failed == 0 && status == 0))
