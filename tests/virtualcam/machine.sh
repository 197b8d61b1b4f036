#!/usr/bin/env bash
# A virtual camera on a real v4l2loopback device: a small Debian in QEMU, in which our own sink sends
# pictures to /dev/video9 and v4l2-ctl captures them (guest.py). Needs Debian 12 and root, for
# packages and debootstrap; no hardware, no modules on this machine. The first time it builds the
# machine (about five minutes, 300 MB in $CACHE); after that a run takes seconds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
CACHE=${CACHE:-$root/build/virtualcam}
PYTHON=${PYTHON:-$root/.venv/bin/python}
LIMIT=${LIMIT:-600} # s that the machine may run
mkdir -p "$CACHE"

need() {
  command -v "$1" >/dev/null || { echo "missing $1: apt-get install $2" >&2; exit 2; }
}

build() {
  need debootstrap debootstrap
  [ "$(id -u)" = 0 ] || { echo "building the machine needs root" >&2; exit 2; }
  kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-\(.*-amd64\)$/\1/p' | head -1)
  [ -n "$kernel" ] || { echo "no Debian kernel is known here: apt-get update" >&2; exit 2; }
  rm -rf "$CACHE/work" && mkdir -p "$CACHE/work/packages"
  cd "$CACHE/work/packages"
  apt-get download -qq "linux-image-$kernel" v4l2loopback-dkms
  for package in *.deb; do dpkg -x "$package" ..; done
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "linux-headers-$kernel" gcc make >/dev/null
  cd "$CACHE/work"
  source=$(echo usr/src/v4l2loopback-*)
  make -s -C "/lib/modules/$kernel/build" "M=$CACHE/work/$source" modules
  debootstrap --variant=minbase --include=python3-minimal,python3-numpy,kmod,v4l-utils \
    bookworm guest >/dev/null
  media=lib/modules/$kernel/kernel/drivers/media
  cp "$media/mc/mc.ko" "$media/v4l2-core/videodev.ko" "$source/v4l2loopback.ko" guest/
  rm -rf guest/var/cache guest/var/lib/apt guest/usr/share/{doc,man,locale,info}
  cp "boot/vmlinuz-$kernel" "$CACHE/vmlinuz"
  rm -rf "$CACHE/guest" && mv guest "$CACHE/guest"
  rm -rf "$CACHE/work"
}

need qemu-system-x86_64 qemu-system-x86
need cpio cpio
[ -e "$CACHE/vmlinuz" ] || build

# What is tested: this checkout's own files, and the pyvirtualcam that it uses.
guest=$CACHE/guest
site=$("$PYTHON" -c 'import pathlib, pyvirtualcam; print(pathlib.Path(pyvirtualcam.__file__).parents[1])')
rm -rf "$guest/cantar" && mkdir -p "$guest/cantar"
cp -r "$root/engine" "$root/streaming" "$site"/pyvirtualcam* "$guest/cantar/"
rm -rf "$guest/cantar/engine/weights" "$guest/cantar/engine/identities" "$guest/cantar/streaming/demo"
cp "$here/guest.py" "$guest/cantar/"
cat >"$guest/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
insmod /mc.ko && insmod /videodev.ko && insmod /v4l2loopback.ko video_nr=9 exclusive_caps=1 card_label=Cantar
cd /cantar && python3 guest.py
echo "guest ended with $?"
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod +x "$guest/init"
(cd "$guest" && find . | cpio --quiet -o -H newc) >"$CACHE/init.cpio"
timeout "$LIMIT" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1536 \
  -kernel "$CACHE/vmlinuz" -initrd "$CACHE/init.cpio" \
  -append "console=ttyS0 rdinit=/init quiet panic=1" -nographic -no-reboot -net none |
  tee "$CACHE/log.txt"
grep -q "guest ended with 0" "$CACHE/log.txt"
