/**
 * What makes a shell complete command lines of authline.
 *
 * Rule: the scripts know nothing. They hand over the words up to the cursor and offer what `authline complete` says, one
 * candidate a line with what it is behind a tab; where that fails, they offer nothing and say nothing.
 */

// bash takes the sign of an assignment for a word of its own, and completes what stands behind it.
const bash = `# Completion of authline for bash: authline completion bash
_authline() {
  local index line found current=\${COMP_WORDS[COMP_CWORD]} words=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    [[ \${COMP_WORDS[index]} == "=" ]] || words+=("\${COMP_WORDS[index]}")
  done
  [[ $current == "=" ]] && current=
  COMPREPLY=()
  found=$(authline complete -- "\${words[@]+"\${words[@]}"}" "$current" 2>/dev/null </dev/null) || return 0
  while IFS= read -r line; do
    [[ $line ]] && COMPREPLY+=("\${line%%$'\\t'*}")
  done <<<"$found"
}
complete -F _authline authline
`;

const zsh = `#compdef authline
# Completion of authline for zsh: authline completion zsh
_authline() {
  local found line
  local -a candidates
  found=$(authline complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null </dev/null) || return 1
  for line in "\${(@f)found}"; do
    [[ -n $line ]] || continue
    candidates+=("\${line/$'\\t'/:}")
  done
  (( $#candidates )) || return 1
  _describe authline candidates
}
if [[ $funcstack[1] == _authline ]]; then _authline "$@"; else compdef _authline authline; fi
`;

const fish = `# Completion of authline for fish: authline completion fish
function __authline_complete
    set -l before (commandline -opc)
    set -e before[1]
    set -l current (commandline -ct)
    authline complete -- $before "$current" 2>/dev/null </dev/null
end
complete -c authline -f -a '(__authline_complete)'
`;

export const SCRIPTS = { bash, zsh, fish } as const;
export type Shell = keyof typeof SCRIPTS;
export const SHELLS = Object.keys(SCRIPTS) as Shell[];
