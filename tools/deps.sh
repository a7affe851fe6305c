#!/bin/sh
# Installs the server that tests start, redis-server 7.0 or newer. What is there already is left alone, so this needs a network only once.
# Debian starts it as a service too, which no test uses: systemctl disable --now redis-server ends that.
set -u

refuse() {
	echo "make test needs redis-server 7.0 or newer: $1" >&2
	exit 1
}

if command -v redis-server >/dev/null; then
	version=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
	case ${version%%.*} in
	'' | [0-6]) refuse "$(command -v redis-server) is ${version:-of an unknown version}; put a newer one first in PATH, and try again" ;;
	esac
	exit 0
fi
command -v apt-get >/dev/null || refuse "install it and try again"
as=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || refuse "let root run apt-get install redis-server, and try again"
	as=sudo
fi
$as apt-get update -qq || echo "apt-get update failed: trying with what is known" >&2
$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server ||
	refuse "apt-get install redis-server failed; let root do it, and try again"
