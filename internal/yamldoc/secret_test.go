package yamldoc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// TestSecretsAreMaskedWhereverTheyStand reports a mistake at, before and after secrets that are written out.
func TestSecretsAreMaskedWhereverTheyStand(t *testing.T) {
	for _, src := range []string{
		"a: {secret: hunter2, other: 1}",
		"a: {scret: hunter2, other: 1}",
		"a: {Secret: 'hunter2', other: 1}",
		`a: {secret: "hunter2 \u0068unter2", other: 1}`,
		"a: {other: 1, secrets: [x, hunter2]}",
		"b: &s hunter2\na: {secret: *s, other: 1}",
		"a: {secret: |\n    hunter2\n, other: 1}",
		"a:\n  secret: >-\n    hunter2\n    and more hunter2\n  other: 1",
		"a: {secret: {hunter2: 1}}", // not a single value: nobody's secret, but no crash
	} {
		d, ok := yamldoc.Parse("x.yaml", []byte(src+"\n"), yamldoc.Env{Secrets: []string{"secret", "secrets"}})
		if !ok {
			continue
		}
		var report func(c yamldoc.Cursor)
		report = func(c yamldoc.Cursor) {
			c.Errorf("%s is wrong", c.Shown())
			c.Warnf("%s is odd", c.Unquoted())
			for _, key := range c.Keys() {
				if next, found := c.Step(key); found {
					next.KeyError("is wrong")
					report(next)
				}
			}
			for i := 0; ; i++ {
				item, found := c.Step(i)
				if !found {
					return
				}
				report(item)
			}
		}
		report(d.Top())
		seen := 0
		for _, m := range append(d.Errors(), d.Warnings()...) {
			seen++
			if text := fmt.Sprintf("%+v %s", *m, m.Detail()); strings.Contains(text, "hunter2") && !strings.Contains(src, "{hunter2") {
				t.Errorf("%s\nshows in\n%s", src, text)
			}
		}
		if seen < 4 {
			t.Errorf("%s: only %d mistakes", src, seen)
		}
	}
}

// TestMaskingKeepsColumns: the caret stands below what is meant.
func TestMaskingKeepsColumns(t *testing.T) {
	d, _ := yamldoc.Parse("x.yaml", []byte("a: {secret: hunter2, other: wrong}\n"), yamldoc.Env{Secrets: []string{"secret"}})
	c := d.Find("a", "other")
	c.Errorf("is wrong")
	if got, want := d.Errors()[0].Detail(), "x.yaml:1:29: a.other: is wrong\n  | a: {secret: *******, other: wrong}\n  |                             ^^^^^\n"; got != want {
		t.Errorf("got\n%s", got)
	}
	secret := d.Find("a", "secret")
	if text, ok := secret.Text(); !ok || text != "hunter2" || !secret.Secret() {
		t.Errorf("the value itself is %q, %v", text, ok)
	}
}

func TestAddressesOfServersMayLackTheirPort(t *testing.T) {
	d, _ := yamldoc.Parse("x.yaml", []byte(`{a: 192.0.2.1, b: "192.0.2.1:5353", c: "2001:db8::1", d: "::ffff:192.0.2.1", e: 0.0.0.0, f: "192.0.2.1:0", g: name}`), yamldoc.Env{})
	for key, want := range map[string]string{
		"a": "192.0.2.1:53", "b": "192.0.2.1:5353", "c": "[2001:db8::1]:53", "d": "192.0.2.1:53", "e": "", "f": "", "g": "",
	} {
		at, ok := d.Find(key).ServerAddress(53)
		if ok != (want != "") || ok && at.String() != want {
			t.Errorf("%s: %v, %v", key, at, ok)
		}
	}
}
