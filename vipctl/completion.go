// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// bashCompletion asks vipctl itself for the words that fit. Bash breaks words at the @ of
// a group's name, so the line is read anew, and what stands before the @ is taken off
// again. Where vipctl has no words, files are meant.
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

// zshCompletion works when it is sourced and as a file _vipctl in fpath, which is its
// own first call.
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

// The library's own for fish never ends when a command has commands below it
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
		Name:        "completion",
		Usage:       "print the completion of a shell",
		UsageText:   "vipctl completion bash|zsh|fish",
		ArgsUsage:   "SHELL",
		Description: example("Let the shell read the output at its start.", "source <(vipctl completion bash)", "source <(vipctl completion zsh)   # after compinit", "vipctl completion fish | source"),
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

// completer prints the words that may stand next: values of the flag that was typed last,
// flags after a dash, commands, or else what own prints.
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
				// Written as "FORMAT: table, json".
				_, values, _ := strings.Cut(doc.GetUsage(), ": ")
				for value := range strings.SplitSeq(values, ", ") {
					if value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyz") == "" { // not a sentence
						p.printf("%s\n", value)
					}
				}
				return
			case strings.HasPrefix(form, last) && form != last:
				p.printf("%s\n", form)
			}
		}
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
