# Completions of vgpuctl for bash: printed by "vgpuctl completion bash".
_vgpuctl_words() {
  case $1 in
    VM) vgpuctl --json vms 2>/dev/null | grep -o '"name":"[^"]\+' | cut -d '"' -f 4 ;;
    POOL) vgpuctl --json pools 2>/dev/null | grep -o '"name":"[^"]\+' | cut -d '"' -f 4 ;;
    SESSION) vgpuctl --json sessions 2>/dev/null | grep -o '"session":[0-9]\+' | cut -d : -f 2 ;;
    KEY) echo weight priority memory-limit max-kernel-seconds sessions streams events modules graphs arena in-flight calls-per-second ;;
    VALUE) echo default low medium high ;;
    LEVEL) echo trace debug info warn error ;;
    SHELL) echo bash zsh ;;
  esac
}

_vgpuctl() {
  local current=${COMP_WORDS[COMP_CWORD]} verb= argument=-1 words= options= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --socket | --interval | --sort | --seconds) i=$((i + 1)) ;;
      -*) ;;
      *)
        [ -z "$verb" ] && verb=${COMP_WORDS[i]}
        argument=$((argument + 1))
        ;;
    esac
  done
  case ${COMP_WORDS[COMP_CWORD - 1]} in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --sort) mapfile -t COMPREPLY < <(compgen -W "share memory calls waits sessions name" -- "$current"); return ;;
  esac
  case $verb in
    "") words="status top vms sessions pools gpus events set kill quarantine release drain resume reload log-level trace profile completion" ;;
    status)
      options="--help"
      ;;
    top)
      options="--help --once --interval --sort"
      ;;
    vms)
      options="--help"
      ;;
    sessions)
      options="--help"
      ;;
    pools)
      options="--help"
      ;;
    gpus)
      options="--help"
      ;;
    events)
      options="--help --once"
      ;;
    set)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words VM)
      [ "$argument" -eq 1 ] && words=$(_vgpuctl_words KEY)
      [ "$argument" -eq 2 ] && words=$(_vgpuctl_words VALUE)
      ;;
    kill)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words SESSION)
      ;;
    quarantine)
      options="--help --end"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words VM)
      ;;
    release)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words VM)
      ;;
    drain)
      options="--help --end"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words POOL)
      ;;
    resume)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words POOL)
      ;;
    reload)
      options="--help"
      ;;
    log-level)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words LEVEL)
      ;;
    trace)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words VM)
      ;;
    profile)
      options="--help --seconds"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words SESSION)
      ;;
    completion)
      options="--help"
      [ "$argument" -eq 0 ] && words=$(_vgpuctl_words SHELL)
      ;;
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "--help --version --socket --json $options" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}
complete -F _vgpuctl vgpuctl
