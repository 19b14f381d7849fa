# Sourced first by demo.sh and test.sh: goes to the checkout, or to a copy that the services can read.
# Each service has a uid of its own when root starts it. Where these cannot enter the checkout (as in
# /root), the script goes on in a copy of it that they can; state and .venv are then kept there too.
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

others_can_read() {
    [ "$(id -u)" -ne 0 ] ||
        setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$1"
}

if ! others_can_read "$ROOT/requirements.txt"; then
    copy=/var/lib/icrstore-$(echo "$ROOT" | sha256sum | cut -c1-12)
    echo "the services' own uids cannot enter $ROOT: working in a copy, $copy" >&2
    (umask 022 && mkdir -p "$copy")
    find "$copy" -mindepth 1 -maxdepth 1 ! -name .venv ! -name var -exec rm -rf {} +
    tar -C "$ROOT" --exclude=./.venv --exclude=./var --exclude=./.git --mode=go=rX -cf - . |
        tar -C "$copy" --no-same-owner -xpf -
    : "${ICR_TEST_DATA:=$(dirname "$ROOT")/shared/data}"
    export ICR_TEST_DATA
    exec sh "$copy/deploy/${0##*/}" "$@"
fi
