package deploytest_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/need"
)

const unit = "deploy/systemd/meridian.service"

// directives returns the values of each directive of the unit, in order of appearance.
func directives(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for line := range strings.Lines(read(t, unit)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			out[key] = append(out[key], value)
		}
	}
	return out
}

func TestUnitIsConfined(t *testing.T) {
	got := directives(t)
	for key, want := range map[string]string{
		"AmbientCapabilities":     "CAP_NET_BIND_SERVICE",
		"CapabilityBoundingSet":   "CAP_NET_BIND_SERVICE",
		"DevicePolicy":            "closed",
		"LimitCORE":               "0",
		"LimitNOFILE":             "1048576",
		"LockPersonality":         "yes",
		"MemoryDenyWriteExecute":  "yes",
		"NoNewPrivileges":         "yes",
		"PrivateDevices":          "yes",
		"PrivateTmp":              "yes",
		"ProtectClock":            "yes",
		"ProtectControlGroups":    "yes",
		"ProtectHome":             "yes",
		"ProtectHostname":         "yes",
		"ProtectKernelLogs":       "yes",
		"ProtectKernelModules":    "yes",
		"ProtectKernelTunables":   "yes",
		"ProtectProc":             "invisible",
		"ProtectSystem":           "strict",
		"RemoveIPC":               "yes",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
		"RestrictNamespaces":      "yes",
		"RestrictRealtime":        "yes",
		"RestrictSUIDSGID":        "yes",
		"SystemCallArchitectures": "native",
		"SystemCallErrorNumber":   "EPERM",
		"SystemCallFilter":        "@system-service ~@privileged @resources",
		"TasksMax":                "8192",
		"UMask":                   "0077",
		"User":                    "meridian",
	} {
		if v := strings.Join(got[key], " "); v != want {
			t.Errorf("%s=%s, want %s", key, v, want)
		}
	}
}

func TestUnitIsSupervised(t *testing.T) {
	got := directives(t)
	for key, want := range map[string]string{
		"Type":                     "notify",
		"NotifyAccess":             "main",
		"WatchdogSec":              "10",
		"ExecReload":               "/bin/kill -HUP $MAINPID",
		"Restart":                  "on-failure",
		"RestartPreventExitStatus": "2 3",
		"StartLimitIntervalSec":    "0",
		"StateDirectory":           "meridian",
		"CacheDirectory":           "meridian",
		"RuntimeDirectory":         "meridian",
		"WantedBy":                 "multi-user.target",
	} {
		if v := got[key]; !slices.Equal(v, []string{want}) {
			t.Errorf("%s=%s, want %s", key, v, want)
		}
	}
	if user := got["User"][0]; !strings.Contains(read(t, "deploy/systemd/meridian.sysusers"), "\nu "+user+" ") {
		t.Errorf("meridian.sysusers does not make the user %q", user)
	}
}

// The unit must not restart what cannot get better: a wrong flag and a wrong configuration, by the command's own numbers.
func TestUnitKnowsTheExitCodesOfTheCommand(t *testing.T) {
	src := read(t, "cmd/meridian/main.go")
	prevent := strings.Fields(directives(t)["RestartPreventExitStatus"][0])
	for i, name := range []string{"exitUsage", "exitConfig"} {
		m := regexp.MustCompile(name + `\s*=\s*(\d+)`).FindStringSubmatch(src)
		if m == nil || m[1] != prevent[i] {
			t.Errorf("cmd/meridian has %v, the unit %s", m, prevent[i])
		}
	}
}

func TestUnitExposureIsAtMostOnePointFive(t *testing.T) {
	analyze := need.Optional(t, "systemd-analyze")
	cmd := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", "--threshold=15", filepath.Join(root, unit))
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skipf("SKIPPED: this systemd-analyze cannot judge a file: %s", out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(lines[len(lines)-1])
}
