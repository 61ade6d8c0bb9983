// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"
)

// bashCompletion asks vipctl itself for the words that fit.
const bashCompletion = `_vipctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} words
  if [[ $cur == -* ]]; then
    words=$("${COMP_WORDS[@]:0:COMP_CWORD}" "$cur" --generate-bash-completion 2>/dev/null)
  else
    words=$("${COMP_WORDS[@]:0:COMP_CWORD}" --generate-bash-completion 2>/dev/null)
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _vipctl vipctl
`

const zshCompletion = "autoload -U +X bashcompinit && bashcompinit\n" + bashCompletion

// The library's own for fish never ends when a command has commands below it
// (urfave/cli v2.27.7, prepareFishCommands).
const fishCompletion = `complete -c vipctl -f -a '(set -l words (commandline -opc); vipctl $words[2..] --generate-bash-completion 2>/dev/null)'
`

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print the completion of a shell",
		UsageText:   "vipctl completion bash|zsh|fish",
		ArgsUsage:   "SHELL",
		Description: example("Let the shell read the output at its start.", "source <(vipctl completion bash)"),
		Action: func(c *cli.Context) error {
			args, err := arguments(c, "SHELL")
			if err != nil {
				return err
			}
			switch args[0] {
			case "bash":
				p.printf("%s", bashCompletion)
			case "zsh":
				p.printf("%s", zshCompletion)
			case "fish":
				p.printf("%s", fishCompletion)
			default:
				return usagef("there is no completion for %q; allowed are bash, zsh and fish", args[0])
			}
			return nil
		},
	}
}

// completeGroups prints the names of the groups, or nothing when vipd does not answer
// at once.
func (p *program) completeGroups(c *cli.Context) {
	if c.NArg() > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.Context, time.Second)
	defer cancel()
	st, err := p.client(c).Status(ctx)
	if err != nil {
		return
	}
	sortGroups(st.Groups)
	for i := range st.Groups {
		p.printf("%s\n", st.Groups[i].Name)
	}
}
