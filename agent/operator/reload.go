// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/hostcheck"
)

// ErrNoFile answers a reload of a daemon that was started without a config file.
var ErrNoFile = api.Errorf(api.CodeBadRequest,
	"vipd was started from the command line and has no file to read again; start it with --config FILE")

// Reload implements control.Backend. It reads the config again and applies the difference.
// A config that is refused leaves everything as it was; without force, so does one without
// groups.
func (o *Operator) Reload(ctx context.Context, force bool) (api.Reload, error) {
	if o.opts.Source.Load == nil {
		return api.Reload{}, ErrNoFile
	}
	defer o.opts.Source.Reloading()()
	next, warnings, err := o.opts.Source.Load()
	if err != nil {
		return api.Reload{}, InvalidConfig(err)
	}
	host := o.CompareHost(next)
	var out api.Reload
	var applyErr error
	err = o.loop.Do(ctx, func(c Commands) { out, applyErr = c.SwitchTo(next, warnings, force) })
	o.opts.Programs.Again()
	if err = errors.Join(err, applyErr); err != nil {
		return api.Reload{}, err
	}
	out.Warnings = append(out.Warnings, host...)
	o.log.Info("config reloaded", "added", out.Added, "removed", out.Removed, "changed", out.Changed,
		"global", out.Global, "need_restart", out.NeedRestart)
	return out, nil
}

// InvalidConfig lists the problems of a config the way clients print them.
func InvalidConfig(err error) error {
	bad, ok := errors.AsType[*config.Error](err)
	if !ok {
		return api.Errorf(api.CodeInvalidConfig, "config not read, the running one stays: %v", err)
	}
	out := api.Errorf(api.CodeInvalidConfig, "the config is not valid, the running one stays:")
	out.Problems = bad.Strings()
	return out
}

// CompareHost returns what in a config contradicts this host, as warnings: the host may
// change at any time, and each group deals with it by itself.
func (o *Operator) CompareHost(cfg *config.Config) []string {
	facts, err := hostcheck.Read(o.opts.Host, cfg)
	if err != nil {
		o.log.Warn("cannot compare the config with this host", "err", err)
		return nil
	}
	refused, warnings := hostcheck.Compare(cfg, facts)
	return append(config.Strings(refused), config.Strings(warnings)...)
}

// WarnOfHost logs what [Operator.CompareHost] returns.
func (o *Operator) WarnOfHost(cfg *config.Config) {
	for _, w := range o.CompareHost(cfg) {
		o.log.Warn("the config does not fit this host", "warning", w)
	}
}
