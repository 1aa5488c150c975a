# Read by scripts/browser and scripts/tls-server: how a program comes from Debian's packages.
# They set `program`, `tests` (what is left out without it), and `archives`: a directory for the
# packages if they are only downloaded, which needs no right to install any.

left_out() {
    echo "scripts/${0##*/}: $tests are left out: $1" >&2
    exit 0
}

apt() {
    said="$(DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::http::Timeout=20 \
        ${archives:+-o Debug::NoLocking=true -o "Dir::Cache::archives=$archives"} "$@" 2>&1)"
}

last_words() {
    printf '%s\n' "$said" | tail -n 1
}

# Get the program by `install` and options; once more with new lists of packages if it fails.
get() {
    command -v apt-get >/dev/null || left_out "no $program on PATH, and no apt-get"
    [ -z "$archives" ] || mkdir -p "$archives/partial"
    set -- install --yes --no-install-recommends "$@" "$program"
    apt "$@" || { apt update && apt "$@"; } || left_out "apt-get has no $program: $(last_words)"
}

# The one on PATH is taken if there is one.
if command -v "$program"; then
    exit 0
fi
