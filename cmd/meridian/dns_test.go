package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
)

func importCommand(t *testing.T, text string, args ...string) (out, notes string, code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "example.org.zone")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(append([]string{"import", path}, args...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		code = exitCode(err)
	}
	return stdout.String(), stderr.String(), code
}

const goodZone = "$TTL 1h\n@ IN SOA ns1.example.net. host 1 2h 1h 2w 5m\n IN NS ns1.example.net.\nwww IN A 192.0.2.1\n IN TXT \"it's \\\"quoted\\\"\"\n"

func TestImportPrintsAZoneAsAConfigurationThatLoads(t *testing.T) {
	out, notes, code := importCommand(t, goodZone, "--format", "config")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, notes)
	}
	cfg, _, err := config.Parse("meridian.yaml", []byte("version: 1\nlisteners: {dns: [\"127.0.0.1:5300\"]}\n"+out), config.Env{})
	if err != nil || len(cfg.Zones) != 1 || len(cfg.Zones[0].Records) != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _, code := importCommand(t, goodZone); code != exitOK || !strings.Contains(out, "www.example.org.\t3600\tIN\tA\t192.0.2.1\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Files are not always called after their zone.
func TestImportTakesTheNameOfTheZoneFromItsSOA(t *testing.T) {
	for name, text := range map[string]string{
		"$ORIGIN of the zone": "; a comment\n$ORIGIN example.com.\n" + goodZone,
		"$ORIGIN above it":    "$ORIGIN com.\nexample 300 IN SOA ns1.example.net. host 1 2h 1h 2w 5m\n\t\t300 IN NS ns1.example.net.\n$ORIGIN example.com.\nwww 3600 IN A 192.0.2.1\n",
		"the root's":          "example.com. 300 IN SOA ns1.example.net. host 1 2h 1h 2w 5m\nexample.com. 300 IN NS ns1.example.net.\nwww.example.com. 3600 IN A 192.0.2.1\n",
	} {
		out, notes, code := importCommand(t, text)
		if code != exitOK || !strings.Contains(out, "www.example.com.\t3600\tIN\tA\t192.0.2.1\n") || strings.Contains(notes, "outside") {
			t.Errorf("%s: exit code %d\n%s%s", name, code, notes, out)
		}
	}
	if out, notes, code := importCommand(t, "$ORIGIN example.com.\n"+goodZone, "--origin", "example.net"); code != exitConfig || !strings.Contains(notes, "outside") {
		t.Errorf("with another --origin: exit code %d\n%s%s", code, notes, out)
	}
}

func TestImportNamesEveryMistake(t *testing.T) {
	_, notes, code := importCommand(t, goodZone+"a IN A nonsense\nb IN MX ten mail\n")
	if code != exitConfig || !strings.Contains(notes, "example.org.zone:6") || !strings.Contains(notes, "example.org.zone:7") {
		t.Errorf("exit code %d\n%s", code, notes)
	}
}
