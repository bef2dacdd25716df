#!/bin/sh
# local_slurm.sh start|stop|status|env: a real SLURM on this machine alone, to try sweeps on, and for `make test-cluster`.
#
# It has two nodes, each a slurmd, of 4 processors and 8400 MB, whatever the machine has; the partitions `main`, and `urgent`, whose jobs put those
# of `main` back into the queue; no accounting. After `start`, `eval "$(scripts/local_slurm.sh env)"` lets sbatch, squeue
# and this package find it. All it writes lies in one folder, $XDG_STATE_HOME/mnist_cnn/slurm (LOCAL_SLURM=... names
# another), which `stop` removes.
#
# Needs root, and Debian's packages slurm-wlm and munge: it says which are missing, and installs nothing.
set -eu
state=${LOCAL_SLURM:-${XDG_STATE_HOME:-$HOME/.local/state}/mnist_cnn/slurm}
nodes="node1 node2"
first_port=${LOCAL_SLURM_PORT:-17817} # and the two behind it, one for each slurmd
host=$(hostname -s)
export SLURM_CONF="$state/slurm.conf"

main() {
    case ${1:-} in
        start) start ;;
        stop) stop ;;
        status) sinfo --long --Node ;;
        env) echo "export SLURM_CONF='$SLURM_CONF'" ;;
        # What the tests lose a node with, and bring it back.
        kill-node) kill_node "$2" ;;
        start-node) start_node "$2" ;;
        *) refuse "usage: scripts/local_slurm.sh start|stop|status|env" ;;
    esac
}

refuse() {
    echo "local_slurm: $1" >&2
    exit 2
}

start() {
    missing=
    for program in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
        command -v "${program%%:*}" >/dev/null 2>&1 || missing="$missing ${program##*:}"
    done
    [ -z "$missing" ] || refuse "missing:$missing; on Debian and Ubuntu: apt-get install slurm-wlm munge"
    [ "$(id -u)" = 0 ] || refuse "start it as root: slurmd starts jobs for any user (sudo, or a container)"
    case $state in *" "*) refuse "$state: SLURM takes no folder with a space in its name; set LOCAL_SLURM=..." ;; esac
    if is_up; then refuse "it runs already, in $state; stop ends it"; fi
    rm -rf "$state"
    mkdir -p "$state/save" "$state/log"
    chmod 755 "$state"
    configure
    dd if=/dev/urandom of="$state/munge.key" bs=128 count=1 2>/dev/null
    chmod 400 "$state/munge.key"
    # --force: munge wants folders above it that no one else can write to, which a container's need not be.
    munged --force --socket="$state/munge.socket" --key-file="$state/munge.key" --pid-file="$state/munged.pid" \
        --log-file="$state/log/munged.log" --seed-file="$state/munge.seed" --num-threads=2 2>/dev/null
    slurmctld -c
    for node in $nodes; do start_node "$node"; done
    wait_for 20 all_idle || {
        tail -n 5 "$state"/log/*.log >&2
        stop
        refuse "not every node became idle in 20 s; the logs above say more"
    }
    echo "SLURM runs in $state; to use it: eval \"\$(scripts/local_slurm.sh env)\""
}

configure() {
    cat >"$SLURM_CONF" <<END
ClusterName=local
SlurmctldHost=$host(localhost)
SlurmctldPort=$first_port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$state/munge.socket
CredType=cred/munge
StateSaveLocation=$state/save
SlurmctldPidFile=$state/slurmctld.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdPidFile=$state/slurmd-%n.pid
SlurmdLogFile=$state/log/slurmd-%n.log
SlurmdSpoolDir=$state/spool-%n
# A container may neither make control groups nor pin processes to cores.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
# A job over its memory is ended, as cgroups would.
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Nodes have what this file says, whatever the machine has.
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Everything is noticed soon: tests wait for it.
SchedulerParameters=sched_interval=5,batch_sched_delay=1,bf_interval=5,requeue_delay=1
SlurmdTimeout=20
KillWait=5
# A machine that others keep busy takes its time to end a process; a node is not given up for that.
UnkillableStepTimeout=600
InactiveLimit=0
ReturnToService=2
DefMemPerCPU=500
END
    port=$first_port
    for node in $nodes; do
        port=$((port + 1))
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$port CPUs=4 RealMemory=8400" >>"$SLURM_CONF"
    done
    cat >>"$SLURM_CONF" <<END
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP
END
}

start_node() {
    mkdir -p "$state/spool-$1"
    slurmd -N "$1"
}

# The daemon of a node and its steps' at once, without a word to anybody, as when its power goes; the jobs' own processes
# stay, as those of a node do that the network alone has lost.
kill_node() {
    [ -f "$state/slurmd-$1.pid" ] || refuse "$1: no such node runs; there are $nodes"
    kill -9 "$(cat "$state/slurmd-$1.pid")"
    rm -f "$state/slurmd-$1.pid"
    for process in $(pgrep -x slurmstepd || true); do
        if with_variable "$process" "SLURM_CONF=$SLURM_CONF" && with_variable "$process" "SLURMD_NODENAME=$1"; then
            kill -9 "$process"
        fi
    done
}

stop() {
    if [ ! -f "$SLURM_CONF" ]; then
        echo "no SLURM of this script runs (nothing in $state)"
        return
    fi
    if is_up; then scancel --full --user="$(id -un)" 2>/dev/null || true; fi
    for file in "$state"/slurmd-*.pid "$state/slurmctld.pid" "$state/munged.pid"; do
        [ ! -f "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
    done
    wait_for 5 nothing_left || for process in $(ours); do kill -9 "$process" 2>/dev/null || true; done
    wait_for 5 nothing_left || refuse "these processes of it do not end: $(ours | tr '\n' ' ')"
    rm -rf "$state"
    echo "SLURM stopped, $state removed"
}

# Numbers of all processes that belong to this SLURM, and to no other on the machine: its daemons, and what runs in jobs.
ours() {
    for process in $(pgrep -x 'slurmstepd|slurmd|slurmctld|munged' || true); do
        if with_variable "$process" "SLURM_CONF=$SLURM_CONF" ||
            { cat "/proc/$process/cmdline" | tr '\0' ' ' | grep -qF "$state/"; } 2>/dev/null; then echo "$process"; fi
    done
    for file in $(grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null || true); do
        process=${file#/proc/}
        process=${process%/environ}
        if grep -qz '^SLURM_JOB_ID=' "$file" 2>/dev/null; then echo "$process"; fi
    done
}

with_variable() { grep -qzxF "$2" "/proc/$1/environ" 2>/dev/null; }

nothing_left() { [ -z "$(ours)" ]; }

is_up() { [ -f "$SLURM_CONF" ] && [ "$(scontrol ping 2>/dev/null | grep -c 'is UP')" = 1 ]; }

all_idle() { [ "$(sinfo --noheader --Node --partition=main --states=idle 2>/dev/null | wc -l)" = "$(echo "$nodes" | wc -w)" ]; }

wait_for() {
    for _ in $(seq "$(($1 * 5))"); do
        if "$2"; then return 0; fi
        sleep 0.2
    done
    return 1
}

main "$@"
