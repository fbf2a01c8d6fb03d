#!/bin/sh
# Builds one of the programs here: native/build.sh shim|holder OUTPUT [COMPILER FLAGS...]
# Static where the C library can be linked so: smaller in memory, and independent of the host's libraries.
set -eu
[ $# -ge 2 ] || { echo "usage: native/build.sh shim|holder OUTPUT [COMPILER FLAGS...]" >&2; exit 2; }
sources=$(dirname "$0")/$1
output=$2
shift 2
mkdir -p "$(dirname "$output")"
build() {
  ${CC:-cc} -std=gnu11 -O2 -D_GNU_SOURCE -Wall -Wextra -Werror -fstack-protector-strong "$@" -o "$output.new" "$sources"/*.c
}
if [ $# -gt 0 ]; then
  build "$@"
else
  echo 'int main(void) { return 0; }' | ${CC:-cc} -static -x c -o "$output.new" - 2>/dev/null && static=-static || static=
  build -D_FORTIFY_SOURCE=2 -s $static
fi
mv "$output.new" "$output"
