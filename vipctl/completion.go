// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// bashCompletion asks vipctl for the words that fit. Bash splits words at the @ of a group's
// name; therefore the script splits the line itself, and removes the part before the @ from
// its answer. If vipctl has no words, bash completes file names.
const bashCompletion = `_vipctl() {
  local line=${COMP_LINE:0:COMP_POINT} cur words
  local -a typed
  read -ra typed <<<"$line"
  [[ $line == *[[:space:]] ]] && typed+=("")
  cur=${typed[-1]}
  unset 'typed[-1]'
  [[ $cur == -* ]] && typed+=("$cur")
  words=$("${typed[@]}" --generate-bash-completion 2>/dev/null)
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $cur == *@* && $COMP_WORDBREAKS == *@* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*@}"}"}")
  fi
}
complete -o default -F _vipctl vipctl
`

// zshCompletion works when it is sourced, and as a file _vipctl in fpath, where loading it is
// its first call.
const zshCompletion = `#compdef vipctl
_vipctl() {
  local -a typed list
  typed=("${(@Q)words[1,CURRENT-1]}")
  [[ $PREFIX == -* ]] && typed+=("$PREFIX")
  list=(${(f)"$("${typed[@]}" --generate-bash-completion 2>/dev/null)"})
  if (( $#list )); then compadd -a list; else _files; fi
}
if [[ ${funcstack[1]} == _vipctl ]]; then _vipctl "$@"; else compdef _vipctl vipctl; fi
`

// fishCompletion replaces the library's, which never ends if a command has subcommands
// (urfave/cli v2.27.7, prepareFishCommands).
const fishCompletion = `function __vipctl_words
  set -l typed (commandline -opc)
  set -l cur (commandline -ct)
  string match -q -- '-*' $cur; and set -a typed $cur
  set -l list ($typed --generate-bash-completion 2>/dev/null)
  if test (count $list) -gt 0
    printf '%s\n' $list
  else
    __fish_complete_path $cur
  end
end
complete -c vipctl -f -a '(__vipctl_words)'
`

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion of a shell",
		UsageText: "vipctl completion bash|zsh|fish",
		ArgsUsage: "SHELL",
		Description: example(
			"Source the output when the shell starts.",
			"source <(vipctl completion bash)",
			"source <(vipctl completion zsh)   # after compinit",
			"vipctl completion fish | source",
		),
		Action: func(c *cli.Context) error {
			args, err := arguments(c)
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

// completer prints the words that may follow: values of the last flag, flags after a dash,
// otherwise subcommands and what own prints.
func (p *program) completer(commands []*cli.Command, flags []cli.Flag, own cli.BashCompleteFunc) cli.BashCompleteFunc {
	return func(c *cli.Context) {
		last := ""
		if n := len(p.args); n > 1 {
			last = p.args[n-2] // before the flag that asks for completion
		}
		if strings.HasPrefix(last, "-") {
			p.completeFlags(last, flags)
			return
		}
		for _, sub := range commands {
			if !sub.Hidden && sub.Name != "help" {
				p.printf("%s\n", sub.Name)
			}
		}
		if own != nil {
			own(c)
		}
	}
}

func (p *program) completeFlags(last string, flags []cli.Flag) {
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		for _, name := range f.Names() {
			form := "-" + name
			if len(name) > 1 {
				form = "--" + name
			}
			switch {
			case form == last && ok && doc.TakesValue():
				if choice, ok := f.(choiceFlag); ok {
					p.printf("%s\n", strings.Join(choice.words, "\n"))
				}
				return
			case strings.HasPrefix(form, last) && form != last:
				p.printf("%s\n", form)
			}
		}
	}
}

// completeGroups completes the first argument with the names of the groups.
func (p *program) completeGroups(c *cli.Context) {
	p.completeNames(func(ctx context.Context, client *api.Client) (names []string) {
		st, _ := client.Status(ctx)
		sortGroups(st.Groups)
		for i := range st.Groups {
			names = append(names, st.Groups[i].Name)
		}
		return names
	})(c)
}
