#!/bin/sh
# set_up.sh VENV [OPTION ...]: the package, editable, with what it is developed with, into an environment that has pip.
#
# By uv; by pip where uv cannot be had or finds no solution. uv does not read pip's configuration, so it is told where
# pip would look; what else pip may be configured to do, pip alone can.
set -eu
venv=$1
shift
python=$venv/bin/python

hand_on() {
    value=$(echo "$settings" | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1)
    [ -z "$value" ] || export "$2=$value"
}

case $(uname -s) in
    Linux) size="about 3 GB to download, 6 GB on disk, nearly all of it PyTorch with CUDA" ;;
    *) size="about 1 GB on disk" ;;
esac
echo "Setting up $venv: $size"
began=$(date +%s)
if "$python" -m pip install --quiet --constraint constraints.txt uv; then
    settings=$("$python" -m pip config list)
    hand_on index-url UV_DEFAULT_INDEX
    hand_on find-links UV_FIND_LINKS
    hand_on cert SSL_CERT_FILE
    [ -t 2 ] || export UV_NO_PROGRESS=1
    # As pip does. Where Python may write no bytecode itself, as in many containers, each start would compile 7 s more.
    if "$venv/bin/uv" pip install --quiet --compile-bytecode --python "$python" "$@" --editable ".[dev]"; then
        echo "Set up by uv in $(($(date +%s) - began)) s"
        exit
    fi
fi
echo "uv did not manage it; pip takes over, which needs a few minutes"
"$python" -m pip install --quiet "$@" --editable ".[dev]"
echo "Set up by pip in $(($(date +%s) - began)) s"
