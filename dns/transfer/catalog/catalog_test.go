package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer/catalog"
	"github.com/meridian-edge/meridian/dns/zone"
)

func read(t *testing.T, text string) string {
	t.Helper()
	b := zone.NewBuilder([]byte("\x03cat\x00"))
	for line := range strings.Lines("cat. 0 SOA invalid. invalid. 1 2 3 4 5\ncat. 0 NS invalid.\n" + text) {
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.AddRR(rr); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	members, err := catalog.Read(d)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, m := range members {
		out = append(out, fmt.Sprintf("%s=%q,%s,%q", m.ID, m.Zone, m.Group, m.Coo))
	}
	return strings.Join(out, " ")
}

func TestRead(t *testing.T) {
	const version = "version.cat. 0 TXT 2\n"
	for _, c := range []struct{ what, text, want string }{
		{"members", version + "a.zones.cat. 0 PTR Example.org.\nb.zones.cat. 0 PTR b.\ngroup.b.zones.cat. 0 TXT g\ncoo.b.zones.cat. 0 PTR other.\next.cat. 0 TXT x",
			`a="\aexample\x03org\x00",,"" b="\x01b\x00",g,"\x05other\x00"`},
		{"none", version, ""},
		{"no version", "a.zones.cat. 0 PTR example.org.", "no TXT record, or more than one, at the name version"},
		{"another version", "version.cat. 0 TXT 1", `version "1" of the schema: only "2" is known`},
		{"two records", version + "a.zones.cat. 0 PTR a.\na.zones.cat. 0 PTR b.", `member "a" has 2 PTR records`},
		{"twice", version + "a.zones.cat. 0 PTR x.\nb.zones.cat. 0 PTR X.", `two members are the same zone; the second is "b"`},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := read(t, c.text); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}
