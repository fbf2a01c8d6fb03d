import { Argument, type Command } from 'commander';
import { print } from './session.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

/** The scripts only ask `skein __complete` what fits: what there is to say is in one place, in `complete.ts`. */
const scripts: Readonly<Record<Shell, string>> = {
  bash: `_skein() {
  local IFS=$'\\n'
  COMPREPLY=($(skein __complete bash "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _skein skein
`,
  zsh: `#compdef skein
_skein() {
  local -a found
  found=("\${(@f)$(skein __complete zsh "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then _describe skein found; else _files; fi
}
compdef _skein skein
`,
  fish: `function __skein_complete
  set -l typed (commandline -opc) (commandline -ct)
  skein __complete fish $typed[2..-1] 2>/dev/null
end
complete -c skein -f -a '(__skein_complete)'
`,
};

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('Print what teaches a shell to complete commands, flags and names')
    .addArgument(new Argument('<shell>', shells.join(', ')).choices(shells))
    .action((shell: Shell) => print(scripts[shell]));
}
