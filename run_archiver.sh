#!/usr/bin/env bash
# The older tool's launcher and flags, for archiverd. Variables for the configuration come from archiver.env beside this
# script, or else beside the configuration; archiverd reads that file, nothing in it is executed. See --help.
set -euo pipefail

usage() {
    cat <<'END'
Usage: run_archiver.sh [CONFIG] [FLAG...]

CONFIG is a YAML or TOML configuration; else ./config.yaml, config.yaml beside this script, or where archiverd looks.

What to do (one of these; without any: archive everything that has ended, then exit):
  --incremental             the same, trusting the journal instead of asking the databases what they hold
  --import-only             only into artdaqDB
  --migrate-only            only from artdaqDB to UconDB
  --retry-failed-import     retry the runs of the import failure log
  --retry-failed-migrate    retry the runs of the migration failure log
  --report-status           say how things stand, and whether the databases can be reached
  --recover-import-state    make journal, state file and failure log anew from artdaqDB
  --recover-migrate-state   the same from UconDB

  --compare-state           with --report-status: compare the state files with what there is
  --validate                check each blob's metadata (retries and recoveries always do)
  -v, --verbose             log at DEBUG level
  -q, --quiet               only warnings and errors on the terminal; the log file gets everything
  -h, --help                this text

Exit codes: 0 success, 1 known error, 2 unexpected error, 130 interrupted.
END
}

fail() {
    printf 'run_archiver.sh: %s\n' "$1" >&2
    exit 1
}

# Take the one thing to do; a second one is refused. --incremental goes with the halves of a pass.
mode='' narrowed='' incremental='' compare='' validate=''
choose() {
    [[ -z $mode || $mode == "$1" ]] || fail "$mode and $1 exclude each other"
    mode=$1
}

config='' global=()
while (($#)); do
    case $1 in
        --incremental) incremental=$1 ;;
        --import-only | --migrate-only)
            [[ -z $narrowed || $narrowed == "$1" ]] || fail "$narrowed and $1 exclude each other"
            narrowed=$1
            ;;
        --retry-failed-import | --retry-failed-migrate | --report-status) choose "$1" ;;
        --recover-import-state | --recover-migrate-state) choose "$1" ;;
        --compare-state) compare=$1 ;;
        --validate) validate=$1 ;;
        -v | --verbose) global+=(--verbose) ;;
        -q | --quiet) global+=(--quiet) ;;
        -h | --help)
            usage
            exit 0
            ;;
        --init-venv) fail "--init-venv is no more: make setup makes .venv, and keeps it as it should be" ;;
        -*) fail "there is no flag $1 (see --help)" ;;
        *)
            [[ -z $config ]] || fail "one configuration at a time: $config, $1"
            config=$1
            ;;
    esac
    shift
done
[[ -z $mode || -z $incremental$narrowed ]] || fail "${incremental:-$narrowed} and $mode exclude each other"
[[ -z $compare || $mode == --report-status ]] || fail "--compare-state goes with --report-status"
[[ -z $validate || $mode != --report-status ]] || fail "--validate and --report-status exclude each other"

case $mode in
    --retry-failed-import) command=(retry import) ;;
    --retry-failed-migrate) command=(retry migrate) ;;
    --recover-import-state) command=(recover import) ;;
    --recover-migrate-state) command=(recover migrate) ;;
    --report-status) command=(status --probe ${compare:+"$compare"}) ;;
    *) command=(once ${incremental:+"$incremental"} ${narrowed:+"$narrowed"} ${validate:+"$validate"}) ;;
esac

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")

archiverd=''
for candidate in "$here/.venv/bin/archiverd" "$here/bin/archiverd" "$(command -v archiverd || true)"; do
    if [[ -x $candidate ]]; then
        archiverd=$candidate
        break
    fi
done
[[ -n $archiverd ]] || fail "archiverd is neither in $here/.venv nor on PATH: install it, or run make setup in $here"

if [[ -z $config ]]; then
    for candidate in ./config.yaml "$here/config.yaml"; do
        if [[ -f $candidate ]]; then
            config=$candidate
            break
        fi
    done
fi
if [[ -n $config ]]; then
    global+=(--config "$config")
fi

for candidate in "$here/archiver.env" "$(dirname -- "${config:-.}")/archiver.env"; do
    if [[ -f $candidate ]]; then
        global+=(--env-file "$candidate")
        break
    fi
done

# Tools of a bundle beside this script are found, but never before the system's.
if [[ -d $here/lib ]]; then
    export PATH="$PATH:$here/lib"
fi

# Becomes archiverd, so that signals reach it and its exit code is ours.
exec "$archiverd" --work-dir-log "${global[@]}" "${command[@]}"
