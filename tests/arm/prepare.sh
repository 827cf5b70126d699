#!/usr/bin/env bash
# Make a folder in which an ARM64 Python with LiteRT runs under qemu: Debian's packages, unpacked, and PyPI's wheels.
set -euo pipefail
folder=$(realpath -m "${1:?a folder}")
[ -e "$folder/ready" ] && exit
packages=(libbz2-1.0 libc6 libcrypt1 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.11-minimal libpython3.11-stdlib
    libssl3 libstdc++6 libuuid1 python3.11-minimal zlib1g)
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
"${sudo[@]}" dpkg --add-architecture arm64
"${sudo[@]}" apt-get update -qq
command -v qemu-aarch64-static > /dev/null || "${sudo[@]}" apt-get install -y -qq qemu-user-static > /dev/null
mkdir -p "$folder/packages" "$folder/debian" "$folder/wheels"
(cd "$folder/packages" && apt-get download -qq "${packages[@]/%/:arm64}")
for package in "$folder"/packages/*.deb; do dpkg -x "$package" "$folder/debian"; done
platforms=(--platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64
    --platform manylinux_2_28_aarch64 --platform manylinux_2_34_aarch64)
pip=${PIP:-pip}
versions=$("$pip" freeze | grep -E '^(numpy|ai-edge-litert)==')
"$pip" download --quiet --no-deps --only-binary :all: --python-version 3.11 "${platforms[@]}" \
    --dest "$folder/wheels" $versions flatbuffers backports.strenum typing_extensions
for wheel in "$folder"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$folder/debian/site"; done
touch "$folder/ready"
