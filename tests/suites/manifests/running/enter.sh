# enter.sh ROOT USER [FOLDER PATH]… -- PROGRAM [ARGUMENTS]
# Becomes the program, as that user, in that root: nothing in it can be written to but the folders, each at its path.
# The libraries are the machine's, for programs that are not linked statically.
set -eu
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
for libraries in lib lib64 usr/lib; do
    [ -d "/$libraries" ] || continue
    mount --bind "/$libraries" "$root/$libraries"
    mount -o remount,bind,ro "$root/$libraries"
done
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    shift 2
done
shift
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" --groups="${user#*:}" "$root" "$@"
