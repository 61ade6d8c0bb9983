// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// another returns a value that differs from v.
func another(t *testing.T, v reflect.Value) reflect.Value {
	t.Helper()
	out := reflect.New(v.Type()).Elem()
	switch x := v.Interface().(type) {
	case Secret:
		return reflect.ValueOf(NewSecret([]byte("another")))
	case []netip.Prefix:
		return reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")})
	case []netip.Addr:
		return reflect.ValueOf([]netip.Addr{netip.MustParseAddr("198.51.100.2")})
	case *[6]byte:
		return reflect.ValueOf(&[6]byte{2})
	case []Accept:
		return reflect.ValueOf([]Accept{{Password: NewSecret([]byte("another"))}})
	case []StatusRange:
		return reflect.ValueOf([]StatusRange{{204, 204}})
	case []string:
		return reflect.ValueOf([]string{"another"})
	case time.Duration:
		return reflect.ValueOf(x + time.Second)
	}
	switch v.Kind() {
	case reflect.String:
		out.SetString(v.String() + "x")
	case reflect.Bool:
		out.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		out.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint64:
		out.SetUint(v.Uint() + 1)
	case reflect.Float64:
		out.SetFloat(v.Float() + 1)
	default:
		t.Fatalf("no other value of %v is known to this test", v.Type())
	}
	return out
}

// A field that Diff does not compare would be a change that a reload ignores.
func TestDiffComparesEveryField(t *testing.T) {
	t.Parallel()
	full := func() *Config {
		c := goodConfig()
		c.Checks = []Check{defaultCheck()}
		c.Checks[0].Name = "c"
		return c
	}
	// Fields without a value of their own, and the names that are matched.
	skip := map[string]bool{
		"Source":             true,
		"Groups":             true,
		"Checks":             true,
		"Group.PasswordFile": true,
		"Group.Line":         true,
		"Group.Interface":    true,
		"Group.VHID":         true,
		"Check.Name":         true,
	}
	var walk func(v func(*Config) reflect.Value, prefix string)
	walk = func(v func(*Config) reflect.Value, prefix string) {
		for i := range v(full()).NumField() {
			f := v(full()).Type().Field(i)
			name := prefix + f.Name
			at := func(c *Config) reflect.Value { return v(c).Field(i) }
			switch {
			case skip[name]:
			case prefix == "" && f.Type.Kind() == reflect.Struct, name == "Check.HTTP":
				walk(at, f.Name+".")
			default:
				before, after := full(), full()
				at(after).Set(another(t, at(after)))
				if Diff(before, after).Empty() {
					t.Errorf("a change of %s is not seen", name)
				}
			}
		}
	}
	walk(func(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() }, "")
	walk(func(c *Config) reflect.Value { return reflect.ValueOf(&c.Groups[0]).Elem() }, "Group.")
	walk(func(c *Config) reflect.Value { return reflect.ValueOf(&c.Checks[0]).Elem() }, "Check.")
	if d := Diff(full(), full()); !d.Empty() {
		t.Errorf("%+v of equal configs", d)
	}
}

// manyGroups is the maximum of a config.
func manyGroups() *Config {
	c := goodConfig()
	g := c.Groups[0]
	c.Groups = nil
	for i := range maxGroups {
		g.Interface, g.VHID = "eth"+strconv.Itoa(i/255), uint8(i%255+1)
		c.Groups = append(c.Groups, g)
	}
	return c
}

// Diff of many groups must be fast: the daemon's loop waits for it.
func TestDiffOfManyGroups(t *testing.T) {
	before, after := manyGroups(), manyGroups()
	after.Groups = after.Groups[1:]
	after.Groups[7].AdvSkew = 1
	if perRun := testing.AllocsPerRun(1, func() {
		if d := Diff(before, after); len(d.Removed) != 1 || len(d.Changed) != 1 || len(d.Added) != 0 {
			t.Errorf("%d removed, %d changed, %d added", len(d.Removed), len(d.Changed), len(d.Added))
		}
	}); perRun > 50*maxGroups {
		t.Errorf("%.0f allocations for %d groups: it compares each with each", perRun, maxGroups)
	}
}

func BenchmarkDiff(b *testing.B) {
	before, after := manyGroups(), manyGroups()
	for b.Loop() {
		Diff(before, after)
	}
}

// Empty reports whether there is nothing to do.
func (c Changes) Empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Global)+len(c.NeedRestart) == 0
}
