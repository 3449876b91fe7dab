# Ends what a process has started once that process is gone, however it ended: its end closes the pipe that is read
# here. Then the folder is removed too. Lines are "+ PID SIGNAL" for a process that was started, the leader of a group,
# with the signal that ends it, and "- PID" for one that has ended. KILL is for the whole group.
trap '' HUP INT TERM
started=
while read -r what pid signal; do
    case $what in
        +) started="$started $pid:$signal" ;;
        -)
            rest=
            for one in $started; do [ "${one%%:*}" = "$pid" ] || rest="$rest $one"; done
            started=$rest
            ;;
    esac
done
for one in $started; do
    case $one in
        *:KILL) kill -s KILL -- "-${one%%:*}" 2>/dev/null ;;
        *) kill -s "${one#*:}" "${one%%:*}" 2>/dev/null ;;
    esac
done
# A server that does not follow the signal within five seconds is ended for certain.
tries=50
for one in $started; do
    [ "${one#*:}" = KILL ] && continue
    while kill -s 0 "${one%%:*}" 2>/dev/null && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    kill -s KILL "${one%%:*}" 2>/dev/null
done
# What has just been killed may still write.
tries=50
until rm -rf "$1" 2>/dev/null || [ $tries -eq 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
done
