# install_packages NAME...: installs the Debian packages that are missing, and says so. Sourced.
install_packages() {
    missing=
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
    [ "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "missing, and there is no apt-get here:$missing" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "missing packages; as root: apt-get install$missing" >&2
        return 1
    fi
    echo "installing:$missing"
    # shellcheck disable=SC2086
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
            >/dev/null
}
